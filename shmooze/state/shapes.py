"""Shapes of the commands on ended items: arguments and results, as `describe` shows them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shmooze.broker.shapes import ARGS, BY, REASON, SECONDS, TEXT, TIME, object_of
from shmooze.modules.exit import Outcome

OUTCOMES = [each.value for each in Outcome]

# Arguments.

Limit = Annotated[int, Meta(ge=1, le=1000, description="Items or values to return at most.")]
Before = Annotated[
    Annotated[int, Meta(ge=1)] | None,
    Meta(description="Only items before this number: `next` of the previous page."),
]
OfType = Annotated[str | None, Meta(description="Only items of this type.")]
InState = Annotated[
    str | None,
    Meta(
        description="Only items that ended in this way.",
        extra_json_schema={"enum": [*OUTCOMES, None]},
    ),
]
By = Annotated[str | None, Meta(description="Only items added with the token of this name.")]
Text = Annotated[
    Annotated[str, Meta(max_length=200)] | None,
    Meta(description="Only items with this text in their args or reason, in any case."),
]
Count = Annotated[
    str | None,
    Meta(description="Count by `type`, or by one key of the args: `args.KEY`."),
]
Uids = Annotated[list[str], Meta(max_length=1000, description="The uids of ended items.")]
# Results.

_ITEM = object_of(
    "An item that has ended.",
    *("args", "key", "batch", "result"),
    number={
        "type": "integer",
        "description": "Counts the items that have ended; the order of the history.",
    },
    uid=TEXT,
    type=TEXT,
    state={"enum": OUTCOMES},
    args=ARGS,
    key=TEXT,
    batch=TEXT,
    result={"description": "What it has given as the result of its work."},
    by=BY,
    added=TIME,
    ended=TIME,
    seconds={**SECONDS, "type": ["number", "null"]},
    reason={**REASON, "type": ["string", "null"]},
)
_COUNT = object_of(
    "How often a value has ended.",
    value={"description": "A type, or a value of the key of the args."},
    count={"type": "integer"},
    seconds={"type": "number", "description": "Seconds that these took together."},
    last={**TIME, "description": "When the last one ended."},
)
_PAGE = object_of(
    "A page of items.",
    items={"type": "array", "items": msgspec.json.schema(Annotated[dict[str, Any], _ITEM])},
    next={
        "type": ["integer", "null"],
        "description": "The `before` of the next page; null if this is the last one.",
    },
)

#: A page of items; with `count`, a list of values.
Found = Annotated[dict[str, Any], _PAGE] | list[Annotated[dict[str, Any], _COUNT]]
