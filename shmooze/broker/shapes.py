"""Shapes: arguments and results of commands, as `describe` shows them to clients.

To Python, each is the plain type that it annotates. Results are not checked against them.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta


def object_of(description: str, *optional: str, **properties: dict[str, Any]) -> Meta:
    """An object with these properties, of which the `optional` ones may be missing."""
    required = [name for name in properties if name not in optional]
    return Meta(
        description=description,
        extra_json_schema={"properties": properties, "required": required},
    )


# Arguments.

Uid = Annotated[str, Meta(description="The uid of a module.")]
Uids = Annotated[list[str], Meta(description="The uids of modules. Unknown ones are ignored.")]
MaybeUids = Annotated[
    list[str] | None, Meta(description="The uids of modules. Unknown ones are ignored.")
]
KnownUids = Annotated[
    list[str], Meta(description="The uids of modules. An unknown one is an error.")
]
Type = Annotated[str, Meta(description="The name of a module type.")]
Args = Annotated[dict[str, Any], Meta(description="The arguments of the module.")]
Names = Annotated[list[str], Meta(description="Names of parameters.")]
Key = Annotated[
    str | None,
    Meta(
        description="A text of 1 to 200 characters. A command with the key of an earlier one adds"
        " nothing and returns the uid of that one, so a client without an answer can send it again."
    ),
]
Moment = Annotated[
    str | float | None,
    Meta(description="A time with its zone, as in RFC 3339; or seconds since 1970."),
]
Label = Annotated[
    str | None, Meta(description="What the item is called, in place of the label of its type.")
]
Priority = Annotated[
    float, Meta(description="The higher, the sooner its turn comes, if `order` is `priority`.")
]
Index = Annotated[
    int | None,
    Meta(description="Its place, counted from 0; null: the place that `order` gives it."),
]
After = Annotated[
    list[str], Meta(description="Uids of items that must all be done before it starts.")
]
Batch = Annotated[str | None, Meta(description="A name that several items share.")]
Later = Annotated[
    bool,
    Meta(
        description="Whether to answer before the module starts. If it then refuses its arguments,"
        " or fails at once, `wait` says so."
    ),
]
OneUid = Annotated[str | None, Meta(description="The uid of an item.")]
OfBatch = Annotated[str | None, Meta(description="The name of a batch; see `add`.")]
Patience = Annotated[float, Meta(ge=0, description="Seconds to wait at most.")]
Line = Annotated[
    int, Meta(ge=0, description="The number of the first line to return; the first of all is 0.")
]
Since = Annotated[
    str | float | None,
    Meta(
        description="Only lines that were printed since this time, with its zone, as in RFC 3339;"
        " or in seconds since 1970. Needs `log_path` in the settings."
    ),
]
Grep = Annotated[str | None, Meta(description="Only lines with this text in them.")]
MaxLines = Annotated[
    int, Meta(ge=1, le=10_000, description="Lines to return at most: the newest ones.")
]
InWindow = Annotated[
    dict[str, Any] | None,
    Meta(
        description='When it plays, and then alone: `{"from": "08:00", "to": "18:30",'
        ' "days"?: ["mon", …], "tz"?: "Europe/Berlin"}`.'
    ),
]
Told = Annotated[
    str, Meta(description="The name of the command, which the module receives as `do_` + name.")
]
Wanted = Annotated[
    dict[str, list[str]] | bool,
    Meta(description="Which parameters to show: `{type: [names]}`; or true, for all of all types."),
]

# Results.

TEXT: dict[str, Any] = {"type": "string"}
TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
ARGS: dict[str, Any] = {
    "type": "object",
    "description": "Hidden if the type has `show_args: false`.",
}
BY = {
    "type": ["string", "null"],
    "description": "The name of the token that it was added with.",
}
STATE = {"enum": ["waiting", "held", "starting", "suspended", "playing", "ending"]}
SECONDS = {"type": "number", "description": "Seconds from its start to its end."}
REASON = {"type": "string", "description": "How it ended, such as `was removed`."}

#: What `add` and `set_bg` return.
Added = Annotated[dict[str, Any], object_of("The new module.", uid=TEXT)]

#: A module, as in views.show.
Shown = Annotated[
    dict[str, Any],
    object_of(
        "A module that has not ended.",
        *("args", "label", "priority", "not_before", "expires", "after", "batch", "window"),
        *("schedule", "ups", "skips", "held", "waits", "host", "web"),
        *("place", "estimate", "restarts", "next_attempt_at", "next_attempt_in", "parameters"),
        uid=TEXT,
        type=TEXT,
        state=STATE,
        args=ARGS,
        by=BY,
        added=TIME,
        label=TEXT,
        priority={"type": "number"},
        not_before=TIME,
        expires=TIME,
        after={"type": "array", "items": TEXT},
        batch=TEXT,
        window={"type": "object"},
        schedule=TEXT,
        ups={"type": "integer", "description": "Votes for it to come sooner."},
        skips={"type": "integer", "description": "Votes for it to be skipped."},
        held={"type": "string", "description": "Why it is held."},
        waits={"type": "string", "description": "What it waits for besides its turn."},
        host={"type": "string", "description": "Where it runs, if not on its service's machine."},
        place={
            "type": "integer",
            "description": "Its place among those that wait, counted from 1.",
        },
        estimate={
            "type": "number",
            "description": "Estimated seconds until its turn comes, from how long items of these"
            " types took according to the history.",
        },
        web={
            "enum": ["loading", "ready", "resting"],
            "description": "Whether its own web server answers. `resting`: its process was ended"
            " since nobody needed it, and the next request starts it.",
        },
        restarts={"type": "integer", "description": "How often it was restarted."},
        next_attempt_at={
            "type": "number",
            "description": "When it is restarted, in seconds since 1970.",
        },
        next_attempt_in={"type": "number", "description": "The same, in seconds from now."},
        parameters={"type": "object", "description": "Those that were asked for and are set."},
    ),
]

#: A module that has ended, as in views.exit_report.
Ended = Annotated[
    dict[str, Any],
    object_of(
        "A module that has ended.",
        *("args", "exit_status", "signal", "result", "batch", "host"),
        uid=TEXT,
        type=TEXT,
        args=ARGS,
        by=BY,
        added=TIME,
        state={"enum": ["done", "failed", "removed", "lost"], "description": "How it ended."},
        state_at_end={"type": "string", "description": "What it was doing, such as `playing`."},
        reason=REASON,
        result={"description": "What it has given as the result of its work."},
        batch=TEXT,
        exit_status={"type": "integer"},
        signal={"type": "string", "description": "The signal that ended it, such as SIGKILL."},
        ladder={
            "enum": ["rm", "SIGTERM", "SIGKILL", None],
            "description": "The strongest step that was used to end it; null if it left by itself.",
        },
        ended=TIME,
        seconds=SECONDS,
        host={"type": "string", "description": "Where it ran, if not on its service's machine."},
        stderr_tail={
            "type": "array",
            "items": TEXT,
            "description": "The last lines of its standard error.",
        },
    ),
]

#: What modules use, as in usage.UsageSampler.
Used = Annotated[
    dict[str, Any],
    object_of(
        "What each module uses. Two answers give the load in between.",
        at={"type": "number", "description": "Seconds of a clock."},
        modules={
            "type": "object",
            "description": "By uid.",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "cpu": {"type": "number", "description": "Seconds of CPU time so far."},
                    "memory": {"type": "integer", "description": "Bytes in memory."},
                    "processes": {"type": "integer"},
                    "host": {"type": "string", "description": "Where it runs, if elsewhere."},
                },
                "required": ["cpu", "memory", "processes"],
            },
        },
    ),
]

#: The standby processes of each type, as in standby.Standby.
OnStandby = dict[
    str,
    Annotated[
        dict[str, int],
        object_of(
            "The standby processes of a type.",
            available={"type": "integer", "description": "How many are ready."},
            wanted={"type": "integer", "description": "How many there should be."},
            misses={
                "type": "integer",
                "description": "How often a module was added when none was ready.",
            },
        ),
    ],
]

#: What `wait` returns: how an item ended, as in `gone` or `item`; or how many of a batch did in
#: which way.
Waited = Annotated[
    dict[str, Any] | None,
    Meta(
        description="How the item ended, with the keys of `gone`, or of `item` if that was long"
        " ago. Of a batch, how many items ended in each way: `batch`, `done`, `failed`, `removed`,"
        " `lost`."
    ),
]

#: What `follow` returns, as in jobs.following.Following.
Followed = Annotated[
    dict[str, Any],
    object_of(
        "What an item has printed, and how it has ended.",
        lines={"type": "array", "items": TEXT},
        missed={
            "type": "integer",
            "description": "How many earlier lines, from `since` on, are no longer kept.",
        },
        next={"type": "integer", "description": "The `since` of the next command."},
        end={
            "type": ["object", "null"],
            "description": "How it has ended, as in `wait`; null if it has not.",
        },
    ),
]

_KEYS = {"type": "array", "items": {"type": "string"}}
#: What `reload` has changed, see reloading/reloader.py.
Reloaded = Annotated[
    dict[str, Any],
    object_of(
        "What has changed.",
        added={**_KEYS, "description": "Types that are new, such as `modules.countdown`."},
        changed={**_KEYS, "description": "Types whose definition has changed."},
        removed={
            **_KEYS,
            "description": "Types that are no longer in the settings. Their items are held.",
        },
        settings={**_KEYS, "description": "Other keys that have changed and are in effect now."},
        needs_restart={
            **_KEYS,
            "description": "Keys that have changed and take effect when the service is restarted.",
        },
    ),
]
