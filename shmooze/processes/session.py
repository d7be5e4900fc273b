"""What is left of the session of a program that has ended."""

from __future__ import annotations

import os

from shmooze.processes.tree import child_pids


def left_of_session(leader: int) -> list[int]:
    """The pids of our own children in the session of a program, which was our child too.

    A process that loses its parent becomes our child if this process is a subreaper. No other
    session can have this number as long as one of them exists. They can be signalled until the
    next switch of greenlets, since nobody has reaped them.
    """
    try:
        return [pid for pid in child_pids("self") if pid != leader and os.getsid(pid) == leader]
    except OSError:  # one has just ended; or this kernel does not list children
        return []
