"""The parameters of one module, within a limit of bytes.

To know exactly how many bytes they take costs more than to merge them. So they are only estimated,
from above, until they come near the limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shmooze.errors import Failure
from shmooze.modules.channel.stream import encode

#: A number such as 1e15 grows to so many times its bytes when it is written out.
_MOST_GROWTH = 5


class Parameters:
    """Names and values, of which all together take at most `most` bytes as JSON."""

    __slots__ = ("_bytes", "_most", "_sizes", "values")

    def __init__(self, most: int) -> None:
        self.values: dict[str, Any] = {}
        self._most = most
        #: Bytes that they take at the most; exactly, while each has its own in `_sizes`.
        self._bytes = 0
        self._sizes: dict[str, int] | None = None

    def merge(self, new: dict[str, Any], size: int, count: int) -> None:
        """Set parameters that have come in `size` bytes.

        Failure where all of them would be too many; or might have been, at one of `count` steps.
        """
        self._make_room(new, size, count)
        self.values.update(new)

    def remove(self, names: Iterable[str]) -> None:
        """Take these away, as far as they are there."""
        for name in names:
            self.values.pop(name, None)
            if self._sizes is not None:
                self._bytes -= self._sizes.pop(name, 0)

    def _make_room(self, new: dict[str, Any], size: int, count: int) -> None:
        estimate = size * _MOST_GROWTH
        if self._sizes is None and self._bytes + estimate <= self._most:
            self._bytes += estimate
            return
        if count > 1:
            raise Failure("has to be looked at one by one")
        if self._sizes is None:
            # Old values were counted that have been replaced since: from here on it is exact.
            self._sizes = {name: _size(name, value) for name, value in self.values.items()}
            self._bytes = sum(self._sizes.values())
        sizes = {name: _size(name, value) for name, value in new.items()}
        added = sum(sizes.values()) - sum(self._sizes.get(name, 0) for name in sizes)
        if self._bytes + added > self._most:
            raise Failure(f"the parameters would take over {self._most} bytes")
        self._bytes += added
        self._sizes.update(sizes)
        if self._bytes <= self._most / 2:
            self._sizes = None  # far from the limit it need not be exact, which takes time


def _size(name: str, value: Any) -> int:
    """Bytes that a parameter takes in an object of JSON."""
    return len(encode(name)) + len(encode(value)) + 2
