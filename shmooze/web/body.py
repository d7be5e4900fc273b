"""The body of a request, which is read as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any


class HungUp(Exception):
    """The client has gone, or was quiet for too long between two requests."""


class RequestBody:
    """The body of a request. Each wait for a piece of it is in the context `waiting`."""

    def __init__(
        self,
        pieces: Iterator[bytes],
        waiting: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._pieces, self._waiting = pieces, waiting
        self._rest = b""
        self._is_broken = False
        #: Whether it was read to its end.
        self.is_complete = False

    def pieces(self) -> Iterator[bytes]:
        """The pieces as they come. Raises BadRequest, or HungUp."""
        while piece := self._next():
            yield piece

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or all: as WSGI wants it. Raises BadRequest, or HungUp."""
        parts, left = [], size
        while left and (piece := self._next()):
            if size >= 0:
                piece, self._rest = piece[:left], piece[left:]
                left -= len(piece)
            parts.append(piece)
        return b"".join(parts)

    def _next(self) -> bytes:
        """The next piece; empty at the end."""
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        if self._is_broken:
            raise HungUp
        if self.is_complete:
            return b""
        self._is_broken = True
        with self._waiting():
            piece = next(self._pieces, b"")
        self._is_broken = False
        self.is_complete = not piece
        return piece
