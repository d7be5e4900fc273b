"""Strays: descendants of our children that lost their parent and are our own children now.

Also lets all searches for them share snapshots: a hundred modules that end at once cost a few
snapshots of /proc, not a few each.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from gevent.lock import Semaphore

from shmooze.processes.proc import Member, read_member
from shmooze.processes.tree import ProcessSnapshot, child_pids, has_children, read_new
from shmooze.runtime.time_slices import TimeSlices

#: Attempts to overtake processes that start others.
_MAX_STEPS = 100

#: The living children that this process started itself, by pid: they are not strays.
started: set[int] = set()

#: The signal that strays with this mark get.
_signals: dict[int, signal.Signals] = {}
_snapshot_lock = Semaphore()
_next_snapshot: gevent.Greenlet | None = None


def has_mark(member: Member, mark: int) -> bool:
    """Return True if a process is a stray from the child with this mark."""
    return member.mark == mark and _is_stray(member)


def is_alone(child: int, mark: int) -> bool:
    """Return True if nothing runs that a child with this mark has started. Takes no snapshot.

    All of that is below its own children, or below strays. Returns False if this is not known.
    """
    try:
        found = (read_member(pid) for pid in _our_children() if pid not in started)
        has_strays = any(member is not None and has_mark(member, mark) for member in found)
        return not has_children(child) and not has_strays
    except OSError:  # it has just ended, or this kernel does not list children
        return False


def any_possible() -> bool:
    """Return False if there are certainly no strays, so that no snapshot is needed.

    What a child leaves behind becomes our own child the moment it exits. The kernel's list of our
    children, zombies included, can only miss one while another is removed from it. Only this thread
    removes any, by reaping.
    """
    try:
        return any(pid not in started for pid in _our_children())
    except OSError:  # this kernel has no such list
        return True


def missed_by(snapshot: ProcessSnapshot) -> set[int]:
    """Return our adopted children that are dead in a snapshot, or not in it.

    Each stray that lives is our child, or a descendant of one. A child that is dead may have left
    another one, which is in the kernel's list from that moment on.
    """
    seen = {member.pid for member in snapshot.living}
    try:
        return {pid for pid in _our_children() if pid not in started and pid not in seen}
    except OSError:  # this kernel has no such list
        return snapshot.dead


def _our_children() -> Iterator[int]:
    return child_pids("self")


@contextmanager
def signal_when_found(mark: int, number: signal.Signals) -> Iterator[None]:
    """Send a signal to strays with this mark as soon as any snapshot finds them.

    A stray that keeps forking and exiting would be gone by the end of the snapshot.
    """
    _signals[mark] = number
    try:
        yield
    finally:
        if _signals.get(mark) is number:  # or another greenlet has begun to end them meanwhile
            del _signals[mark]


def overtake(mark: int, number: signal.Signals, family: set[int]) -> None:
    """Send a signal to descendants with this mark that were started since the last snapshot.

    `family` are pids of the processes that have started them. A chain in which each process starts
    another one grows faster than whole snapshots can be taken.
    """
    for _ in range(_MAX_STEPS):
        found_one = False
        for member in read_new():
            if member.mark == mark and member.parent in family:
                member.send(number)
                family.add(member.pid)
                found_one = True
        if not found_one:
            return


def shared_snapshot() -> ProcessSnapshot:
    """Return a snapshot that begins after this call.

    All calls made while an earlier snapshot is still being taken share the next one.
    """
    global _next_snapshot
    if _next_snapshot is None:
        _next_snapshot = gevent.spawn(_take_snapshot)
    snapshot: ProcessSnapshot = _next_snapshot.get()
    return snapshot


def _take_snapshot() -> ProcessSnapshot:
    global _next_snapshot
    with _snapshot_lock:
        _next_snapshot = None
        return ProcessSnapshot(_on_found, TimeSlices().yield_if_over)


def _on_found(member: Member) -> None:
    if _signals and member.mark in _signals and _is_stray(member):
        member.send(_signals[member.mark])


def _is_stray(member: Member) -> bool:
    return member.parent == os.getpid() and member.pid not in started
