"""Schedules as a table for people: what each adds, when, and its next times."""

from __future__ import annotations

from typing import Any

from shmooze.shmz.cells import align
from shmooze.shmz.headings import heading


def are_schedules(values: list[Any]) -> bool:
    """Whether a result is a list of schedules."""
    return bool(values) and all(
        isinstance(each, dict) and isinstance(each.get("next"), list) and "overlap" in each
        for each in values
    )


def format_schedules(schedules: list[dict[str, Any]], columns: int) -> list[str]:
    """Format them as a table, with a line for each of the next times."""
    grid = [["id", "type", "when", "next", "last"]]
    for schedule in schedules:
        first = [str(schedule.get("id")), heading(schedule), when(schedule)]
        times = [local(time) for time in schedule["next"]] or [str(schedule.get("problem", ""))]
        grid.append([*first, times[0], last(schedule)])
        grid += [["", "", "", time, ""] for time in times[1:]]
    return align(grid, columns)


def when(schedule: dict[str, Any]) -> str:
    zone = f" {schedule['tz']}" if schedule.get("tz") else ""
    if schedule.get("cron") is not None:
        return f"{schedule['cron']}{zone}"
    if schedule.get("every") is not None:
        return f"every {schedule['every']:g} s"
    return "once"


def last(schedule: dict[str, Any]) -> str:
    known = schedule.get("last")
    if schedule.get("problem"):
        return str(schedule["problem"])
    if not isinstance(known, dict):
        return ""
    return str(known.get("reason") or f"added {str(known.get('uid'))[:8]}")


def local(time: Any) -> str:
    """Return a time as the schedule's zone has it, such as 2027-03-01 08:00:00 +01:00."""
    text = str(time)
    return f"{text[:10]} {text[11:19]} {text[19:]}"
