"""shmooze: process-backed web applications.

Queues and pools of child processes, controlled over HTTP/JSON. All processes end reliably.
"""

__version__ = "2.0.0"
