"""Heartbeats: how a supervisor sees that the event loops of its workers turn.

A worker's loop counts a number up, in memory that all processes share. The supervisor looks at it
now and then. It counts in looks, not in seconds of a clock: when everything was stopped for an
hour, the supervisor has missed its looks as well, and nobody is blamed for the hour.
"""

from __future__ import annotations

import mmap
import struct
import time
from typing import NoReturn

import gevent

_COUNTER = struct.Struct("=Q")


class Heartbeats:
    """Those of `count` workers, numbered from 0. Make it before they are forked."""

    #: Seconds between two beats.
    interval = 1.0
    #: Seconds between two looks; a little more, so that there is a beat in each.
    look_interval = 1.5

    def __init__(self, count: int) -> None:
        self._counters = mmap.mmap(-1, count * _COUNTER.size)
        self._seen = [0] * count
        self._missed = [0] * count
        #: When to look next; on the clock of time.monotonic().
        self.next_look = 0.0

    def beat_forever(self, worker: int) -> NoReturn:
        """In the worker: tell again and again that its loop slices."""
        while True:
            _COUNTER.pack_into(self._counters, worker * _COUNTER.size, self._count(worker) + 1)
            gevent.sleep(self.interval)

    def forget(self, worker: int) -> None:
        """In the supervisor: a new process is this worker from now on."""
        self._missed[worker] = 0

    def look(self) -> None:
        """In the supervisor: see who has beaten since the last look. Too early, it does nothing."""
        now = time.monotonic()
        if now < self.next_look:
            return
        self.next_look = now + self.look_interval
        for worker, seen in enumerate(self._seen):
            self._seen[worker] = self._count(worker)
            self._missed[worker] = self._missed[worker] + 1 if self._seen[worker] == seen else 0

    def silence(self, worker: int) -> float:
        """Seconds without a beat; only those in which the supervisor has looked count."""
        return self._missed[worker] * self.look_interval

    def _count(self, worker: int) -> int:
        count: int = _COUNTER.unpack_from(self._counters, worker * _COUNTER.size)[0]
        return count
