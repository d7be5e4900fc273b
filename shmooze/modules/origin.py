"""The origin of an item of a queue or pool: who added it, when, and under which key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Where an item comes from. All of its lives share it."""

    #: The name of the token it was added with; None: none.
    by: str | None
    #: When it was added, in seconds since 1970.
    added: float
    #: The key that its client has given it.
    key: str | None = None
