"""Turns: the policy of a pool with slots, or with types that need limited resources.

Strategy. Those that play go on. Of the others, the first in the order for which there is everything
comes next: a slot, a turn of its type, and what its process needs. One for which there is not
enough keeps what there is of it for itself, so that later ones cannot overtake it for ever. One
whose turn has come keeps its slot while it starts.

Everything is computed from what lives, whenever that has changed: a module has what it was granted
from when its process is about to be launched until that is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from shmooze.broker.policy import Wanted
from shmooze.broker.roster import Change, Roster
from shmooze.modules.channel.adapters import starts_when_it_plays
from shmooze.modules.grant import Grant
from shmooze.modules.kind import EAGER, LAZY, Kind
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.turns.grants import Resources
from shmooze.turns.ledger import Ledger, needs_of
from shmooze.turns.planning import Plan, Planner, Rules
from shmooze.turns.preemption import Preemption

#: States of modules that have a process, or may have one.
_LIVING = (State.STARTING, State.SUSPENDED, State.PLAYING, State.ENDING)


class Turns:
    """See Policy. `slots` may be None: any number; `has` is what there is for all."""

    def __init__(
        self, kinds: Iterable[type[Kind]], slots: int | None, has: Mapping[str, float]
    ) -> None:
        kinds = list(kinds)
        self.slots = slots
        self.resources = Resources(kinds, has)
        self._rules = _rules_of(kinds)
        #: Those that get a slot before all others that wait for one, in this order. A slot is kept
        #: free for one that is not ready yet; a type: one of it is still to be added.
        self.wanted: Sequence[Wanted] = ()
        #: Those that are being started, or told to play.
        self._beginning: set[Module] = set()
        self._plan: Plan | None = None
        self._taken: list[Grant] = []
        #: The version of the roster that the plan is for.
        self._version = -1
        #: Those that were told what they lack.
        self._lacking: dict[Module, str] = {}

    def renew(
        self, kinds: Iterable[type[Kind]], slots: int | None, resources: Resources, roster: Roster
    ) -> None:
        """Decide by other types, slots and resources from now on."""
        self.slots, self.resources = slots, resources
        self._rules = _rules_of([*kinds, *{type(module) for module in roster.everyone}])
        self._plan = None

    # What the reconciler asks.

    def choose(self, roster: Roster) -> Collection[Module]:
        return [each for each in self.plan(roster).chosen if each in roster.ready]

    def due(self, roster: Roster) -> Collection[Module]:
        return self.plan(roster).due

    def returning(self, roster: Roster) -> Iterable[Module]:
        return [each for each in roster.returning if type(each) not in self._rules.needing]

    def is_due(self, kind: type[Kind], index: int) -> bool:
        if self.needs_turn(kind):
            return False
        return kind.spawn == EAGER or self.slots is None or index < self.slots + kind.lookahead

    def needs_turn(self, kind: type[Kind]) -> bool:
        return kind in self._rules.needing

    def may_begin(self, roster: Roster, module: Module) -> bool:
        plan = self.plan(roster)
        if module.state is State.WAITING:
            return module in plan.due or not self.needs_turn(type(module))
        return module in plan.beginning

    def begin(self, module: Module) -> None:
        self._beginning.add(module)
        kind, state = type(module), module.state
        starts = state is State.SUSPENDED or (state is State.WAITING and self.needs_turn(kind))
        if starts and not module.has_process and module.grant is None and needs_of(kind):
            module.grant = self.resources.grant(kind, self._taken)
            self._plan = None

    def end(self, module: Module) -> bool:
        self._beginning.discard(module)
        if module.grant is None or self._holds(module):
            return False
        module.grant = self._plan = None
        return True

    # The plan.

    def plan(self, roster: Roster) -> Plan:
        """What is to be done now."""
        if self._plan is None or self._version != roster.version:
            self._version = roster.version
            self._plan = self._make_plan(roster)
            self._tell(roster, self._plan.lacks)
        return self._plan

    def choose_again(self) -> None:
        """Make another plan, although the roster has not changed."""
        self._plan = None

    def now(self, roster: Roster) -> Ledger:
        """What is free at this moment. What is ending still has what it had."""
        return self.plan(roster).now.copy()

    def _make_plan(self, roster: Roster) -> Plan:
        holders = list(self._holders(roster))
        self._taken = [each.grant for each in holders if each.grant is not None]
        now, later = self._ledger(), self._ledger()
        for module in holders:
            if module.grant is not None:
                now.take_amounts(module.grant.amounts)
                if module.state is not State.ENDING:
                    later.take_amounts(module.grant.amounts)
        for module in [*roster.in_state(State.PLAYING), *leaving_slots(roster)]:
            now.take_slot(type(module))
        plan = Plan(now)
        for module in roster.in_state(State.PLAYING):
            if module in roster.ready and later.has_slot and later.has_turn(type(module)):
                later.take_slot(type(module))
                plan.chosen[module] = None
        Planner(self._rules, roster, plan, later, holders).give_turns(self.wanted)
        return plan

    def _ledger(self) -> Ledger:
        return Ledger(self.slots, self.resources.has)

    def _holders(self, roster: Roster) -> Iterator[Module]:
        """Those that have something of what the pool has."""
        if not self.resources.has:
            return
        for state in _LIVING:
            for module in roster.in_state(state):
                if module.grant is not None and self._holds(module):
                    yield module
        yield from [each for each in self._beginning if each.state is State.WAITING and each.grant]

    def _holds(self, module: Module) -> bool:
        """Whether a process may have what a module was granted."""
        if module.has_process or module in self._beginning:
            return module.state is not State.GONE
        return module.state in (State.STARTING, State.PLAYING, State.ENDING)

    def _tell(self, roster: Roster, lacks: dict[Module, str]) -> None:
        """Let clients see what each one lacks."""
        before, self._lacking = self._lacking, lacks
        for module in {**before, **lacks}:
            if module.lacks != (words := lacks.get(module)):
                module.lacks = words
                roster.tell(module, Change.TERMS)


def _rules_of(kinds: Collection[type[Kind]]) -> Rules:
    return Rules(
        kinds=frozenset(kinds),
        needing=frozenset(
            kind for kind in kinds if needs_of(kind) and not starts_when_it_plays(kind)
        ),
        lookahead=max((each.lookahead for each in kinds if each.spawn == LAZY), default=0),
        preemption=Preemption(kinds),
    )


def leaving_slots(roster: Roster) -> list[Module]:
    """Those that have played, and whose processes are being ended, so that their slots are not free
    yet.
    """
    return [
        module
        for module in roster.in_state(State.ENDING)
        if module.exit is not None and module.exit.state == State.PLAYING.shown
    ]
