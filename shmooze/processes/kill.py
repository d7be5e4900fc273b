"""SIGKILL for processes, and a moment in which the kernel carries it out."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import gevent

from shmooze.processes.group import Group
from shmooze.processes.proc import Member

#: Seconds that the kernel gets to carry out SIGKILL before a tree is inspected again.
KILL_WAIT = 0.05


def kill(members: Sequence[Member | Group]) -> None:
    """Send SIGKILL and give the kernel a moment to carry it out."""
    for member in members:
        member.send(signal.SIGKILL)
    with gevent.Timeout(KILL_WAIT, False):
        for member in members:
            member.wait_dead()
