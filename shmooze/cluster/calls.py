"""Calls of methods of a process on another machine: each has a number, and gets one answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from gevent.event import AsyncResult

from shmooze.cluster.protocol import Answer, Call, Content
from shmooze.errors import CommandError
from shmooze.runtime import clock


class Lost(Exception):
    """The node is lost, or its process is not there any more: there is no answer."""


class Calls:
    """The calls to one process."""

    def __init__(self, send: Callable[[Content], None]) -> None:
        self._send = send
        self._numbers = itertools.count(1)
        self._awaited: dict[int, AsyncResult[Answer]] = {}
        self._is_lost = False

    def call(self, method: str, *args: Any, timeout: float | None = None) -> Any:
        """Call a method, and wait for its result.

        Raises CommandError with the words of the node if it fails there, TimeoutError after
        `timeout` seconds, Lost.
        """
        if self._is_lost:
            raise Lost
        number = next(self._numbers)
        awaited = self._awaited[number] = AsyncResult()
        try:
            self._send(Call(number, method, list(args)))
            if not clock.wait(awaited, timeout):
                raise TimeoutError
        finally:
            self._awaited.pop(number, None)
        answer = awaited.get()
        if answer.error is not None:
            raise CommandError(answer.error)
        return answer.result

    def tell(self, method: str, *args: Any) -> None:
        """Call a method that has no result. Does not wait."""
        self._send(Call(0, method, list(args)))

    def take(self, answer: Answer) -> None:
        """An answer has come."""
        if (awaited := self._awaited.get(answer.number)) is not None:
            awaited.set(answer)

    def lose(self) -> None:
        """There will be no more answers."""
        self._is_lost = True
        for awaited in self._awaited.values():
            awaited.set_exception(Lost())
