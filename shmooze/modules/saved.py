"""What a module has saved for its next life, within a limit of bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from shmooze.errors import Failure
from shmooze.modules.channel.stream import encode


class SavedState:
    """The state that a module has saved last, as one of its lives sees it.

    All lives of a module share the state itself. So what one saves while it ends reaches its
    successor, which exists by then.
    """

    __slots__ = ("_is_open", "_shared")

    def __init__(self, earlier: SavedState | None = None) -> None:
        self._shared: list[bytes | None] = [None] if earlier is None else earlier._shared
        self._is_open = False

    @property
    def json(self) -> bytes | None:
        """The state as JSON without spaces; None: none was ever saved."""
        return self._shared[0]

    @json.setter
    def json(self, json: bytes | None) -> None:
        self._shared[0] = json

    @property
    def as_args(self) -> dict[str, Any] | None:
        """The state as the args of `save` and `restore`; None: none was ever saved."""
        return None if self.json is None else {"state": msgspec.Raw(self.json)}

    @property
    def is_open(self) -> bool:
        """Whether this life has got its first command, or is about to."""
        return self._is_open

    def open(self) -> None:
        """Let this life save: it is about to get its first command.

        What it saves before that would replace the state that is about to be restored.
        """
        self._is_open = True

    def keep(self, state: Any, most: int) -> bool:
        """Replace the state. Returns whether the new one is different.

        Raises Failure, and keeps the old one, if this life may not save yet or if the new state
        takes more than `most` bytes as JSON.
        """
        if not self._is_open:
            raise Failure("no state can be saved before the first command")
        json = encode(state)
        if len(json) > most:
            raise Failure(
                f"the state takes {len(json)} bytes of JSON; `max_state_bytes` is {most:.0f}"
            )
        is_new = json != self.json
        self.json = json
        return is_new
