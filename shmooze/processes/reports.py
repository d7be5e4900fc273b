"""What is reported about a process: its output, its usage, and what is left of it."""

from __future__ import annotations

from typing import NamedTuple


class OutputLine(NamedTuple):
    """A complete line of standard output or error, with control characters escaped."""

    text: str
    is_error: bool


class Usage(NamedTuple):
    """Resources used by a process and everything it started."""

    #: Seconds of CPU time. Includes ended processes whose parents have waited for them.
    cpu: float
    #: Bytes. Memory that processes share counts for each of them.
    memory: int
    processes: int


class Remaining(NamedTuple):
    """A process that still runs."""

    #: For people, such as "pid 812 (sleep 1000)".
    text: str
    #: Whether it has left the session of the process that started it.
    is_daemon: bool


class PastOutput(NamedTuple):
    """What a process had printed by the time at which it was renewed; see Process.output."""

    output: list[str]
    errors: list[str]
