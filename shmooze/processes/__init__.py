"""Processes of an operating system: started, watched, ended. Nothing here knows a module."""
