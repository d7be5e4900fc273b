"""Restarts and retries: when to start a module again that has ended, and when to stop trying."""

from __future__ import annotations

from collections import deque
from typing import Any

from shmooze.runtime import clock
from shmooze.runtime.backoff import Backoff

NEVER, ON_FAILURE, ALWAYS = POLICIES = ("never", "on-failure", "always")


class Restarts:
    """The restarts of one module, handed from each of its lives to the next.

    The delay doubles with each restart up to a longest one, varies at random so that many modules
    do not come back at the same moment, and begins anew after a healthy life.
    """

    #: A life of so many seconds is healthy.
    healthy = 60.0
    #: By how much of itself a delay varies, up and down.
    jitter = 0.25
    #: How often a job that has failed may still be tried again, if it is not restarted anyway.
    retries_left = 0

    def __init__(self, delay: float, longest: float, limit: int, period: float) -> None:
        self._backoff = Backoff(delay, longest, self.jitter)
        self._limit, self._period = limit, period
        self._in_a_row = 0
        self._times: deque[float] = deque()
        #: Restarts so far.
        self.count = 0
        #: Whether there will be no more.
        self.given_up = False

    def delay_after(self, lived: float) -> float | None:
        """Seconds to wait after a life of `lived` seconds; None: give up."""
        now = clock.now()
        while self._times and self._times[0] < now - self._period:
            self._times.popleft()
        if len(self._times) >= self._limit:
            self.given_up = True
            return None
        self._times.append(now)
        self.count += 1
        self._in_a_row = 1 if lived >= self.healthy else self._in_a_row + 1
        return self._backoff.delay(self._in_a_row)


class Retries(Restarts):
    """The retries of a job that has failed. Their number counts over all lives of the service."""

    #: The longest delay, in seconds.
    longest = 3600.0

    def __init__(self, delay: float, limit: int) -> None:
        super().__init__(delay, self.longest, limit, period=0.0)

    @property
    def retries_left(self) -> int:  # type: ignore[override]
        return max(0, self._limit - self.count)

    def delay_after(self, lived: float) -> float | None:
        self.count += 1
        return self._backoff.delay(self.count)


def restarts_of(kind: Any) -> Restarts:
    """The restarts, or else the retries, that a Kind asks for."""
    # An application may use the name for something else.
    if kind.restart == NEVER and isinstance(kind.retries, int) and kind.retries:
        return Retries(kind.retry_delay, kind.retries)
    return Restarts(
        kind.restart_delay, kind.restart_delay_max, kind.restart_limit, kind.restart_period
    )
