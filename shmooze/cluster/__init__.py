"""Modules on other machines: an engine places a guard on a node, and the guard runs the process."""
