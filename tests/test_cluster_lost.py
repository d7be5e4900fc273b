"""Items whose machine is lost: what becomes of them, and that none is ever running twice."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from cluster import Here
from fakes import Fake, FakeClock, FakeLauncher, FakeProcess, open_with, run_until_idle

from shmooze.broker.broker import Broker
from shmooze.cluster.declared import Cluster
from shmooze.cluster.launcher import ClusterLauncher
from shmooze.errors import ModuleError
from shmooze.pool import Pool
from shmooze.processes.contract import LaunchSpec, NoEndpoint
from shmooze.queue import Queue

#: Seconds in which anything is started again.
LONG = 30.0


class Again(Fake):
    TYPE_STRING = "again"


class Hold(Fake):
    TYPE_STRING = "hold"
    after_crash = "hold"


class Drop(Fake):
    TYPE_STRING = "drop"
    after_crash = "drop"


KINDS = [Again, Hold, Drop]


@pytest.fixture
def make(clock: FakeClock, launcher: FakeLauncher) -> Callable[[Broker], Any]:
    def make(broker: Broker) -> Broker:
        open_with(broker, launcher)
        return broker

    return make


def lose(process: FakeProcess) -> None:
    """Its machine is lost, as its launcher has found out."""
    process.host, process.loss = "node2", "was lost with node2: the connection to it was lost"
    process.exit(-signal.SIGKILL)
    run_until_idle()


def test_an_item_whose_machine_is_lost_is_started_again(
    make: Callable[[Broker], Any], clock: FakeClock, launcher: FakeLauncher
) -> None:
    pool = make(Pool(KINDS))
    uid = pool.add("again")["uid"]
    lose(launcher.processes[0])
    (ended,) = pool.gone()
    assert (ended["state"], ended["host"]) == ("lost", "node2")
    assert ended["reason"] == "was lost with node2: the connection to it was lost"
    clock.advance(LONG)
    (shown,) = pool.show_roster()
    assert (shown["uid"], shown["state"]) == (uid, "playing")
    assert launcher.processes[1].is_playing


def test_an_item_whose_machine_is_lost_is_held_where_its_type_says_so(
    make: Callable[[Broker], Any], clock: FakeClock, launcher: FakeLauncher
) -> None:
    pool = make(Pool(KINDS))
    pool.add("hold")
    lose(launcher.processes[0])
    clock.advance(LONG)
    (shown,) = pool.show_roster()
    assert shown["state"] == "held"
    assert shown["held"].startswith("was lost with node2")
    assert len(launcher.processes) == 1


def test_an_item_whose_machine_is_lost_is_lost_where_its_type_says_so(
    make: Callable[[Broker], Any], clock: FakeClock, launcher: FakeLauncher
) -> None:
    pool = make(Pool(KINDS))
    pool.add("drop")
    lose(launcher.processes[0])
    clock.advance(LONG)
    assert pool.show_roster() == []
    assert [ended["state"] for ended in pool.gone()] == ["lost"]


def test_an_item_that_does_not_answer_while_its_machine_is_away_is_lost_with_it(
    make: Callable[[Broker], Any], clock: FakeClock, launcher: FakeLauncher
) -> None:
    queue = make(Queue(KINDS))
    first, second = queue.add("again")["uid"], queue.add("again")["uid"]
    process = launcher.processes[0]
    process.is_obedient, process.leaves_unread = False, True
    process.loss = "cannot be reached on node2"
    moving = gevent.spawn(queue.mv, [second])
    clock.advance(Again.command_timeout + 1)
    states = {each["uid"]: each["state"] for each in queue.show_roster()}
    assert states[first] == "starting"
    assert launcher.living == launcher.processes[:2]  # it waits for the end of the other one
    clock.advance(LONG)
    assert moving.ready()
    assert [ended["state"] for ended in queue.gone()] == ["lost"]
    assert "did not answer `suspend`" in queue.gone()[0]["reason"]
    assert len(launcher.living) == 2


def test_what_an_earlier_life_has_started_ends_before_it_is_started_again(
    clock: FakeClock,
) -> None:
    engine = Here()
    engine.is_full = True
    launcher = ClusterLauncher("here", engine, Cluster(lease=30.0, start_timeout=1.0))
    launcher.prepare()
    launcher.open("test", lambda: None)
    try:
        fresh = gevent.spawn(launcher.launch, LaunchSpec(["true"], "new"), NoEndpoint())
        spec = LaunchSpec(["true"], "old", may_run_already=True)
        again = gevent.spawn(launcher.launch, spec, NoEndpoint())
        run_until_idle()
        assert [job.job.label for job in engine.jobs] == ["new"]
        clock.advance(30.0)
        assert [job.job.label for job in engine.jobs] == ["new"]
        clock.advance(6.0)
        assert [job.job.label for job in engine.jobs] == ["new", "old"]
        clock.advance(1.0)
        assert isinstance(fresh.exception, ModuleError)
        assert isinstance(again.exception, ModuleError)
    finally:
        launcher.close()
