"""The clock that modules and brokers wait on. Tests replace it with one that they control.

Servers, logs and everything that only measures use the plain `time` module.
"""

from __future__ import annotations

import time as _time
from datetime import datetime, timezone
from typing import Any, Protocol

import gevent


class Waitable(Protocol):
    """An Event or AsyncResult of gevent."""

    def ready(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> Any: ...


#: Seconds by which the clock has to be set for anybody to act on it.
STEP = 1.0


class Clock:
    """The time of this machine."""

    #: Seconds between looks at whether the clock was set.
    look_interval = 1.0

    def now(self) -> float:
        """Seconds that only ever go forward, from no particular moment."""
        return _time.monotonic()

    def time(self) -> float:
        """Seconds since 1970."""
        return _time.time()

    def wait(self, event: Waitable, timeout: float | None) -> bool:
        """Wait for an event, for `timeout` seconds at most. Returns whether it has come."""
        event.wait(timeout)
        return event.ready()

    def sleep(self, seconds: float) -> None:
        """Let others work for so many seconds."""
        gevent.sleep(seconds)

    def wait_until(self, event: Waitable, moment: float) -> None:
        """Wait for an event, until a moment in seconds since 1970 at most. Also returns when the
        clock of the machine has been set, or the machine has slept: such a moment may then be at
        another distance. So whoever calls it looks at the time again.
        """
        before = self.time() - self.now()
        while not event.ready() and (left := moment - self.time()) > 0:
            if abs(self.time() - self.now() - before) > STEP:
                return
            event.wait(min(left, self.look_interval))


_current = Clock()


def use(clock: Clock) -> Clock:
    """Replace the clock of this process. Returns the one used before."""
    global _current
    before, _current = _current, clock
    return before


def now() -> float:
    """See Clock.now."""
    return _current.now()


def time() -> float:
    """See Clock.time."""
    return _current.time()


def iso8601(seconds: float) -> str:
    """A time in seconds since 1970 as clients see it: ISO 8601, UTC, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wait(event: Waitable, timeout: float | None) -> bool:
    """See Clock.wait."""
    return _current.wait(event, timeout)


def sleep(seconds: float) -> None:
    """See Clock.sleep."""
    _current.sleep(seconds)


def wait_until(event: Waitable, moment: float) -> None:
    """See Clock.wait_until."""
    _current.wait_until(event, moment)
