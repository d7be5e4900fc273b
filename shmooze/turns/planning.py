"""Planning: one pass over all that wait for a turn, which decides who is next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shmooze.broker.policy import Wanted
from shmooze.broker.roster import Roster
from shmooze.modules.kind import Kind
from shmooze.modules.lifecycle import READY, State
from shmooze.modules.module import Module
from shmooze.turns.ledger import Ledger
from shmooze.turns.preemption import Preemption
from shmooze.turns.reasons import shortage

#: States of those whose turn can come.
_IN_LINE = (State.WAITING, State.STARTING, State.SUSPENDED)


@dataclass
class Plan:
    """Who is to do what, as long as nothing changes."""

    #: What is free at this moment.
    now: Ledger
    #: Those that play or are to play; they keep their slots while they start.
    chosen: dict[Module, None] = field(default_factory=dict)
    #: Those of them that do not play yet, and may at this moment.
    beginning: dict[Module, None] = field(default_factory=dict)
    #: Those that wait for a process and are to be started.
    due: dict[Module, None] = field(default_factory=dict)
    #: Those that do not play and wait for a slot, or for what they need, maybe only until others
    #: have left; first to last, as far as it matters.
    waiting: list[Module] = field(default_factory=list)
    #: Why the turns of others have not come, where their places do not tell.
    lacks: dict[Module, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """What only the settings decide."""

    kinds: frozenset[type[Kind]]
    #: Types of which none is started before its turn.
    needing: frozenset[type[Kind]]
    #: The most places before its turn at which any type is started.
    lookahead: int
    preemption: Preemption


class Planner:
    """Gives the turns of one plan. `later` is what is free once those that leave are gone.

    `holders` are those that have something of what the pool has.
    """

    #: Modules of each type that are told what they lack. Further ones see their places.
    told = 20

    def __init__(
        self, rules: Rules, roster: Roster, plan: Plan, later: Ledger, holders: Sequence[Module]
    ) -> None:
        self._rules, self._roster, self._plan = rules, roster, plan
        self._later, self._holders = later, holders
        #: What is free at this moment, less what was given to those before.
        self._now = plan.now.copy()
        self._preemption = rules.preemption.among(roster, plan.chosen)
        #: Those that wait for a slot, and for nothing else.
        self._in_line, self._most_in_line = 0, max(1, rules.lookahead)
        #: For whom what there is too little of is kept.
        self._keeping: list[Module] = []
        #: Types of which no further one can have a turn, and how many of each were told why.
        self._closed: set[type[Module]] = set()
        self._told = Counter[type[Module]]()
        #: Whether others than those of closed types may have a turn.
        self._has_others = self._preemption.is_possible or any(
            each.state is State.SUSPENDED for each in holders
        )

    def give_turns(self, wanted: Sequence[Wanted]) -> None:
        """Go through those that are wanted, and then through all others that wait."""
        for each in self._line(wanted):
            if isinstance(each, type) or not each.is_free or each.state not in _IN_LINE:
                self._keep_slot(each)
            elif not self._decide(each):
                break

    def _line(self, wanted: Sequence[Wanted]) -> Iterator[Wanted]:
        first = dict.fromkeys(wanted)
        yield from first
        for module in self._roster.order:
            if self._has_no_chance(module):
                continue
            if module.state in _IN_LINE and module.is_free and module not in first:
                yield module

    def _has_no_chance(self, module: Module) -> bool:
        if not self._preemption.is_hopeless(module):
            return False
        is_closed = type(module) in self._closed and module.grant is None
        return is_closed or self._in_line >= self._most_in_line

    def _keep_slot(self, wanted: Wanted) -> None:
        """Keep a slot for one that is not ready, or still to be added."""
        kind = wanted if isinstance(wanted, type) else type(wanted)
        if wanted not in self._plan.chosen and self._later.has_slot and self._later.has_turn(kind):
            self._later.reserve(wanted)
            self._later.take_slot(kind)

    def _decide(self, module: Module) -> bool:
        """Decide about one. Returns False if nobody behind it can have a turn."""
        kind, plan, later = type(module), self._plan, self._later
        if not later.fits(module) and (victims := self._preemption.victims(module, later)):
            if module.state not in READY and kind not in self._rules.needing:
                self._start(module)  # nobody leaves before it can play
                return True
            self._suspend(victims)
        if not later.has_turn(kind):
            count, verb = kind.max_playing, "plays" if kind.max_playing == 1 else "play"
            plan.lacks[module] = f"{count} of type {kind.TYPE_STRING} {verb} already"
            return self._has_told(kind)
        if not later.has_slot:
            return self._wait_for_slot(module)
        plan.waiting.append(module)
        if module.grant is None and (short := later.short(kind)):
            plan.lacks[module] = shortage(module, short, self._holders, self._keeping)
            later.reserve(module)
            self._keeping.append(module)
            return self._has_told(kind)
        later.take(module)
        plan.chosen[module] = None
        if module.grant is None and (short := self._now.short(kind)):  # others are leaving
            plan.lacks[module] = shortage(module, short, self._holders, self._keeping)
            self._now.reserve(module)
        else:
            if self._now.fits(module):
                plan.beginning[module] = None
                self._now.take(module)
            else:  # it has to wait for a slot, or a turn of its type, which another one leaves
                self._now.reserve(module)
            self._start(module)
        return True

    def _suspend(self, victims: Sequence[Module]) -> None:
        for victim in victims:
            del self._plan.chosen[victim]
            self._later.release(victim, True, self._preemption.ends(victim))
        self._closed.clear()

    def _wait_for_slot(self, module: Module) -> bool:
        kind = type(module)
        if self._in_line < kind.lookahead and kind not in self._rules.needing:
            self._start(module)
        self._in_line += 1
        self._plan.waiting.append(module)
        # As if it had a slot: nobody behind it is to get one by suspending others for nothing.
        self._later.reserve(module)
        return self._preemption.is_possible or self._in_line < self._most_in_line

    def _has_told(self, kind: type[Module]) -> bool:
        """One more of a type was told what it lacks. Returns as `_decide`."""
        self._told[kind] += 1
        if self._told[kind] >= self.told:
            self._closed.add(kind)
        return self._has_others or self._closed != self._rules.kinds

    def _start(self, module: Module) -> None:
        if module.state is State.WAITING:
            self._plan.due[module] = None
