"""Policies: who should play, decided for the whole roster at once.

A policy only looks. The reconciler carries its choice out, in steps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
        """How many may play at a time; None: any number."""

    def taken(self, roster: Roster) -> int:
        """How much of the capacity is in use. One that is being suspended counts."""

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

    def taken(self, roster: Roster) -> int:
        return len(roster.in_state(State.PLAYING))

    def due(self, roster: Roster) -> Iterable[Module]:
        lazy = roster.waiting_for_turn
        if not lazy:
            return
        free = (module for module in roster.order if module.is_free)
        for index, module in enumerate(islice(free, self._lookahead + 1)):
            if module in lazy and index <= module.lookahead:
                yield module

    def is_due(self, kind: type[Kind], index: int) -> bool:
        return kind.spawn == EAGER or index <= kind.lookahead


def _can_play(module: Module) -> bool:
    return module.state in READY and module.is_free


class SomePlay:
    """Of a pool with slots: so many play, those that do already before those that wait."""

    def __init__(self, slots: int) -> None:
        self.capacity = slots
        #: Those that get a slot before all others that wait for one, in this order. A slot is kept
        #: free for one that is not ready yet; None: it is still to be added.
        self.wanted: Sequence[Module | None] = ()

    def choose(self, roster: Roster) -> Collection[Module]:
        playing = [each for each in roster.in_state(State.PLAYING) if each in roster.ready]
        chosen = dict.fromkeys(playing[: self.capacity])
        kept = 0
        for wanted in self.wanted:
            if len(chosen) + kept >= self.capacity:
                break
            if wanted is not None and wanted in roster.ready:
                chosen[wanted] = None
            else:
                kept += 1
        for module in roster.order:
            if len(chosen) + kept >= self.capacity:
                break
            if module in roster.ready:
                chosen[module] = None
        return tuple(chosen)

    def taken(self, roster: Roster) -> int:
        return len(roster.in_state(State.PLAYING)) + len(leaving_slots(roster))

    def due(self, roster: Roster) -> Iterable[Module]:
        return roster.waiting_for_turn

    def is_due(self, kind: type[Kind], index: int) -> bool:
        return True


def leaving_slots(roster: Roster) -> list[Module]:
    """Those that have played, and whose processes are being ended, so that their slots are not free
    yet.
    """
    return [
        module
        for module in roster.in_state(State.ENDING)
        if module.exit is not None and module.exit.state == State.PLAYING.shown
    ]


class AllPlay:
    """Of a pool: everybody plays who is not held."""

    capacity = None

    def choose(self, roster: Roster) -> Collection[Module]:
        return roster.ready

    def taken(self, roster: Roster) -> int:
        return len(roster.in_state(State.PLAYING))

    def due(self, roster: Roster) -> Iterable[Module]:
        return roster.waiting_for_turn

    def is_due(self, kind: type[Kind], index: int) -> bool:
        return True
