"""SIGSTOP for a process and everything that it starts meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence

import gevent

from shmooze.processes import strays
from shmooze.processes.group import Group
from shmooze.processes.proc import Member

#: Seconds that it may take to stop everything: the kernel may hold a process for longer.
STOP_TIMEOUT = 4.0
#: Seconds until it is checked again whether processes have stopped.
_STOP_INTERVAL = 0.001


def stop_all(
    find: Callable[[], Sequence[Member | Group]], mark: int, is_ending: Callable[[], bool]
) -> bool:
    """Stop all that `find` finds, until it finds no more, or they are being ended.

    Strays among them have this mark. Returns False if that takes too long.
    """
    give_up = time.monotonic() + STOP_TIMEOUT
    told, stopped = set[Member | Group](), set[Member | Group]()
    # Only what was stopped before a search cannot have started anything during it.
    with strays.signal_when_found(mark, signal.SIGSTOP):
        while not stopped.issuperset(found := find()) and not is_ending():
            if time.monotonic() > give_up:
                return False
            if new := [member for member in found if member not in told]:
                for member in new:
                    member.send(signal.SIGSTOP)
                told.update(new)
                strays.overtake(mark, signal.SIGSTOP, {member.pid for member in found})
                continue
            while not all(each.is_stopped() for each in found) and time.monotonic() < give_up:
                gevent.sleep(_STOP_INTERVAL)  # the kernel takes a moment
            stopped = {each for each in found if each.is_stopped()}
            told = {*stopped}
    return True
