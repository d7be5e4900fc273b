"""Policies: who should play, decided for the whole roster at once.

A policy only looks. The reconciler carries its choice out, in steps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Protocol

from shmooze.broker.roster import Roster
from shmooze.modules.kind import EAGER, Kind
from shmooze.modules.lifecycle import READY, State
from shmooze.modules.module import Module


class Policy(Protocol):
    """Decides who should play."""

    @property
    def capacity(self) -> int | None:
        """How many may play at a time; None: any number. One that is being suspended counts."""

    def choose(self, roster: Roster) -> Collection[Module]:
        """Those that should play, of those that are ready."""

    def due(self, roster: Roster) -> Iterable[Module]:
        """The modules that wait for their turn and are to be started now."""

    def is_due(self, kind: type[Kind], index: int) -> bool:
        """Whether a module that gets this place in the order is started at once."""


class FirstPlays:
    """Of a queue: the first that can play does, or the background."""

    capacity = 1

    def __init__(self, kinds: Iterable[type[Kind]]) -> None:
        #: The most places before its turn at which any type is started.
        self._lookahead = max((kind.lookahead for kind in kinds), default=0)

    def choose(self, roster: Roster) -> Collection[Module]:
        for module in roster.order:
            if _can_play(module):  # one that is being started is passed over
                return (module,)
        background = roster.background
        return (background,) if background is not None and _can_play(background) else ()

    def due(self, roster: Roster) -> Iterable[Module]:
        lazy = roster.waiting_for_turn
        if not lazy:
            return
        unheld = (module for module in roster.order if module.held is None)
        for index, module in enumerate(islice(unheld, self._lookahead + 1)):
            if module in lazy and index <= module.lookahead:
                yield module

    def is_due(self, kind: type[Kind], index: int) -> bool:
        return kind.spawn == EAGER or index <= kind.lookahead


def _can_play(module: Module) -> bool:
    return module.state in READY and module.held is None


class SomePlay:
    """Of a pool with slots: so many play, those that do already before those that wait."""

    def __init__(self, slots: int) -> None:
        self.capacity: int | None = slots

    def choose(self, roster: Roster) -> Collection[Module]:
        assert self.capacity is not None
        playing = [each for each in roster.in_state(State.PLAYING) if each in roster.ready]
        waiting = (each for each in roster.order if each in roster.ready and each not in playing)
        return (*playing, *islice(waiting, max(0, self.capacity - len(playing))))[: self.capacity]

    def due(self, roster: Roster) -> Iterable[Module]:
        return roster.waiting_for_turn

    def is_due(self, kind: type[Kind], index: int) -> bool:
        return True


class AllPlay:
    """Of a pool: everybody plays who is not held."""

    capacity = None

    def choose(self, roster: Roster) -> Collection[Module]:
        return roster.ready

    def due(self, roster: Roster) -> Iterable[Module]:
        return roster.waiting_for_turn

    def is_due(self, kind: type[Kind], index: int) -> bool:
        return True
