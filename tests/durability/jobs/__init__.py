"""Jobs and schedules in a pool with slots, as a workload."""
