"""Stopping a tree of processes with SIGSTOP, which may start others meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence

import gevent

from shmooze.processes import strays
from shmooze.processes.group import Group
from shmooze.processes.proc import Member

#: Seconds until it is checked again whether processes have stopped.
_INTERVAL = 0.001


def stop(
    mark: int,
    find: Callable[[], Sequence[Member | Group]],
    is_given_up: Callable[[], bool],
    timeout: float,
) -> bool:
    """Stop all processes of a tree, which has this mark. `find` returns those that live.

    Returns False if that has not succeeded after `timeout` seconds.
    """
    give_up = time.monotonic() + timeout
    told, stopped = set[Member | Group](), set[Member | Group]()
    # Only what was stopped before a search cannot have started anything during it.
    with strays.signal_when_found(mark, signal.SIGSTOP):
        while not stopped.issuperset(found := find()) and not is_given_up():
            if time.monotonic() > give_up:
                return False
            if new := [member for member in found if member not in told]:
                for member in new:
                    member.send(signal.SIGSTOP)
                told.update(new)
                strays.overtake(mark, signal.SIGSTOP, {member.pid for member in found})
                continue
            while not all(each.is_stopped() for each in found) and time.monotonic() < give_up:
                gevent.sleep(_INTERVAL)  # the kernel takes a moment
            stopped = {each for each in found if each.is_stopped()}
            told = {*stopped}
    return True
