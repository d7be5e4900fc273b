"""Preemption: which module is suspended for one of higher priority."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from functools import cached_property

from shmooze.broker.roster import Roster
from shmooze.modules.kind import Kind
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.turns.ledger import Ledger


class Preemption:
    """Of which types modules may be suspended for others."""

    def __init__(self, kinds: Iterable[type[Kind]]) -> None:
        self.is_possible = any(kind.preempt is True for kind in kinds)

    def among(self, roster: Roster, chosen: Collection[Module]) -> Among:
        """Those that may be suspended now, of those that play."""
        return Among(self.is_possible, roster, chosen)


class Among:
    """See Preemption. `chosen` may change."""

    def __init__(self, is_possible: bool, roster: Roster, chosen: Collection[Module]) -> None:
        self.is_possible, self._chosen = is_possible, chosen
        self._roster = roster
        points = [_points(module) for module in chosen if module.preempt is True]
        #: The lowest priority of those that may be suspended.
        self._lowest = min(points, default=math.inf)

    def is_hopeless(self, module: Module) -> bool:
        """Whether nobody could be suspended for a module, whatever it lacks."""
        return not self.is_possible or _points(module) <= self._lowest

    def victims(self, module: Module, free: Ledger) -> list[Module] | None:
        """Those that are suspended so that one can play: of lower priority and later in the order,
        the last of the lowest first. None, or nobody: that is not possible.
        """
        if self.is_hopeless(module):
            return None
        place = self._places.get(module, len(self._places))
        candidates = [
            each
            for each in self._chosen
            if each.preempt is True
            and each.state is State.PLAYING
            and _points(each) < _points(module)
            and self._places.get(each, -1) > place
        ]
        candidates.sort(key=lambda each: (_points(each), -self._places[each]))
        return free.enough(module, candidates, self.ends)

    @cached_property
    def _places(self) -> dict[Module, int]:
        return {module: place for place, module in enumerate(self._roster.order)}

    def ends(self, module: Module) -> bool:
        """Whether the process of one that is suspended is ended, so that what it has is free."""
        return module.adapter is not None and module.suspend_by == "end"


def _points(module: Module) -> float:
    """The priority of one, with the votes for it."""
    return module.terms.priority + len(module.terms.ups)
