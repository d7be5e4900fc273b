"""What every program of ours has: patching, start and stop, workers, the log, time slices."""
