"""Recurrences: the moments of a schedule, in seconds since 1970."""

from __future__ import annotations

import math
from datetime import datetime, tzinfo
from typing import Protocol

from shmooze.schedules.zones import moment_of

#: Seconds of which the clocks are set forward or back at most, and some more.
_CHANGE = 3 * 3600.0


class Recurrence(Protocol):
    """A sequence of moments."""

    def after(self, moment: float) -> float | None:
        """The first one that is later; None: there is none."""

    def until(self, moment: float) -> float | None:
        """The last one that is not later; None: there is none."""


class Once:
    """A single moment."""

    def __init__(self, at: float) -> None:
        self._at = at

    def after(self, moment: float) -> float | None:
        return self._at if self._at > moment else None

    def until(self, moment: float) -> float | None:
        return self._at if self._at <= moment else None


class Every:
    """Every so many seconds after a moment."""

    def __init__(self, seconds: float, start: float) -> None:
        self._seconds, self._start = seconds, start

    def after(self, moment: float) -> float | None:
        return self._moment(self._last(moment) + 1)

    def until(self, moment: float) -> float | None:
        last = self._last(moment)
        return self._moment(last) if last else None

    def _last(self, moment: float) -> int:
        """The number of the last one that is not later; 0: there is none."""
        number = max(0, math.floor((moment - self._start) / self._seconds))
        while number and self._moment(number) > moment:  # by a rounding error
            number -= 1
        return number + 1 if self._moment(number + 1) <= moment else number

    def _moment(self, number: int) -> float:
        return round(self._start + number * self._seconds, 3)


class Cron:
    """The moments of a cron expression, by the local time of a zone. Raises ValueError.

    As in Debian's cron: a time that clocks skip when they go forward is moved to right after that,
    and one that exists twice when they go back is at the first of both. An expression that begins
    with * for the minute or the hour goes by the time that passes instead.
    """

    #: Characters that an expression may have.
    max_length = 200

    def __init__(self, expression: str, zone: tzinfo) -> None:
        try:
            from cronsim import CronSim, CronSimError  # an extra
        except ImportError:
            raise ValueError("needs cronsim: pip install 'shmooze[schedules]>=2'") from None
        self._simulate, self._expression, self._zone = CronSim, expression, zone
        if len(expression) > self.max_length:
            raise ValueError(f"must have at most {self.max_length} characters")
        try:
            CronSim(expression, datetime(2000, 1, 1))
        except (CronSimError, AssertionError, TypeError, ValueError) as bad:
            words = str(bad) or "wrong"
            raise ValueError(f"{words[:1].lower()}{words[1:]}: {expression!r}") from None

    def after(self, moment: float) -> float | None:
        simulated = self._simulate(self._expression, datetime.fromtimestamp(moment, self._zone))
        times = (each.timestamp() for each in simulated)
        # In an hour that exists twice, the first is that of the earlier one.
        return next((time for time in times if time > moment), None)

    def until(self, moment: float) -> float | None:
        latest = datetime.fromtimestamp(moment + 1, self._zone)
        # Backwards, times are not adjusted where the clocks change, so it ends with steps forwards.
        for about in self._simulate(self._expression, latest, reverse=True):
            for start in (about.timestamp() - 1, about.timestamp() - _CHANGE):
                if (found := self._last(start, moment)) is not None:
                    return found
        return None

    def _last(self, start: float, end: float) -> float | None:
        """The last one of a short time; None: there is none."""
        found, upcoming = None, self.after(start)
        while upcoming is not None and upcoming <= end:
            found, upcoming = upcoming, self.after(upcoming)
        return found


def local_moment(text: str, zone: tzinfo) -> float | None:
    """The moment of a time without a zone such as 2027-03-01T08:00; None: it is not one."""
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment_of(local, zone) if local.tzinfo is None else None
