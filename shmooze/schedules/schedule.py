"""A schedule: what is added, when, and what happens to times that are missed or overlap."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Any

import msgspec

from shmooze.runtime import clock
from shmooze.schedules.recurrence import Cron, Every, Once, Recurrence
from shmooze.schedules.zones import in_words, zone

SKIP, ONCE, QUEUE, REPLACE = ("skip", "once", "queue", "replace")


class Last(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has become of the last time of a schedule."""

    time: float
    #: The item that was added; None: none was, for this reason.
    uid: str | None = None
    reason: str | None = None

    def shown(self) -> dict[str, Any]:
        return {**msgspec.to_builtins(self), "time": clock.iso8601(self.time)}


class Schedule(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, dict=True):
    """A schedule as it is kept."""

    id: str
    #: What is added.
    type: str
    args: dict[str, Any]
    label: str | None = None
    priority: float = 0.0
    #: Exactly one of these is set: an expression, seconds, a time.
    cron: str | None = None
    every: float | None = None
    at: float | None = None
    #: The time zone; None: that of the machine.
    tz: str | None = None
    missed: str = SKIP
    overlap: str = SKIP
    #: After that, there are no more times.
    until: float | None = None
    by: str | None = None
    added: float
    #: The times up to this one are dealt with.
    seen: float
    last: Last | None = None

    @cached_property
    def recurrence(self) -> Recurrence:
        """Its times, regardless of `until`. Raises ValueError."""
        if self.cron is not None:
            return Cron(self.cron, zone(self.tz))
        if self.every is not None:
            return Every(self.every, self.added)
        assert self.at is not None
        return Once(self.at)

    def next(self, now: float) -> float | None:
        """Its next time that is not dealt with, which may be over; None: it has no more. Raises
        ValueError.
        """
        return self._in_bounds(self.recurrence.after(min(self.seen, now)))

    def due(self, now: float) -> float | None:
        """The last of its times that are over and not dealt with; None: there are none. Raises
        ValueError.
        """
        last = now if self.until is None else min(now, self.until)
        found = self.recurrence.until(last)
        return found if found is not None and found > min(self.seen, now) else None

    def upcoming(self, now: float, count: int = 5) -> list[str]:
        """Its next times, in words. Empty if it has none, or they cannot be told."""
        try:
            shown = zone(self.tz)
            return [in_words(moment, shown) for moment in islice(self._from(now), count)]
        except ValueError:
            return []

    def key(self, moment: float) -> str:
        """The key of the item that is added at a time, so that there is only one."""
        return f"schedule:{self.id}:{clock.iso8601(moment)}"

    def _from(self, moment: float) -> Iterator[float]:
        found = self._in_bounds(self.recurrence.after(max(self.seen, moment)))
        while found is not None:
            yield found
            found = self._in_bounds(self.recurrence.after(found))

    def _in_bounds(self, moment: float | None) -> float | None:
        is_over = moment is not None and self.until is not None and moment > self.until
        return None if is_over else moment
