"""Benchmarks of shmooze against shmooze 1.2.4 and a minimal baseline: see scripts/bench."""
