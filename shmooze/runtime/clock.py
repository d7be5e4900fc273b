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


class Clock:
    """The time of this machine."""

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
