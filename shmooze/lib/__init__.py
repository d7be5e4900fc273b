"""What shmooze is built from: packets, servers, streams, the log. Nothing here knows a module."""
