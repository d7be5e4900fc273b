"""Windows: the part of each day in which an item plays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache

from shmooze.broker.terms import seconds_of_day
from shmooze.modules.terms import Window
from shmooze.schedules.zones import moment_of, zone

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def is_open(window: Window, now: float) -> bool:
    """Whether it is open at a moment."""
    return any(start <= now < end for start, end in _spans(window, now))


def next_edge(window: Window, now: float) -> float:
    """The first moment after `now` at which it may open or close."""
    edges = (edge for span in _spans(window, now) for edge in span)
    return min((edge for edge in edges if edge > now), default=now + 86400.0)


def in_words(window: Window) -> str:
    """What an item waits for while it is closed."""
    days = f" on {', '.join(window.days)}" if window.days else ""
    place = f" ({window.tz})" if window.tz else ""
    return f"plays from {window.start} to {window.end}{days}{place}"


def _spans(window: Window, now: float) -> Iterator[tuple[float, float]]:
    """When it is open, from two days before a moment to eight days after it."""
    today = datetime.fromtimestamp(now, zone(window.tz)).date()
    for number in range(-2, 9):
        day = today + timedelta(days=number)
        if not window.days or DAYS[day.weekday()] in window.days:
            yield _span(window, day)


@lru_cache(maxsize=4096)
def _span(window: Window, day: date) -> tuple[float, float]:
    """When the window of a day opens and closes."""
    start, end = seconds_of_day(window.start), seconds_of_day(window.end)
    assert start is not None and end is not None
    last = day if end > start else day + timedelta(days=1)
    return _moment(window, day, start), _moment(window, last, end)


def _moment(window: Window, day: date, seconds: int) -> float:
    midnight = datetime.combine(day, datetime.min.time())
    return moment_of(midnight + timedelta(seconds=seconds), zone(window.tz))
