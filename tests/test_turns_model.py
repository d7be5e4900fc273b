"""Turns under any order of events: slots are never exceeded, nothing is granted twice, nobody is
overtaken who waits for something, nobody waits without a reason, and everybody gets his turn.

What processes have is read from their environments, and not from what the policy keeps.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import gevent
import machines
import pytest
from fake_types import Lazy, Plain
from fakes import Fake, FakeLauncher, FakeProcess, fake_clock, open_with, run_until_idle
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)
from memory_keeper import MemoryKeeper

from shmooze.errors import CommandError
from shmooze.modules import Module
from shmooze.modules.lifecycle import State
from shmooze.ordering.priority import ByPriority
from shmooze.pool import Pool

GPUS = 2
#: Seconds in which everything ends that is to end, and everything starts again.
LONG = 200.0


class One(Fake):
    TYPE_STRING = "one"
    needs = {"gpu": 1}


class Both(Fake):
    TYPE_STRING = "both"
    needs = {"gpu": 2}


class Again(One):
    TYPE_STRING = "again"
    restart = "on-failure"
    restart_delay = 1.0


class Single(Fake):
    TYPE_STRING = "single"
    max_playing = 1


class Music(Fake):
    TYPE_STRING = "music"
    preempt = True


class Yields(Module):
    """A program that is launched when it plays, and ended when it is suspended."""

    TYPE_STRING = "yields"
    process = ("yields",)
    adapter = "command"
    suspend_by = "end"
    preempt = True
    needs = {"gpu": 1}


KINDS: list[type[Module]] = [Plain, Lazy, One, Both, Again, Single, Music, Yields]
BY_NAME = {kind.TYPE_STRING: kind for kind in KINDS}

kinds = st.sampled_from(KINDS)
priorities = st.sampled_from([0, 0, 0, 1, 2])
seconds = st.sampled_from([0.3, 1.2, 6.0])


class Turns(RuleBasedStateMachine):
    slots: int | None = 2

    def __init__(self) -> None:
        super().__init__()
        self._resources = ExitStack()
        self.clock = self._resources.enter_context(fake_clock())
        self.errors: list[Any] = []
        hub = gevent.get_hub()
        self._resources.callback(setattr, hub, "handle_error", hub.handle_error)
        hub.handle_error = lambda *error: self.errors.append(error)
        self._open(MemoryKeeper())

    def _open(self, keeper: MemoryKeeper) -> None:
        self.keeper = keeper
        self.launcher = FakeLauncher(self._on_launch)
        self.are_obedient = True
        self.pool = Pool(KINDS, slots=self.slots, has={"gpu": GPUS})
        self.pool.items.keeper = keeper
        self.pool.items.ordering = ByPriority(None, lambda: ())
        open_with(self.pool, self.launcher)
        run_until_idle()

    def _call(self, function: Any, *args: Any, **keys: Any) -> None:
        def attempt() -> None:
            try:
                function(*args, **keys)
            except CommandError:
                pass

        gevent.spawn(attempt)
        run_until_idle()

    @property
    def order(self) -> list[Module]:
        return [*self.pool.roster.order]

    @property
    def living(self) -> list[FakeProcess]:
        return self.launcher.living

    # What clients do.

    @rule(kind=kinds, priority=priorities)
    def add(self, kind: type[Module], priority: float) -> None:
        self._call(self.pool.add, kind.TYPE_STRING, priority=priority)

    @precondition(lambda self: self.order)
    @rule(data=st.data(), command=st.sampled_from(["rm", "hold", "release", "release"]))
    def command(self, data: st.DataObject, command: str) -> None:
        uid = data.draw(st.sampled_from(self.order)).uid
        self._call(getattr(self.pool, command), [uid])

    @precondition(lambda self: self.order)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        self._call(self.pool.items.move, [data.draw(st.sampled_from(self.order)).uid])

    # What programs do.

    @precondition(lambda self: self.living)
    @rule(data=st.data(), status=st.sampled_from([0, 1]))
    def process_exits(self, data: st.DataObject, status: int) -> None:
        data.draw(st.sampled_from(self.living)).exit(status)
        run_until_idle()

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def process_will_take_its_time_to_end(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(self.living))
        process.is_obedient, process.leaves_unread = False, True

    @rule(kind=kinds)
    def next_process_takes_its_time_to_connect(self, kind: type[Module]) -> None:
        self.are_obedient = False
        self._call(self.pool.add, kind.TYPE_STRING)
        self.are_obedient = True

    @precondition(lambda self: self.living)
    @rule()
    def processes_connect_and_answer(self) -> None:
        for process in self.living:
            if not process.leaves_unread:
                process.is_obedient = True
                process.connect()
                while process.unanswered:
                    process.answer()
        run_until_idle()

    @rule(kind=kinds)
    def launching_fails_for_a_while(self, kind: type[Module]) -> None:
        self.launcher.fault = "no such program"
        self._call(self.pool.add, kind.TYPE_STRING)
        self.launcher.fault = ""

    @rule(kind=kinds)
    def keeping_takes_its_time(self, kind: type[Module]) -> None:
        self.keeper.may_go_on.clear()
        self._call(self.pool.add, kind.TYPE_STRING)
        if self.order:
            self._call(self.pool.rm, [self.order[0].uid])
        self.clock.advance(1.0)
        self.keeper.may_go_on.set()
        run_until_idle()

    @rule()
    def keeping_takes_its_time_while_all_programs_end(self) -> None:
        self.keeper.may_go_on.clear()
        for process in self.living:
            if not process.leaves_unread:
                process.exit(0)
        self.clock.advance(1.0)
        self.keeper.may_go_on.set()
        run_until_idle()

    @rule(seconds=seconds)
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def service_crashes_and_comes_back(self) -> None:
        survivor = self.keeper.copy()
        self._stop()
        before, items = survivor.order, {*survivor.items}
        self._open(survivor)
        uids = [each.uid for each in self.order]
        assert {*uids} == items - survivor.history.keys()
        assert [uid for uid in uids if uid in before] == [uid for uid in before if uid in uids]

    # What always holds.

    def _on_launch(self, process: FakeProcess) -> None:
        process.is_obedient = self.are_obedient
        kind = BY_NAME[process.label.split()[0]]
        if not kind.needs:
            return
        owners = [each for each in self.pool.roster.everyone if each.uid[:8] in process.label]
        order = self.order
        (new,) = [each for each in owners if each.state is not State.ENDING]
        earlier = order[: order.index(new)] if new in order else order
        everyone = self.pool.roster.everyone
        free = GPUS - sum(each.grant.amounts["gpu"] for each in everyone if each.grant)
        for module in earlier:
            waits = module.is_free and module.state in (State.WAITING, State.SUSPENDED)
            was_away = module.restarts.count  # and came back a moment ago, perhaps
            if waits and module.needs and module.grant is None and not was_away:
                free -= module.needs["gpu"]
                is_lower = module.terms.priority < new.terms.priority
                if free < 0 and not is_lower:
                    self.errors.append(f"{new} overtakes {module}")

    def _of(self, process: FakeProcess) -> type[Module]:
        return BY_NAME[process.label.split()[0]]

    @invariant()
    def no_greenlet_has_failed(self) -> None:
        assert self.errors == [], self.errors

    @invariant()
    def nothing_is_granted_twice(self) -> None:
        used: list[str] = []
        for process in self.living:
            amount = int(self._of(process).needs.get("gpu", 0))
            granted = process.spec.environ.get("SHMOOZE_GPU", "")
            numbers = granted.split(",") if granted else []
            assert len(numbers) == amount
            used += numbers
        assert len(used) == len(set(used))
        assert set(used) <= {str(number) for number in range(GPUS)}

    @invariant()
    def slots_and_limits_of_types_are_never_exceeded(self) -> None:
        playing = [*self.pool.roster.in_state(State.PLAYING)]
        assert self.slots is None or len(playing) <= self.slots
        assert Counter(map(type, playing))[Single] <= 1
        told = [each for each in self.living if each.is_playing]
        assert self.slots is None or len(told) <= self.slots
        programs = [each for each in self.living if self._of(each) is Yields]
        assert self.slots is None or len(programs) <= self.slots

    @invariant()
    def what_is_granted_belongs_to_a_process(self) -> None:
        run_until_idle()
        acting = self.pool._reconciler._actions
        for module in self.pool.roster.everyone:
            if module.grant is not None and module not in acting:
                assert module.has_process or module.state is State.ENDING

    @invariant()
    def nobody_waits_without_a_reason(self) -> None:
        """Nor plays before another whose turn it was."""
        run_until_idle()
        if self.pool._reconciler._actions:
            return
        roster = self.pool.roster
        ending = [*roster.in_state(State.ENDING)]
        granted = [each for each in roster.everyone if each.grant]
        now = GPUS - sum(each.grant.amounts["gpu"] for each in granted if each.grant)
        later = now + sum(each.grant.amounts["gpu"] for each in ending if each.grant)
        playing = Counter(map(type, roster.in_state(State.PLAYING)))
        in_use = playing.total() + len(ending)
        for module in self.order:
            if not module.is_free or module.state not in (State.WAITING, State.SUSPENDED):
                in_use += module.state is State.STARTING
                continue
            need = 0 if module.grant else module.needs.get("gpu", 0)
            is_full = module.max_playing is not None and (
                playing[type(module)] + len(ending) >= module.max_playing
            )
            if is_full or (self.slots is not None and in_use >= self.slots):
                continue
            assert need > now, f"{module} waits without a reason"
            assert module.lacks is not None
            in_use += need <= later  # it keeps its slot while others are ending
            now, later = max(0, now - need), max(0, later - need)

    @invariant()
    def one_of_higher_priority_does_not_wait_for_one_that_may_be_suspended(self) -> None:
        run_until_idle()
        roster = self.pool.roster
        if roster.in_state(State.ENDING) or roster.dismissed:
            return  # whose slot is soon free
        acting = self.pool._reconciler._actions
        order = self.order
        for place, module in enumerate(order):
            is_ready = module.is_free and module.state is State.SUSPENDED
            if not is_ready or isinstance(module, Single) or (module.needs and not module.grant):
                continue
            lower = [
                each
                for each in order[place:]
                if each.terms.priority < module.terms.priority
                and each.state is State.PLAYING
                and each.preempt
            ]
            # One of them may be about to be suspended.
            assert not lower or any(each in acting for each in [module, *lower])

    @invariant()
    def nothing_is_done_over_and_over(self) -> None:
        run_until_idle()
        version = self.pool.roster.version
        run_until_idle()
        assert self.pool.roster.version == version
        assert not self.pool._reconciler._is_awake

    def teardown(self) -> None:
        try:
            self._come_to_rest()
            self._stop()
        finally:
            self._resources.close()
        assert self.errors == [], self.errors

    def _come_to_rest(self) -> None:
        """Everybody gets his turn, in as many rounds as there are at most."""
        self.keeper.may_go_on.set()
        self.clock.advance(LONG)
        self._call(self.pool.release, [each.uid for each in self.order if each.held])
        has_played: set[str] = set()
        everyone = {each.uid for each in self.order}
        for _ in range(2 * len(everyone) + 2):
            self.processes_connect_and_answer()
            self.clock.advance(LONG)
            playing = [*self.pool.roster.in_state(State.PLAYING)]
            assert playing or not self.order, "nobody plays"
            has_played |= {each.uid for each in playing}
            for module in playing:
                if isinstance(module._process, FakeProcess):
                    module._process.exit(0)
            run_until_idle()
            self.slots_and_limits_of_types_are_never_exceeded()
            self.nothing_is_granted_twice()
        assert self.order == []
        assert everyone <= has_played | self.keeper.history.keys()

    def _stop(self) -> None:
        self.keeper.may_go_on.set()
        self.pool._supervision.stop_restarting()
        self.pool._reconciler.stop_starting()
        self.pool._factory.close()
        ending = gevent.spawn(self.pool.end_all, "was stopped with the service")
        self.clock.advance(60.0)
        assert ending.ready()
        assert self.living == []


class WithOneSlot(Turns):
    slots = 1


class WithoutSlots(Turns):
    slots = None


@pytest.mark.parametrize("machine", [Turns, WithOneSlot, WithoutSlots])
def test_turns_are_given_as_promised_in_every_order_of_events(machine: type[Turns]) -> None:
    machines.run(machine, examples=20, steps=25)


def test_one_whose_start_is_being_kept_is_not_overtaken() -> None:
    turns = WithoutSlots()
    turns.add(kind=One, priority=0)
    turns.next_process_takes_its_time_to_connect(kind=Yields)
    turns.keeping_takes_its_time(kind=Plain)  # while the first one is removed
    turns.keeping_takes_its_time(kind=One)  # while the next one is removed
    turns.launching_fails_for_a_while(kind=Yields)
    turns.keeping_takes_its_time(kind=Plain)  # while the programs end that have everything
    turns.teardown()


def test_a_free_slot_is_not_kept_for_one_that_waits_for_a_turn_of_its_type() -> None:
    turns = Turns()
    turns.add(kind=Single, priority=0)
    turns.next_process_takes_its_time_to_connect(kind=Single)
    turns.processes_connect_and_answer()
    turns.keeping_takes_its_time(kind=Plain)  # while the one that plays is removed
    turns.nobody_waits_without_a_reason()
    turns.teardown()


def test_nobody_is_suspended_for_one_whose_needs_are_kept_for_another_one() -> None:
    turns = Turns()
    turns.add(kind=Music, priority=2)
    turns.next_process_takes_its_time_to_connect(kind=Again)
    turns.add(kind=Music, priority=1)
    turns.add(kind=Both, priority=2)
    turns.add(kind=Yields, priority=2)
    playing = turns.pool.roster.in_state(State.PLAYING)
    assert [type(each) for each in playing] == [Music, Music]
    turns.nothing_is_done_over_and_over()
    turns.teardown()
