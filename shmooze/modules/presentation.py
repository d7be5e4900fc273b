"""How items are shown to clients: their args and their labels, as their types describe them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class View(NamedTuple):
    """What clients see of the args of an item."""

    #: None: none of them.
    args: dict[str, Any] | None
    #: A heading for the item, in one line; None: its type has none.
    label: str | None = None


class Presentation(Protocol):
    """How the items of one type are shown."""

    @property
    def version(self) -> object:
        """Another object whenever the same args may be shown in another way."""

    def view(self, args: dict[str, Any]) -> View:
        """What clients see of an item with these args."""

    def loggable(self, command: dict[str, Any]) -> dict[str, Any]:
        """A command to a child as the command log may have it."""
