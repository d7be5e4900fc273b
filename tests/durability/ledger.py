"""What clients have asked of a service, and what it has answered."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile


class Said(Enum):
    """How far a command has come, as its client knows."""

    NOTHING = "not asked"
    #: The service was killed before it answered: it may have been carried out or not.
    ASKED = "asked"
    ANSWERED = "answered"
    #: It could not be kept, so it must not have been carried out.
    REFUSED = "refused"


@dataclass
class Item:
    """One item that a client has asked for. Its number is in its args and in its key."""

    number: int
    added: Said = Said.ASKED
    removed: Said = Said.NOTHING
    uid: str | None = None


class Ledger:
    """All items of one run, shared by its clients."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.items: list[Item] = []
        #: Uids that were moved to the front, the last one first.
        self.front: list[str] = []
        #: One of which it is not known whether it was.
        self.perhaps_in_front: str | None = None

    def new(self) -> Item:
        """Note an item before it is asked for."""
        with self._lock:
            item = Item(len(self.items))
            self.items.append(item)
            return item

    def choose(self, source: random.Random) -> Item | None:
        """An item that was added, and that nobody has removed yet."""
        with self._lock:
            some = source.sample(self.items, min(20, len(self.items)))
        return next(
            (each for each in some if each.uid and each.removed in (Said.NOTHING, Said.REFUSED)),
            None,
        )

    @property
    def unanswered(self) -> list[Item]:
        """Items of which it is not known whether they were added."""
        return [item for item in self.items if item.added is Said.ASKED]

    @property
    def refused(self) -> int:
        """Commands that could not be kept."""
        refused = Said.REFUSED
        return sum((i.added is refused) + (i.removed is refused) for i in self.items)

    def take_front(self, order: list[str]) -> None:
        """Take the front of a roster for what it is, once it was compared."""
        known = {*self.front, self.perhaps_in_front}
        self.front = list(takewhile(known.__contains__, order))
        self.perhaps_in_front = None

    def count(self) -> int:
        """Commands that were answered."""
        answered = Said.ANSWERED
        return sum((i.added is answered) + (i.removed is answered) for i in self.items)
