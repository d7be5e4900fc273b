"""Jobs: waiting for ends and output, what comes after what, limits of time."""
