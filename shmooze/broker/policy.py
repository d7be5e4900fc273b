"""Policies: who should play, decided for the whole roster at once.

A policy only looks. The reconciler carries its choice out, in steps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Protocol

from shmooze.broker.roster import Roster
from shmooze.modules.kind import EAGER, Kind
from shmooze.modules.lifecycle import READY, UNSTARTED, State
from shmooze.modules.module import Module

#: What is to play before all others: a module, or one of a type that is still to be added.
Wanted = Module | type[Module]


class Policy(Protocol):
    """Decides who should play."""

    def choose(self, roster: Roster) -> Collection[Module]:
        """Those that should play, of those that are ready."""

    def due(self, roster: Roster) -> Collection[Module]:
        """The modules that wait for their turn and are to be started now."""

    def returning(self, roster: Roster) -> Iterable[Module]:
        """Those of `roster.returning` that are started whether or not it is their turn."""

    def is_due(self, kind: type[Kind], index: int) -> bool:
        """Whether a module that gets this place in the order is started at once."""

    def needs_turn(self, kind: type[Kind]) -> bool:
        """Whether no module of a type is ever started before its turn."""

    def may_begin(self, roster: Roster, module: Module) -> bool:
        """Whether one that is to start or to play may do so at this moment: others may still be
        about to leave.
        """

    def begin(self, module: Module) -> None:
        """A module is about to start, to play or to be suspended."""

    def end(self, module: Module) -> bool:
        """It has done so, or failed to. Returns whether others may begin because of that."""


class Room(Protocol):
    """What is free at one moment for those that are to play. It changes for itself."""

    def fits(self, wanted: Wanted) -> bool:
        """Whether there is everything that one needs to play."""

    def take(self, wanted: Wanted) -> None:
        """It plays."""

    def reserve(self, wanted: Wanted) -> None:
        """Keep what there is of what it needs for it, as it waits for the rest."""

    def release(self, module: Module, has_slot: bool, ends: bool) -> None:
        """One leaves its slot, and its process ends or goes on."""

    def enough(
        self, wanted: Wanted, candidates: Iterable[Module], ends: Callable[[Module], bool]
    ) -> list[Module] | None:
        """Those of `candidates`, which play, that have to leave so that another one may play: the
        first ones that do, and none without need. None: that is not enough.
        """


class StartsAtOnce:
    """What policies have in common that start modules without regard to what these need."""

    def returning(self, roster: Roster) -> Iterable[Module]:
        return roster.returning

    def needs_turn(self, kind: type[Kind]) -> bool:
        return False

    def may_begin(self, roster: Roster, module: Module) -> bool:
        return True

    def begin(self, module: Module) -> None:
        pass

    def end(self, module: Module) -> bool:
        return False


class FirstPlays(StartsAtOnce):
    """Of a queue: the first that can play does, or the background."""

    def __init__(self, kinds: Iterable[type[Kind]]) -> None:
        self.renew(kinds)
        #: Whether nobody plays until it is known how one has ended whose process has exited: it may
        #: be repeated.
        self.waits_for_exits = False

    def renew(self, kinds: Iterable[type[Kind]]) -> None:
        """There are other types."""
        #: The most places before its turn at which any type is started.
        self._lookahead = max((kind.lookahead for kind in kinds), default=0)

    def choose(self, roster: Roster) -> Collection[Module]:
        if self.waits_for_exits and any(map(_has_exited, roster.in_state(State.ENDING))):
            return ()
        for module in roster.order:
            if _can_play(module):  # one that is being started is passed over
                return (module,)
            if module.is_awaited and module.state in UNSTARTED and module.held is None:
                return ()
        background = roster.background
        return (background,) if background is not None and _can_play(background) else ()

    def due(self, roster: Roster) -> Collection[Module]:
        lazy = roster.waiting_for_turn
        if not lazy:
            return ()
        free = (module for module in roster.order if module.is_free)
        return [
            module
            for index, module in enumerate(islice(free, self._lookahead + 1))
            if module in lazy and index <= module.lookahead
        ]

    def is_due(self, kind: type[Kind], index: int) -> bool:
        return kind.spawn == EAGER or index <= kind.lookahead

    def may_begin(self, roster: Roster, module: Module) -> bool:
        return module.state is State.WAITING or not roster.in_state(State.PLAYING)


def _can_play(module: Module) -> bool:
    return module.state in READY and module.is_free


def _has_exited(module: Module) -> bool:
    """Whether the process of one that has played has exited, nobody knows yet how."""
    record = module.exit
    return record is not None and record.cause.by_exit and record.state == State.PLAYING.shown


class AllPlay(StartsAtOnce):
    """Of a pool: everybody plays who is not held."""

    def choose(self, roster: Roster) -> Collection[Module]:
        return roster.ready

    def due(self, roster: Roster) -> Collection[Module]:
        return roster.waiting_for_turn

    def is_due(self, kind: type[Kind], index: int) -> bool:
        return True
