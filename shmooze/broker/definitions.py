"""Which definition of its type an item gets with its next process: the settings may change.

A definition is a class, and never changes itself. An item with a process keeps its class. One
without, or that is about to get another one, has its place taken by a module of the present class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shmooze.broker.missing import why_missing
from shmooze.broker.roster import Place, Roster
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module


class Definitions:
    """Those of the types of one broker. `build` makes a module that is in no roster yet."""

    def __init__(
        self, roster: Roster, build: Callable[[type[Module], State, str | None], Module]
    ) -> None:
        self._roster, self._build = roster, build
        #: The one that counts now, at a place.
        self.newest: Callable[[type[Module], Place], type[Module]] = lambda kind, place: kind
        self._outdated: set[type[Module]] = set()

    def is_outdated(self, kind: type[Module]) -> bool:
        """Whether a type has been replaced, so that its processes serve no further items."""
        return kind in self._outdated

    def outdate(self, kinds: Iterable[type[Module]]) -> None:
        """These have been replaced."""
        self._outdated.update(kinds)

    def replace(self, earlier: Module) -> Module:
        """Let an item of the roster, which has no process, have the present definition. Returns
        the module that has its place then.
        """
        module = self.renewed(earlier, self._roster.place_of(earlier))
        if module is not earlier:
            self._roster.change(module, instead_of=earlier)
            self._roster.forget(earlier)
        return module

    def renewed(self, earlier: Module, place: Place = Place.ORDER) -> Module:
        """A module of the present definition for the item of one that has no process. It is not in
        the roster yet. Returns the same module if that has it already.
        """
        kind = self.newest(type(earlier), place)
        if kind is type(earlier):
            return earlier
        held, besides = earlier.held, earlier.held_besides
        if kind.is_missing and not earlier.is_missing:
            held, besides = why_missing(kind.TYPE_STRING), held
        elif earlier.is_missing and not kind.is_missing:
            held, besides = besides, None
        state = earlier.state
        if state in (State.WAITING, State.HELD):
            state = State.WAITING if held is None else State.HELD
        module = self._build(kind, state, earlier.uid)
        module.args, module.origin, module.saved = earlier.args, earlier.origin, earlier.saved
        module.terms, module.position = earlier.terms, earlier.position
        module.has_begun, module.attempts = earlier.has_begun, earlier.attempts
        module.restarts.count, module.next_attempt = earlier.restarts.count, earlier.next_attempt
        module.held, module.held_besides, module.blocked = held, besides, earlier.blocked
        module.is_awaited, module.may_borrow = earlier.is_awaited, earlier.may_borrow
        self._roster.line.hand_on(earlier, module)
        return module
