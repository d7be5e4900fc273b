"""Reloading: the settings of a service are read again while it runs."""
