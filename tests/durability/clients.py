"""Clients that add, remove and move until the service is gone."""

from __future__ import annotations

import random
import threading

from support import Refusal

from durability.ledger import Item, Ledger, Said
from durability.target import Connection, NoAnswer, Target

#: How an `add` is refused whose process ends with the guardian before the service does.
KILLED = "killed by SIGKILL"


class Clients:
    """Threads that send commands, and note in a ledger what was answered.

    A command may be refused with the words of `refusal`, if there are any.
    """

    def __init__(
        self,
        target: Target,
        ledger: Ledger,
        count: int,
        source: random.Random,
        refusal: str = "",
    ) -> None:
        self._target, self._ledger, self._refusal = target, ledger, refusal
        seeds = [source.random() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._work, args=[random.Random(seed), number == 0])
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

    def _work(self, source: random.Random, moves: bool) -> None:
        connection = self._target.connect()
        try:
            while True:
                self._do_something(connection, source, moves)
        except NoAnswer:
            pass

    def _do_something(self, connection: Connection, source: random.Random, moves: bool) -> None:
        choice = source.random()
        item = self._ledger.choose(source)
        try:
            if item is None or choice < 0.5:
                add(connection, self._ledger.new(), is_short=source.random() < 0.3)
            elif moves and choice < 0.7:
                self._move(connection, item)
            else:
                remove(connection, item)
        except Refusal as refusal:
            if not any(words and words in str(refusal) for words in (self._refusal, KILLED)):
                self.surprises.append(str(refusal))

    def _move(self, connection: Connection, item: Item) -> None:
        ledger = self._ledger
        assert item.uid is not None
        ledger.perhaps_in_front = item.uid
        try:
            connection.ask("mv", uids=[item.uid])
        except Refusal:
            ledger.perhaps_in_front = None
            raise
        ledger.front = [item.uid, *(uid for uid in ledger.front if uid != item.uid)]
        ledger.perhaps_in_front = None


def add(connection: Connection, item: Item, is_short: bool) -> None:
    """Add an item. After a kill it is asked for again, with the same key."""
    args = {"number": item.number, "short": is_short}
    try:
        result = connection.ask("add", type="item", args=args, key=f"item {item.number}")
    except Refusal:
        item.added = Said.REFUSED
        raise
    if item.uid is not None and item.uid != result["uid"]:
        raise Refusal(f"item {item.number} was {item.uid}, and is now {result['uid']}")
    item.uid, item.added = result["uid"], Said.ANSWERED


def remove(connection: Connection, item: Item) -> None:
    """Remove an item."""
    before, item.removed = item.removed, Said.ASKED
    try:
        connection.ask("rm", uids=[item.uid])
    except Refusal:
        # Another client may be removing it as well, and be answered or not.
        item.removed = Said.REFUSED if before in (Said.NOTHING, Said.REFUSED) else before
        raise
    item.removed = Said.ANSWERED
