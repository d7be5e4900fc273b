"""Shapes of the commands on schedules: arguments and results, as `describe` shows them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from shmooze.broker.shapes import ARGS, BY, TEXT, TIME, object_of

# Arguments.

Cron = Annotated[
    str | None,
    Meta(description="A cron expression: minute, hour, day of the month, month, day of the week."),
]
At = Annotated[
    str | float | None,
    Meta(
        description="A single time, as in RFC 3339 or in seconds since 1970; without a zone, it is"
        " a local time in `tz`."
    ),
]
Every = Annotated[
    Annotated[float, Meta(ge=1, le=1e9)] | None,
    Meta(description="Seconds from one time to the next; the first one is that long from now."),
]
Zone = Annotated[
    str | None,
    Meta(description="A time zone such as Europe/Berlin; null: that of the machine."),
]
Missed = Annotated[
    str,
    Meta(
        description="What happens with a time that passed more than a minute ago, since the service"
        " was down: nothing, or its item is added late. Of several times, only the last counts.",
        extra_json_schema={"enum": ["skip", "once"]},
    ),
]
Overlap = Annotated[
    str,
    Meta(
        description="What happens at a time if the item of an earlier one has not ended: nothing,"
        " another item is added, or it replaces the earlier one.",
        extra_json_schema={"enum": ["skip", "queue", "replace"]},
    ),
]
Until = Annotated[
    str | float | None,
    Meta(description="The last possible time, in the form of `at`."),
]
NewId = Annotated[
    str | None,
    Meta(
        description="Its id, 1 to 100 characters; null: a new one. A schedule that has this id"
        " already is replaced."
    ),
]
Id = Annotated[str, Meta(description="The id of a schedule.")]

# Results.

Scheduled = Annotated[
    dict[str, Any],
    object_of(
        "The new schedule.",
        id=TEXT,
        next={"type": "array", "items": TIME, "description": "Its next five times."},
    ),
]
Shown = Annotated[
    dict[str, Any],
    object_of(
        "A schedule.",
        *("args", "label", "priority", "cron", "at", "every", "tz", "until", "last", "problem"),
        id=TEXT,
        type=TEXT,
        args=ARGS,
        label=TEXT,
        priority={"type": "number"},
        cron=TEXT,
        at=TIME,
        every={"type": "number", "description": "Seconds."},
        tz=TEXT,
        missed={"enum": ["skip", "once"]},
        overlap={"enum": ["skip", "queue", "replace"]},
        until=TIME,
        by=BY,
        added=TIME,
        next={
            "type": "array",
            "items": TIME,
            "description": "Its next five times, in its time zone.",
        },
        last={
            "type": "object",
            "description": "The last time: the uid of its item, or the reason why it has none.",
            "properties": {"time": TIME, "uid": TEXT, "reason": TEXT},
        },
        problem={"type": "string", "description": "Why it adds nothing at present."},
    ),
]
