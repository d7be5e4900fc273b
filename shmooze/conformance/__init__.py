"""Conformance: whether a module's program keeps to the protocol, see `shmooze.check_module`."""
