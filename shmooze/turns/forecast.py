"""Forecasts: the places of modules that wait for their turns, and when these may come.

Strategy. What plays is taken to last as long as items of its type usually did, as the history has
it. Its end lets the next ones begin, as the ledger tells, and so on. Where the history knows
nothing of a type, nothing is said of what has to wait for it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from shmooze.broker.roster import Roster
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.runtime import clock
from shmooze.turns.ledger import Ledger

#: States of those that can wait for a turn.
_IN_LINE = (State.WAITING, State.STARTING, State.SUSPENDED)


class Forecast:
    """`ledger` returns what is free now, and `durations` how long items of a type usually take, in
    seconds; None: that is not known.
    """

    #: Items whose turns are estimated.
    most = 1000
    #: Seconds for which it is taken for granted how long items of a type take.
    lifetime = 30.0

    def __init__(
        self,
        roster: Roster,
        ledger: Callable[[], Ledger],
        durations: Callable[[str], float | None],
    ) -> None:
        self._roster, self._ledger, self._durations = roster, ledger, durations
        self._known: dict[str, tuple[float, float | None]] = {}

    def complete(self, shown: Sequence[dict[str, Any]]) -> None:
        """Add "place" to modules that wait for their turns, the first is 1; and "estimate", the
        seconds until their turns come, as far as that can be told.
        """
        line = [
            module for module in self._roster.order if module.is_free and module.state in _IN_LINE
        ]
        if not line:
            return
        by_uid = {each["uid"]: each for each in shown}
        for place, module in enumerate(line, 1):
            if (found := by_uid.get(module.uid)) is not None:
                found["place"] = place
        for module, seconds in self._estimates(line[: self.most]):
            if (found := by_uid.get(module.uid)) is not None:
                found["estimate"] = round(seconds, 1)

    def _estimates(self, line: Iterable[Module]) -> Iterable[tuple[Module, float]]:
        """Modules, and in how many seconds they begin."""
        now, free, numbers = clock.now(), self._ledger(), itertools.count()
        #: When each one ends.
        ends: list[tuple[float, int, Module]] = []
        for module in [*self._roster.in_state(State.PLAYING)]:  # the history may take a while
            if module is self._roster.background:
                continue
            if (duration := self._duration(module)) is not None:
                left = max(0.0, module.born + duration - now)
                heapq.heappush(ends, (left, next(numbers), module))
        begins = 0.0
        for module in line:
            trial, later = free.copy(), [*ends]
            at = begins
            while later and not trial.fits(module):
                at, _, ended = heapq.heappop(later)
                trial.give_back(type(ended))
            if not trial.fits(module):  # it waits for one of which nobody knows when it ends
                free.reserve(module)
                continue
            trial.take(module)
            free, ends, begins = trial, later, max(begins, at)
            yield module, begins
            if (duration := self._duration(module)) is not None:
                heapq.heappush(ends, (begins + duration, next(numbers), module))

    def _duration(self, module: Module) -> float | None:
        name, now = module.TYPE_STRING, clock.now()
        known = self._known.get(name)
        if known is None or known[0] <= now:
            known = self._known[name] = now + self.lifetime, self._durations(name)
        return known[1]


def forecast_of_queue(roster: Roster, durations: Callable[[str], float | None]) -> Forecast:
    """Forecasts for a queue: one item plays at a time, in order."""

    def ledger() -> Ledger:
        playing = roster.in_state(State.PLAYING)
        return Ledger(1 - sum(module is not roster.background for module in playing), {})

    return Forecast(roster, ledger, durations)
