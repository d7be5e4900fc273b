"""The terms of new items, from the arguments of `add`: checked, and made of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any

import msgspec

from shmooze.errors import CommandError
from shmooze.modules.terms import PLAIN, Terms, Window
from shmooze.runtime import clock

#: Characters that a label or the name of a batch may have.
_MAX_TEXT = 200
#: Items that one item may wait for.
_MAX_AFTER = 100
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def terms_of(
    command: str,
    *,
    priority: float = 0,
    label: str | None = None,
    not_before: str | float | None = None,
    expires: str | float | None = None,
    after: Sequence[str] = (),
    batch: str | None = None,
    window: dict[str, Any] | None = None,
) -> Terms:
    """The terms that these arguments of `command` mean. Raises CommandError."""
    try:
        terms = Terms(
            priority=float(priority),
            label=_text("label", label),
            not_before=moment("not_before", not_before),
            expires=moment("expires", expires),
            after=_uids(after),
            batch=_text("batch", batch),
            window=_window(window),
        )
        if terms.expires is not None and terms.expires <= clock.time():
            raise ValueError("argument `expires`: is in the past")
    except ValueError as bad:
        raise CommandError(f"{command}: {bad}") from None
    return PLAIN if terms == PLAIN else terms


def moment(name: str, given: str | float | None) -> float | None:
    """A time in seconds since 1970, from those or from text as RFC 3339 has it. Raises
    ValueError.
    """
    if given is None:
        return None
    if isinstance(given, str):
        try:
            time = msgspec.convert(given, datetime)
        except msgspec.ValidationError:
            time = None
        if time is None or time.tzinfo is None:
            form = "a time with a zone such as 2027-03-01T08:00:00+01:00, or seconds since 1970"
            raise ValueError(f"argument `{name}`: must be {form}")
        return time.timestamp()
    if not 0 <= given < 1e11:
        raise ValueError(f"argument `{name}`: must be in seconds since 1970")
    return float(given)


def _text(name: str, given: str | None) -> str | None:
    if given is not None and (not 0 < len(given) <= _MAX_TEXT or not given.isprintable()):
        raise ValueError(f"argument `{name}`: must be a line of 1 to {_MAX_TEXT} characters")
    return given


def _uids(given: Sequence[str]) -> tuple[str, ...]:
    if len(given) > _MAX_AFTER:
        raise ValueError(f"argument `after`: must be at most {_MAX_AFTER} uids")
    return tuple(dict.fromkeys(given))


def _window(given: dict[str, Any] | None) -> Window | None:
    if given is None:
        return None
    try:
        window = msgspec.convert(given, Window)
    except msgspec.ValidationError:
        form = '{"from": "08:00", "to": "18:30", "days"?: ["mon", …], "tz"?: "Europe/Berlin"}'
        raise ValueError(f"argument `window`: must be {form}") from None
    for key, text in (("from", window.start), ("to", window.end)):
        if seconds_of_day(text) is None:
            raise ValueError(f"argument `window`: `{key}` must be a time of day such as 08:00")
    if unknown := [day for day in window.days if day not in _DAYS]:
        known = ", ".join(_DAYS)
        raise ValueError(f"argument `window`: {unknown[0]!r} is not a day; known: {known}")
    zone_of("window", window.tz)
    return window


def zone_of(name: str, given: str | None) -> tzinfo | None:
    """A time zone; None for that of the machine. Raises ValueError."""
    if given is None:
        return None
    from zoneinfo import ZoneInfo  # loaded only where a zone is named

    try:
        return ZoneInfo(given)
    except (KeyError, OSError, ValueError):  # which unknown names and bad ones raise
        raise ValueError(f"argument `{name}`: there is no time zone {given!r}") from None


def seconds_of_day(text: str) -> int | None:
    """A time of day such as 08:00 or 18:30:15, in seconds from midnight; None if it is not one."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(len(part) == 2 and part.isdecimal() for part in parts):
        return None
    hours, minutes, seconds = (*map(int, parts), 0)[:3]
    is_time = hours < 24 and minutes < 60 and seconds < 60
    return hours * 3600 + minutes * 60 + seconds if is_time else None
