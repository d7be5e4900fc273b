"""Reconciling: what modules do is made what the policy wants, at a cost of what has changed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Collection, Iterable
from types import FrameType
from typing import Any

import gevent
import pytest
from fake_types import Lazy, Plain, RemoveHangs
from fakes import FakeClock, FakeLauncher, open_with, run_until_idle
from gevent.event import Event

from shmooze.broker.broker import Broker
from shmooze.broker.policy import FirstPlays, Policy
from shmooze.broker.roster import Change, Place, Roster
from shmooze.modules import Module
from shmooze.modules.lifecycle import State
from shmooze.pool import Pool
from shmooze.queue import Queue

#: Seconds in which anything ends.
LONG = 30.0


class LazyWithPause(Lazy):
    """Pauses in its own `start`, before its process is started."""

    TYPE_STRING = "lazy-with-pause"
    may_go_on = Event()

    def start(self, args: dict[str, Any]) -> None:
        self.may_go_on.wait()
        super().start(args)


@pytest.fixture
def make(clock: FakeClock, launcher: FakeLauncher) -> Callable[..., Any]:
    def make(broker: Broker) -> Broker:
        open_with(broker, launcher)
        LazyWithPause.may_go_on.clear()
        return broker

    return make


def stopped(broker: Broker) -> gevent.Greenlet:
    return gevent.spawn(broker.stop)


def states(broker: Broker) -> list[str]:
    return [module.state.value for module in broker.roster.order]


def test_successive_heads_never_play_together(
    make: Callable[..., Queue], clock: FakeClock, launcher: FakeLauncher
) -> None:
    queue = make(Queue([Plain]))
    first, second = queue.add("plain")["uid"], queue.add("plain")["uid"]
    process = launcher.processes[0]
    process.is_obedient = False
    moving = gevent.spawn(queue.mv, [second])
    run_until_idle()
    assert launcher.processes[1].heard == ["init"]
    process.answer()  # to `suspend`
    run_until_idle()
    assert launcher.processes[1].heard == ["init", "play"]
    assert moving.ready()
    assert [module.uid for module in queue.roster.order] == [second, first]


class Broken(FirstPlays):
    """Fails at the worst moments."""

    is_broken = False

    def choose(self, roster: Roster) -> Collection[Module]:
        if self.is_broken:
            raise KeyError("a fault of the application")
        return super().choose(roster)

    def due(self, roster: Roster) -> Iterable[Module]:
        return super().due(roster)


class BrokenQueue(Queue):
    def make_policy(self) -> Policy:
        return Broken(self.kinds())


def test_fault_of_a_policy_is_logged_and_removal_goes_on(
    make: Callable[..., BrokenQueue],
    clock: FakeClock,
    launcher: FakeLauncher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = make(BrokenQueue([Plain]))
    queue.add("plain")
    Broken.is_broken = True
    try:
        stopping = stopped(queue)
        clock.advance(LONG)
    finally:
        Broken.is_broken = False
    assert stopping.ready()
    assert launcher.living == []
    assert "the policy failed" in caplog.text


def test_one_whose_start_is_under_way_is_ended_by_stop(
    make: Callable[..., Queue], clock: FakeClock, launcher: FakeLauncher
) -> None:
    queue = make(Queue([LazyWithPause, Plain]))
    uids = [queue.add("plain")["uid"] for _ in range(2)]
    queue.add("lazy-with-pause")
    queue.rm(uids[:1])
    run_until_idle()
    assert states(queue) == ["playing", "waiting"]
    stopping = stopped(queue)
    clock.advance(LONG)
    LazyWithPause.may_go_on.set()
    clock.advance(LONG)
    assert stopping.ready()
    assert launcher.living == []


def test_one_that_waits_for_its_turn_is_not_started_by_stop(
    make: Callable[..., Queue], clock: FakeClock, launcher: FakeLauncher
) -> None:
    queue = make(Queue([Lazy]))
    for _ in range(4):
        queue.add("lazy")
    assert states(queue) == ["playing", "suspended", "waiting", "waiting"]
    stopping = stopped(queue)
    clock.advance(LONG)
    assert stopping.ready()
    assert states(queue) == ["waiting", "waiting"]
    assert len(launcher.processes) == 2


def test_module_whose_own_remove_never_returns_is_removed(
    make: Callable[..., Pool], clock: FakeClock, launcher: FakeLauncher
) -> None:
    pool = make(Pool([RemoveHangs]))
    uid = pool.add("remove-hangs")["uid"]
    removing = gevent.spawn(pool.rm, [uid])
    clock.advance(LONG)
    assert removing.ready()
    assert launcher.living == []
    assert launcher.processes[0].heard[-1] == "rm"
    assert pool._reconciler._removals == {}


def test_action_of_a_module_that_is_gone_is_interrupted(
    make: Callable[..., Queue], clock: FakeClock, launcher: FakeLauncher
) -> None:
    queue = make(Queue([LazyWithPause, Plain]))
    queue.add("plain")
    waiting = queue._factory.new_waiting(LazyWithPause, {})
    queue.roster.change(waiting, Place.ORDER)
    run_until_idle()
    assert list(queue._reconciler._actions) == [waiting]
    queue.rm([waiting.uid])
    clock.advance(LONG)
    assert waiting.state is State.GONE
    assert queue._reconciler._actions == {}


def test_what_a_module_has_sent_before_its_end_counts_however_late_it_is_read(
    make: Callable[..., Pool], clock: FakeClock, launcher: FakeLauncher
) -> None:
    pool = make(Pool([Plain]))
    uid = pool.add("plain")["uid"]
    (process,) = launcher.processes
    process.is_obedient = False
    telling = gevent.spawn(pool.tell_module, uid, "last")
    run_until_idle()
    process.delay_reading()
    process.update("fail", text="has run out of film")
    process.answer(result="done")
    process.exit(1)
    clock.advance(LONG)
    assert telling.value == "done"
    (end,) = pool.gone()
    assert end["reason"] == "failed: has run out of film"


@pytest.mark.parametrize("make_broker", [lambda: Pool([Lazy]), lambda: Queue([Lazy])])
def test_pass_costs_what_has_changed_and_not_what_there_is(
    make: Callable[..., Broker], make_broker: Callable[[], Broker]
) -> None:
    costs = []
    instructions_of(lambda: None)  # Python 3.12 counts none in the first call that is traced
    for count in (10, 100):
        broker = make(make_broker())
        for _ in range(count):
            broker.add("lazy")
        broker.roster.tell(broker.roster.order[0], Change.STATE)
        costs.append(instructions_of(broker._reconciler._reconcile))
    assert costs[0] == costs[1]


def instructions_of(call: Callable[[], object]) -> int:
    """How many instructions of Python a call takes, without those of the garbage collector.

    Hypothesis, for one, has a callback in it.
    """
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    gc.disable()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
        gc.enable()
    return count
