"""What shmooze costs, beside its predecessor and the bare means: see scripts/bench."""
