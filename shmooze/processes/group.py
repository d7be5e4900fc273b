"""Process groups, for systems without a better way to track a child's processes."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import gevent


@dataclass(frozen=True)
class Group:
    """A child's process group. Signalled and awaited like a Member of a tree."""

    #: The child's own pid, which is also the group's number.
    pid: int

    #: Seconds between two checks for its end.
    interval = 0.02

    def is_alive(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # only zombies are left (some systems), or the group changed its user
        return True

    def send(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def is_stopped(self) -> bool:
        return True  # which cannot be found out

    def wait_dead(self) -> None:
        while self.is_alive():
            gevent.sleep(self.interval)
