"""Strays: processes that have left their parent and are ours now, since we are a subreaper.

Also how all who end children look for them together: a hundred that end at once cost a few looks
through /proc, and not some for each.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from gevent.lock import Semaphore

from shmooze.processes.tree import Member, ProcessSnapshot
from shmooze.runtime.time_slices import TimeSlices

#: The living children that we have started ourselves, by pid: they are no strays.
started: set[int] = set()

_marks_to_kill: set[int] = set()
_taking = Semaphore()
_next_snapshot: gevent.Greenlet | None = None


def bears(member: Member, mark: int) -> bool:
    """Whether a process is a stray from the child that got this mark."""
    return _is_stray(member) and member.mark == mark


def any_possible() -> bool:
    """Whether we have a child, be it dead, that we have not started; without one no look is needed.

    What a child leaves behind is our own child from the moment that it ends. The kernel's list of
    our children may lack one only when another one is taken off it while it is read; that is done
    by this thread alone, when it reaps.
    """
    try:
        return any(pid not in started for pid in _our_children())
    except OSError:  # the kernel has no such list
        return True


def _our_children() -> Iterator[int]:
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/children", "rb") as pids:
            yield from map(int, pids.read().split())


@contextmanager
def kill_when_found(mark: int) -> Iterator[None]:
    """Strays that bear `mark` get SIGKILL as soon as a look comes upon them.

    One that forks and ends all the time would be gone when the look is over.
    """
    _marks_to_kill.add(mark)
    try:
        yield
    finally:
        _marks_to_kill.discard(mark)


def shared_snapshot() -> ProcessSnapshot:
    """A look that begins after this call; those who ask while another is under way share one."""
    global _next_snapshot
    if _next_snapshot is None:
        _next_snapshot = gevent.spawn(_take_when_free)
    seen: ProcessSnapshot = _next_snapshot.get()
    return seen


def _take_when_free() -> ProcessSnapshot:
    global _next_snapshot
    with _taking:
        _next_snapshot = None
        return ProcessSnapshot(_see, TimeSlices().yield_if_over)


def _see(member: Member) -> None:
    if _marks_to_kill and _is_stray(member) and member.mark in _marks_to_kill:
        member.send(signal.SIGKILL)


def _is_stray(member: Member) -> bool:
    return member.parent == os.getpid() and member.pid not in started
