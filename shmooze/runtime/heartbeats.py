"""Heartbeats: how a supervisor knows that the event loops of its workers are running.

Each worker's loop increments a counter in memory that all processes share. The supervisor checks
the counters at intervals. It counts checks and not seconds: if all processes were stopped for an
hour, the supervisor has made no checks in that hour, and no worker is taken for hung.
"""

from __future__ import annotations

import mmap
import struct
import time
from typing import NoReturn

import gevent

_COUNTER = struct.Struct("=Q")


class Heartbeats:
    """The heartbeats of `count` workers, numbered from 0. Create it before they are forked."""

    #: Seconds between two beats.
    interval = 1.0
    #: Seconds between two checks; longer than `interval`, so that there is a beat in between.
    check_interval = 1.5

    def __init__(self, count: int) -> None:
        self._counters = mmap.mmap(-1, count * _COUNTER.size)
        self._seen = [0] * count
        self._missed = [0] * count
        #: When to check next; in time.monotonic().
        self.next_check = 0.0

    def beat_forever(self, worker: int) -> NoReturn:
        """In the worker: increment its counter at each interval."""
        while True:
            _COUNTER.pack_into(self._counters, worker * _COUNTER.size, self._count(worker) + 1)
            gevent.sleep(self.interval)

    def reset(self, worker: int) -> None:
        """In the supervisor: a new process is this worker from now on."""
        self._missed[worker] = 0

    def check(self) -> None:
        """In the supervisor: check all counters, if it is time."""
        now = time.monotonic()
        if now < self.next_check:
            return
        self.next_check = now + self.check_interval
        for worker, seen in enumerate(self._seen):
            self._seen[worker] = self._count(worker)
            self._missed[worker] = self._missed[worker] + 1 if self._seen[worker] == seen else 0

    def silence(self, worker: int) -> float:
        """Seconds without a beat, as far as the supervisor has made its checks."""
        return self._missed[worker] * self.check_interval

    def _count(self, worker: int) -> int:
        count: int = _COUNTER.unpack_from(self._counters, worker * _COUNTER.size)[0]
        return count
