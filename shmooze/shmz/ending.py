"""How shmz ends: the exit status, and the exception that ends it with one line of text."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """The exit status, for scripts."""

    DONE = 0
    REFUSED = 1
    MISUSED = 2
    NO_ANSWER = 3
    INTERRUPTED = 130


class Stop(Exception):
    """Ends the program with an exit status and one line of text."""

    def __init__(self, status: Status, line: str) -> None:
        super().__init__(line)
        self.status = status
