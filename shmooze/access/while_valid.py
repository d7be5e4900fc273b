"""An answer in pieces that ends when the token of its request is revoked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from shmooze.web.body import HungUp


class WhileValid:
    """The pieces of `answer`, as long as `is_valid` says so when one is to be sent."""

    def __init__(self, answer: Any, is_valid: Callable[[], bool]) -> None:
        self._answer, self._is_valid = answer, is_valid
        # See Response.
        self.is_streamed = getattr(answer, "is_streamed", False)
        self.take = getattr(answer, "take", None)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._answer:
            if not self._is_valid():
                if self.is_streamed:
                    raise HungUp  # the client must not take it for whole
                return
            yield piece

    def close(self) -> None:
        if (close := getattr(self._answer, "close", None)) is not None:
            close()
