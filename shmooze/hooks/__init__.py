"""Hooks: HTTP calls and programs that are told of what happens, such as an item that has failed."""
