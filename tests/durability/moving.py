"""Clients of a queue that add, remove and move."""

from __future__ import annotations

import random
from pathlib import Path

from support import Refusal

from durability.findings import compare
from durability.ledger import Item, Ledger, Said
from durability.target import QUEUE, Connection, Target


class Moving:
    """Items that are added to a queue, removed and moved. See Workload."""

    service, section = "queue", QUEUE

    def __init__(self, folder: Path | None = None) -> None:
        self._ledger = Ledger()

    def work(self, connection: Connection, source: random.Random, number: int) -> None:
        choice = source.random()
        item = self._ledger.choose(source)
        if item is None or choice < 0.5:
            add(connection, self._ledger.new(), is_short=source.random() < 0.3)
        elif number == 0 and choice < 0.7:
            self._move(connection, item)
        else:
            remove(connection, item)

    def compare(self, target: Target) -> list[str]:
        roster, ended = target.known()
        findings = compare(self._ledger, roster, ended)
        self._ledger.take_front([item["uid"] for item in roster])
        return findings.all

    def ask_again(self, connection: Connection) -> None:
        for item in self._ledger.unanswered:
            add(connection, item, is_short=False)

    def finish(self, target: Target) -> list[str]:
        return self.compare(target)

    def answered(self) -> int:
        return self._ledger.count()

    def refused(self) -> int:
        return self._ledger.refused

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
