"""Patience: how long somebody waits for a child, not counting pauses of this process.

A service may be stopped (SIGSTOP, the freezer of a container, a debugger) while a child answers.
When it goes on, the answer lies in the socket and the timer is due as well. A plain timer would
win. So a wait is made of short steps. A step that ends much too late was interrupted by a pause,
in which the child may have been stopped as well, and does not count. After the last step the loop
gets a moment to read what has come.
"""

from __future__ import annotations

import time
from typing import Any, Protocol


class _Waitable(Protocol):
    """An Event or AsyncResult of gevent."""

    def ready(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> Any: ...


class Patience:
    """So many seconds to wait, for one event or several in turn."""

    #: Seconds of one step.
    step = 0.5
    #: Seconds by which a step must be late to count as a pause. A busy loop is late by less.
    much_too_late = 1.0
    #: Seconds in which the loop reads what has come when the time is over.
    grace = 0.05

    def __init__(self, seconds: float) -> None:
        self._left = max(0.0, seconds) + self.grace
        self._was_late = False

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._left - self.grace)

    def wait(self, event: _Waitable) -> bool:
        """Wait until `event` has come or the time is over; whether it has come."""
        while not event.ready() and self._left > 0:
            in_time = self._left > self.grace
            step = min(self.step, self._left - self.grace) if in_time else self._left
            begun = time.monotonic()
            event.wait(step)
            took = time.monotonic() - begun
            late = took >= step + self.much_too_late
            if not late or self._was_late:  # one is a pause, one after the other a slow loop
                self._left = max(self.grace if in_time else 0.0, self._left - took)
            self._was_late = late
        return event.ready()
