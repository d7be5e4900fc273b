"""Clients that send commands until the service is gone."""

from __future__ import annotations

import random
import threading
from contextlib import closing, suppress
from typing import Protocol

from support import Refusal

from durability.target import Connection, NoAnswer, Target

#: How an `add` is refused whose process ends with the guardian before the service does.
KILLED = "killed by SIGKILL"


class Work(Protocol):
    """One command, chosen at random, of the client with this number."""

    def __call__(self, connection: Connection, source: random.Random, number: int) -> None: ...


class Crowd:
    """Threads that do some work. A command may be refused with the words of `refusal`, if any."""

    def __init__(
        self, target: Target, work: Work, count: int, source: random.Random, refusal: str = ""
    ) -> None:
        self._target, self._do, self._refusal = target, work, refusal
        seeds = [source.random() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._work, args=[random.Random(seed), number])
            for number, seed in enumerate(seeds)
        ]
        #: Refusals that should not have been.
        self.surprises: list[str] = []

    def start(self) -> None:
        """Begin. Each goes on until the service no longer answers."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all have given up."""
        for thread in self._threads:
            thread.join()

    def _work(self, source: random.Random, number: int) -> None:
        with closing(self._target.connect()) as connection, suppress(NoAnswer):
            while True:
                self._do_something(connection, source, number)

    def _do_something(self, connection: Connection, source: random.Random, number: int) -> None:
        try:
            self._do(connection, source, number)
        except Refusal as refusal:
            if not any(words and words in str(refusal) for words in (self._refusal, KILLED)):
                self.surprises.append(str(refusal))
