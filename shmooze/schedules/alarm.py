"""An alarm: calls a function at the times that it asks for, even if the clock is set."""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent
from gevent.event import Event

from shmooze.runtime import clock

log = logging.getLogger(__name__)


class Alarm:
    """Calls `ring` when it is set, and at the moment that `ring` returned last, in seconds since
    1970; None: at none.

    `ring` is told whether the clock of the machine was set back meanwhile.
    """

    #: Seconds until it rings again after a fault.
    pause = 60.0

    def __init__(self, name: str, ring: Callable[[bool], float | None]) -> None:
        self._name, self._ring = name, ring
        self._is_set = Event()
        self._greenlet: gevent.Greenlet | None = None

    def set(self) -> None:
        """Ring soon. Does not wait."""
        self._is_set.set()
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)
            self._greenlet.name = self._name

    def close(self) -> None:
        """Ring no more."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def _run(self) -> None:
        offset = clock.time() - clock.now()
        while True:
            self._is_set.clear()
            change = clock.time() - clock.now() - offset
            offset += change
            try:
                moment = self._ring(change < -clock.STEP)
            except Exception:
                log.exception("%s failed", self._name)
                moment = clock.time() + self.pause
            if moment is None:
                self._is_set.wait()
            else:
                clock.wait_until(self._is_set, moment)
