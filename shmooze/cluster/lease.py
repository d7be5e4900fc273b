"""Leases: how long a guard may go on without its service, and when the service may be sure.

Strategy. The guard sends beats, and the service answers them. An answer extends the lease from the
moment when the guard sent the beat, by the guard's clock. The service notes by its own clock when
it sent the answer, which is later. So the lease has ended by then plus its length, whatever the
network has delayed, and no clock is ever compared with another one: only their speeds matter.
When its lease is over, the guard kills the program. The service takes the program for lost once
that must have been done, and no earlier: only then may the same item be started again.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Callable

from msgspec import Struct

from shmooze.runtime import clock


class Timing(Struct, frozen=True):
    """The times of leases, in seconds."""

    #: How long a guard goes on without an answer of its service.
    lease: float = 30.0
    #: How long it takes at most to kill everything when the lease is over.
    ending: float = 5.0
    #: By how much clocks may differ in speed.
    drift: float = 0.01

    @property
    def beat(self) -> float:
        """Seconds between two beats."""
        return min(2.0, self.lease / 10)

    @property
    def silence(self) -> float:
        """Seconds without a frame after which a connection counts as broken."""
        return self.lease / 3

    @property
    def patience(self) -> float:
        """Seconds between SIGTERM and SIGKILL when a lease ends: SIGTERM comes so much before."""
        return min(2.0, self.lease / 5)

    @property
    def bound(self) -> float:
        """Seconds after the last answer when nothing runs any more for certain."""
        return self.lease * (1 + self.drift) + self.ending


def node_clock() -> float:
    """Seconds that only go forward, also while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Lease:
    """The guard's side of a lease."""

    def __init__(self, timing: Timing, now: Callable[[], float] = node_clock) -> None:
        self._timing, self._now = timing, now
        self._sent: dict[int, float] = {}
        self._number = 0
        self._until = now() + timing.lease

    def beat(self) -> int:
        """Note that a beat is sent now. Returns its number."""
        self._number += 1
        self._sent[self._number] = self._now()
        return self._number

    def answered(self, number: int) -> None:
        """A beat was answered."""
        sent = self._sent.get(number)
        if sent is None:
            return
        self._until = max(self._until, sent + self._timing.lease)
        self._sent = {each: when for each, when in self._sent.items() if each > number}

    @property
    def until(self) -> float:
        """When it is over, by the node's clock."""
        return self._until

    @property
    def left(self) -> float:
        """Seconds until it is over; less than 0 if it is."""
        return self._until - self._now()


class SharedDeadline:
    """A time by the node's clock that a forked process sees as well."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, struct.calcsize("d"))
        self.set(float("inf"))

    def set(self, until: float) -> None:
        """Move it."""
        struct.pack_into("d", self._memory, 0, until)

    def is_over(self) -> bool:
        """Whether it is over."""
        until: float = struct.unpack_from("d", self._memory, 0)[0]
        return node_clock() > until


class Fence:
    """The service's side: when the program has ended for certain."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._answered = clock.now()

    def answered(self) -> None:
        """A beat is answered now."""
        self._answered = clock.now()

    @property
    def left(self) -> float:
        """Seconds until it is certain; less than 0 if it is."""
        return self._answered + self._timing.bound - clock.now()

    @property
    def quiet(self) -> float:
        """Seconds since the last answer."""
        return clock.now() - self._answered
