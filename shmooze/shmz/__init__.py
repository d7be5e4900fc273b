"""shmz: the command line of shmooze. It needs only the standard library."""
