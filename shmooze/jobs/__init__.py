"""Jobs: waiting for ends and output, dependencies, time limits."""
