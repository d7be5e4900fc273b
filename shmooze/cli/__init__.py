"""The command `shmooze`: runs, checks and makes applications."""
