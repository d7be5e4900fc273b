"""The state file: what survives a restart. Nothing below this folder knows about it."""
