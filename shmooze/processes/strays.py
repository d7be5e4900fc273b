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

from shmooze.processes.tree import Look, Member
from shmooze.runtime.time_slices import Turns

#: The living children that we have started ourselves, by pid: they are no strays.
started: set[int] = set()

_marks_killed_at_sight: set[int] = set()
_looking = Semaphore()
_next_look: gevent.Greenlet | None = None


def bears(member: Member, mark: int) -> bool:
    """Whether a process is a stray from the child that got this mark."""
    return _is_stray(member) and member.mark == mark


def may_be() -> bool:
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
def killed_at_sight(mark: int) -> Iterator[None]:
    """Strays that bear `mark` get SIGKILL as soon as a look comes upon them.

    One that forks and ends all the time would be gone when the look is over.
    """
    _marks_killed_at_sight.add(mark)
    try:
        yield
    finally:
        _marks_killed_at_sight.discard(mark)


def look_together() -> Look:
    """A look that begins after this call; those who ask while another is under way share one."""
    global _next_look
    if _next_look is None:
        _next_look = gevent.spawn(_look_when_free)
    seen: Look = _next_look.get()
    return seen


def _look_when_free() -> Look:
    global _next_look
    with _looking:
        _next_look = None
        return Look(_see, Turns().end_if_over)


def _see(member: Member) -> None:
    if _marks_killed_at_sight and _is_stray(member) and member.mark in _marks_killed_at_sight:
        member.send(signal.SIGKILL)


def _is_stray(member: Member) -> bool:
    return member.parent == os.getpid() and member.pid not in started
