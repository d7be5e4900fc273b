"""shmooze: process-backed web applications.

A queue or a pool of child processes, controlled over HTTP/JSON, with a certain end for each.
"""

__version__ = "2.0.0"
