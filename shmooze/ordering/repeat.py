"""Repeating: an item of a queue that is done is added again, at the end or in its place.

Strategy. The end of an item and the one that follows it are kept together. So after a crash there
is either the one or the other, and never both or neither. The one that follows gets its place at
once and its process when that is kept; if the item was done within a moment, a little later, so
that a program which does nothing is not started over and over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from msgspec.structs import replace

from shmooze.broker.factory import ModuleFactory
from shmooze.broker.items import Items
from shmooze.broker.keeper import Keeper
from shmooze.broker.policy import FirstPlays
from shmooze.broker.roster import Place, Roster
from shmooze.errors import CommandError
from shmooze.modules.exit import Outcome
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms
from shmooze.runtime import clock

#: The key under which the mode is kept, and what clients are told of it.
REPEAT = "repeat"
OFF, ONE, ALL = MODES = ("off", "one", "all")


class Repeat:
    """Repeats the items of one queue. It stands before the keeper, which hears of each end."""

    #: Seconds that a life and the pause after it take together, at the least.
    shortest = 1.0
    #: Items that have ended and are remembered.
    max_ended = 10_000

    def __init__(
        self, items: Items, roster: Roster, factory: ModuleFactory, policy: FirstPlays | None
    ) -> None:
        self._items, self._roster, self._factory = items, roster, factory
        self._policy = policy
        self._keeper = items.keeper
        #: Items that have ended; some are told of twice.
        self._ended: dict[str, None] = {}
        items.keeper = _Before(self._keeper, self)

    def become(self, mode: str) -> None:
        """Repeat items as `mode` says. Raises CommandError if that cannot be kept."""
        if mode not in MODES:
            raise CommandError(f"repeat: argument `mode`: must be one of {', '.join(MODES)}")
        self._items.keep_service_value(REPEAT, mode, lambda: self.restore(mode))

    def restore(self, mode: str) -> None:
        """Repeat items as was kept."""
        self._items.repeat = mode
        self._items.tell_status(REPEAT, mode)
        if self._policy is not None:
            self._policy.waits_for_exits = mode != OFF

    def keep_removed(self, uids: Any, living: Any) -> None:
        """See Keeper."""
        self._keeper.keep_removed(uids, living)
        for uid in living:
            self._end(uid)

    def keep_end(
        self,
        module: Module,
        outcome: Outcome,
        again: Module | None = None,
        then: Callable[[], Any] | None = None,
    ) -> None:
        """See Keeper."""
        is_first = self._end(module.uid)
        if not is_first or outcome is not Outcome.DONE or not self._is_repeated(module):
            self._keeper.keep_end(module, outcome, again, then)
            return
        new = self._again(module)
        self._keeper.keep_end(module, outcome, new, lambda: gevent.spawn(self._begin, new, module))
        self._roster.change(new, Place.ORDER)

    def _end(self, uid: str) -> bool:
        """An item has ended. Returns False if that was known."""
        if uid in self._ended:
            return False
        self._ended[uid] = None
        if len(self._ended) > self.max_ended:
            del self._ended[next(iter(self._ended))]
        return True

    def _is_repeated(self, module: Module) -> bool:
        is_in_order = module.position is not None  # which the background is not
        is_off = self._items.repeat == OFF
        is_scheduled = module.terms.schedule is not None  # it comes again by itself
        return is_in_order and not (is_off or is_scheduled or self._factory.is_closed)

    def _again(self, module: Module) -> Module:
        """The item that follows one that is done, with its number in the line."""
        line = self._roster.line
        others = [each for each in line.everyone if each is not module]
        is_first = self._items.repeat == ONE or not others
        turn = others[-1].terms.turn if others else None
        again = self._factory.repeated(module, _terms_again(module.terms, turn))
        again.is_awaited, again.blocked = is_first, "until its place is kept"
        line.enter(again, others[0] if is_first and others else None)
        return again

    def _begin(self, again: Module, ended: Module) -> None:
        missing = self.shortest - (clock.now() - ended.born)
        if missing > 0:
            clock.sleep(missing)
        if (present := self._roster.find(again.uid)) is None:
            return
        again = present  # another one if its type was defined anew meanwhile
        obstacle = self._items.conditions.obstacle(type(again), again.terms)
        again.is_awaited = again.is_awaited and obstacle is None
        self._items.conditions.update(again)


class _Before:
    """A keeper that lets Repeat know of ends, and is another one in everything else."""

    def __init__(self, keeper: Keeper, repeat: Repeat) -> None:
        self._keeper = keeper
        self.keep_end, self.keep_removed = repeat.keep_end, repeat.keep_removed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keeper, name)


def _terms_again(terms: Terms, turn: float | None) -> Terms:
    """The terms of an item that follows one with these: what was meant for that one is left out."""
    return replace(
        terms, not_before=None, expires=None, after=(), ups=(), skips=(), moved=False, turn=turn
    )
