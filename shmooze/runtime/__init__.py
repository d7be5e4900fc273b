"""Shared by all our programs: patching, start and stop, workers, the log, time slices."""
