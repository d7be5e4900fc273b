"""Hooks: HTTP calls and programs that are notified of events, such as an item that has failed."""
