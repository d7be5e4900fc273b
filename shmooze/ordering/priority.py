"""The order by priority: a new item goes behind all of the same or higher priority.

With `age`, waiting makes urgent: as many seconds are worth one point of priority. What an item
gains by that, all others gain too, so that the order of two items never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from shmooze.modules.module import Module
from shmooze.modules.terms import Terms


class ByPriority:
    """Puts items where their priority says. `age` is None if waiting is worth nothing.

    `current` returns those that play and are only suspended for others if their types say so.
    """

    marks_moved = True

    def __init__(self, age: float | None, current: Callable[[], Collection[Module]]) -> None:
        self._age, self._current = age, current

    def terms_of_new(self, terms: Terms) -> Terms:
        return terms

    def successor(self, module: Module, line: Sequence[Module]) -> Module | None:
        kept = [each for each in self._current() if each.preempt is not True]
        return first_behind(self._urgency(module), self._urgency, line, kept)

    def _urgency(self, module: Module) -> float:
        points = module.terms.priority + len(module.terms.ups)
        return points if self._age is None else points - module.origin.added / self._age


def first_behind(
    rank: float,
    rank_of: Callable[[Module], float],
    line: Sequence[Module],
    kept: Collection[Module] = (),
) -> Module | None:
    """The one of a line before which an item of this rank is put: the first of those at the end
    that all have a lower one. It is put behind all in `kept`.

    Items that were moved by hand count as much as the one behind which they were put; those that
    were put first are never overtaken.
    """
    found = None
    for other in reversed(line):
        if other in kept:
            break
        if other.terms.moved:
            continue
        if rank_of(other) >= rank:
            break
        found = other
    return found
