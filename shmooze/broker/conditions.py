"""Conditions: what keeps items from starting and playing until it passes, such as a time of day."""

from __future__ import annotations

from typing import Protocol

from shmooze.broker.roster import Change, Roster
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms


class Condition(Protocol):
    """One kind of condition."""

    def obstacle(self, kind: type[Module], terms: Terms) -> str | None:
        """Why an item may not start or play now, such as "not before 08:00"; None: it may.

        Whoever has conditions calls `Conditions.update` when that may be different.
        """


class Conditions:
    """All conditions of one queue or pool. An item has to meet each of them."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._all: list[Condition] = []

    def add(self, condition: Condition) -> None:
        """From now on, items have to meet this one too."""
        self._all.append(condition)

    def obstacle(self, kind: type[Module], terms: Terms) -> str | None:
        """The first of what keeps an item from playing; None: nothing does."""
        found = (condition.obstacle(kind, terms) for condition in self._all)
        return next((obstacle for obstacle in found if obstacle is not None), None)

    def update(self, module: Module) -> None:
        """Let a module play or not, as the conditions are now."""
        terms = module.terms.of_begun() if module.has_begun else module.terms
        blocked = self.obstacle(type(module), terms)
        if blocked != module.blocked:
            was_blocked = module.blocked is not None
            module.blocked = blocked
            self._roster.change(module)
            if was_blocked and blocked is not None:  # only what it waits for is different
                self._roster.tell(module, Change.TERMS)

    def update_all(self) -> None:
        """The same for all that have a place."""
        if self._all:
            for module in [*self._roster.everyone]:
                self.update(module)
