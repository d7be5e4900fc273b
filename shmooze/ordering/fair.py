"""The fair order: owners take turns, no matter how many items each of them adds.

Strategy: start-time fair queueing (Goyal, Vin, Cheng 1996). Each item gets a number that never
changes: one more than the last item of its owner, but not less than that of the item that has begun
last. So each owner's first item stands before anybody's second one, and nobody saves up turns.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from shmooze.broker.ordering import Fifo
from shmooze.broker.roster import Change, Roster
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms
from shmooze.ordering.owners import owner_of, owner_of_caller, with_owner
from shmooze.ordering.priority import first_behind


class Fair:
    """Puts items so that owners take turns."""

    marks_moved = True

    def __init__(self, service: str, roster: Roster) -> None:
        self._refuse = Fifo(service).terms_of_new
        self._roster = roster
        #: The number of the item that has begun last.
        self._now = 0.0
        #: The number of the last item of each owner, if that is still to come.
        self._last: dict[str, float] = {}
        #: The owners of all items, by uid, and those of whom one has left.
        self._owners: dict[str, str] = {}
        self._reduced: set[str] = set()
        roster.listen(self._on_change, Change.STATE | Change.PLACE)
        for module in roster.listed:  # when the order has become this one just now
            self._on_change(module.uid, Change.PLACE)

    def terms_of_new(self, terms: Terms) -> Terms:
        terms = self._refuse(terms)
        owner = owner_of_caller()
        if owner in self._reduced:
            self._reduced.remove(owner)
            own = [each for each in self._roster.listed if owner_of(each) == owner]
            self._last[owner] = max(map(_turn_of, own), default=self._now - 1)
        turn = max(self._now, self._last.get(owner, self._now - 1) + 1)
        self._last[owner] = turn
        return replace(with_owner(terms), turn=turn)

    def successor(self, module: Module, line: Sequence[Module]) -> Module | None:
        return first_behind(-_turn_of(module), lambda other: -_turn_of(other), line)

    def _on_change(self, uid: str, what: Change) -> None:
        module = self._roster.find(uid)
        if module is None:
            if (owner := self._owners.pop(uid, None)) is not None:
                self._reduced.add(owner)
            return
        if (turn := module.terms.turn) is None:
            return
        if uid not in self._owners:
            self._owners[uid] = owner = owner_of(module)
            self._last[owner] = max(turn, self._last.get(owner, turn))
        begins = module.state is State.PLAYING or self._has_played(module)
        if begins and turn > self._now and not module.terms.moved:
            self._now = turn
            self._last = {owner: last for owner, last in self._last.items() if last >= turn}

    def _has_played(self, module: Module) -> bool:
        """Whether an item of an earlier life of the service is likely to have played: the first."""
        order = self._roster.order
        return module.has_begun and bool(order) and module is order[0]


def _turn_of(module: Module) -> float:
    return 0.0 if module.terms.turn is None else module.terms.turn
