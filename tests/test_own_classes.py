"""Faults in an application's own subclasses of Module: each fails its module, and nothing else."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from fakes import Fake, FakeClock, FakeLauncher, open_with, run_until_idle
from gevent.event import Event

from shmooze.errors import CommandError, ModuleError
from shmooze.modules import Module
from shmooze.modules.lifecycle import State
from shmooze.pool import Pool

#: Seconds in which anything ends.
LONG = 30.0


def pool_of(kind: type[Module], launcher: FakeLauncher) -> Pool:
    pool = Pool([kind])
    open_with(pool, launcher)
    return pool


class Own(Fake):
    TYPE_STRING = "own"


def refusal_of(pool: Pool) -> str:
    with pytest.raises(CommandError) as refused:
        pool.add("own")
    return str(refused.value)


def test_start_that_does_not_start_it_fails_it(clock: FakeClock, launcher: FakeLauncher) -> None:
    class StartsNothing(Own):
        def start(self, args: dict[str, Any]) -> None:
            pass

    pool = pool_of(StartsNothing, launcher)
    assert refusal_of(pool) == "own is still starting after `start`"
    clock.advance(LONG)
    assert not pool.roster.everyone


def test_start_that_finds_a_fault_of_its_own_leaves_no_process(
    clock: FakeClock, launcher: FakeLauncher
) -> None:
    class FindsFault(Own):
        def start(self, args: dict[str, Any]) -> None:
            super().start(args)
            raise ModuleError("has no such file")

    pool = pool_of(FindsFault, launcher)
    assert refusal_of(pool) == "own has no such file"
    clock.advance(LONG)
    assert launcher.living == []
    assert not pool.roster.everyone


def test_module_removed_while_its_own_start_goes_on_leaves_no_entry(
    clock: FakeClock, launcher: FakeLauncher
) -> None:
    may_go_on = Event()

    class StartsSlowly(Own):
        def start(self, args: dict[str, Any]) -> None:
            super().start(args)
            may_go_on.wait()

    pool = pool_of(StartsSlowly, launcher)
    adding = gevent.spawn(pool.add, "own")
    run_until_idle()
    gevent.spawn(pool.rm, [module.uid for module in pool.roster.everyone])
    clock.advance(LONG)
    may_go_on.set()
    clock.advance(LONG)
    assert adding.ready()
    assert pool.show_roster() == []
    assert not pool.roster.everyone


def test_start_that_does_not_start_it_again_uses_up_its_restarts(
    clock: FakeClock, launcher: FakeLauncher
) -> None:
    class StartsOnce(Own):
        restart = "always"
        restart_limit = 2

        def start(self, args: dict[str, Any]) -> None:
            if not self.restarts.count:
                super().start(args)

    pool = pool_of(StartsOnce, launcher)
    pool.add("own")
    launcher.processes[0].exit(1)
    clock.advance(LONG)
    last = "the last time it is still starting after `start`"
    assert pool.gone()[-1]["reason"] == f"was given up after 2 restarts; {last}"
    assert not pool.roster.everyone


@pytest.mark.parametrize("state", [None, State.STARTING])
def test_successor_that_cannot_take_its_place_is_refused(
    clock: FakeClock, launcher: FakeLauncher, state: State | None
) -> None:
    class HasNoSuccessor(Own):
        restart = "always"

        def successor(self) -> Module:
            if state is not None:
                return type(self)(self.uid, launcher, self._on_change, self._log, state=state)
            return None  # type: ignore[return-value]

    pool = pool_of(HasNoSuccessor, launcher)
    pool.add("own")
    launcher.processes[0].exit(1)
    clock.advance(LONG)
    assert pool.show_roster() == []
    assert not pool.roster.everyone


class Ahead(Own):
    standby = 1


def test_prepare_that_prepares_nothing_is_tried_again_and_keeps_no_module(
    clock: FakeClock, launcher: FakeLauncher
) -> None:
    class PreparesNothing(Ahead):
        def prepare(self) -> None:
            pass

    pool = pool_of(PreparesNothing, launcher)
    clock.advance(0.4)
    assert not pool.roster.in_state(State.STARTING)
    assert pool._factory.standby._failures[PreparesNothing] == 1
    assert pool.add("own")["uid"]


def test_one_on_standby_is_not_taken_before_its_own_prepare_has_returned(
    clock: FakeClock, launcher: FakeLauncher
) -> None:
    may_go_on = Event()

    class PreparesMore(Ahead):
        def prepare(self) -> None:
            super().prepare()
            may_go_on.wait()

    pool = pool_of(PreparesMore, launcher)
    clock.advance(1)
    (prepared,) = pool.roster.in_state(State.STANDBY)
    assert pool.standby_available()["own"]["available"] == 0
    assert pool.add("own")["uid"] != prepared.uid
    may_go_on.set()
    clock.advance(1)
    assert pool.add("own")["uid"] == prepared.uid


def test_prepare_that_finds_a_fault_of_its_own_leaves_no_process(
    clock: FakeClock, launcher: FakeLauncher
) -> None:
    class FindsFault(Ahead):
        def prepare(self) -> None:
            super().prepare()
            raise CommandError("has no such file")

    pool = pool_of(FindsFault, launcher)
    clock.advance(0.2)
    assert len(launcher.processes) == 1
    assert not pool.roster.in_state(State.STANDBY)
    pool._factory.close()
    clock.advance(LONG)
    assert launcher.living == []
