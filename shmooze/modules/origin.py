"""Where an item comes from: who added it, when, and under which key."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from shmooze.runtime import clock


@dataclass(frozen=True)
class Origin:
    """The origin of one item. All lives of the item share it."""

    #: The name of the token with which it was added; None: no tokens are used.
    by: str | None
    #: When it was added, in seconds since 1970.
    added: float
    #: The key that its client gave, so that the command can be sent again safely.
    key: str | None = None

    @cached_property
    def added_at(self) -> str:
        """When it was added, as clients see it."""
        return clock.iso8601(self.added)
