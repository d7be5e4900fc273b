"""Processes that have grown old or large are replaced, and their items go on."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import Fake, FakeClock, FakeLauncher, FakeProcess, open_with, run_until_idle

from shmooze.broker.catalog import by_type
from shmooze.errors import SettingsError
from shmooze.jobs.replacement import Replacement
from shmooze.modules.module import Module
from shmooze.pool import Pool
from shmooze.processes.contract import Usage
from shmooze.processes.limits import MIB
from shmooze.queue import Queue


class Player(Fake):
    TYPE_STRING = "player"
    max_age = 100.0


class Large(Fake):
    TYPE_STRING = "large"
    max_memory_mb = 50


class Ready(Player):
    TYPE_STRING = "ready"
    standby = 1


class Service:
    """A queue or pool in memory, and its processes."""

    def __init__(self, broker: Queue | Pool, launcher: FakeLauncher, clock: FakeClock) -> None:
        self.broker, self.launcher, self.clock = broker, launcher, clock
        open_with(broker, launcher)
        run_until_idle()

    def add(self, kind: str = "player", **args: Any) -> str:
        uid: str = self.broker.add(kind, args)["uid"]
        run_until_idle()
        return uid

    def module(self, uid: str) -> Module:
        module = self.broker.roster.find(uid)
        assert module is not None
        return module

    def process_of(self, uid: str) -> FakeProcess:
        process = self.module(uid)._process
        assert isinstance(process, FakeProcess)
        return process

    def look(self, seconds: float = Replacement.interval) -> None:
        self.clock.advance(seconds)
        run_until_idle()


@pytest.fixture
def pool(clock: FakeClock, launcher: FakeLauncher) -> Service:
    return Service(Pool([Player, Large, Ready]), launcher, clock)


@pytest.fixture
def queue(clock: FakeClock, launcher: FakeLauncher) -> Service:
    return Service(Queue([Player], []), launcher, clock)


def test_an_item_goes_on_with_a_fresh_process_when_its_own_is_old(pool: Service) -> None:
    uid = pool.add(song=1)
    old = pool.process_of(uid)
    old.update("save", state={"at": 17})
    pool.look(90)
    assert pool.process_of(uid) is old
    pool.look(15)
    pool.look(Fake.natural_death_timeout + Fake.sigterm_timeout)
    fresh = pool.process_of(uid)
    assert fresh is not old
    assert old.heard[-1] == "rm"
    assert old.exit_status is not None
    assert fresh.heard == ["restore", "init", "play"]
    assert fresh.restored == [{"at": 17}]
    assert pool.module(uid).args == {"song": 1}
    [end] = pool.broker.gone()
    assert end["reason"] == "was replaced: it ran for 100 s"


def test_the_fresh_process_has_connected_before_the_old_one_is_told_to_end(
    pool: Service, launcher: FakeLauncher
) -> None:
    old = pool.process_of(pool.add())
    launcher.may_go_on.clear()  # launching takes its time
    pool.look(105)
    assert old.heard == ["init", "play"]
    launcher.may_go_on.set()
    run_until_idle()
    assert old.heard == ["init", "play", "rm"]


def test_the_old_process_stays_if_no_fresh_one_comes_up(
    pool: Service, launcher: FakeLauncher, caplog: pytest.LogCaptureFixture
) -> None:
    uid = pool.add()
    old = pool.process_of(uid)
    launcher.fault = "no memory left"
    pool.look(105)
    pool.look(Fake.natural_death_timeout)
    assert pool.process_of(uid) is old
    assert old.is_playing
    assert "goes on, though it ran for 100 s: " in caplog.text
    assert "no memory left" in caplog.text
    launcher.fault = ""
    pool.look(Replacement.backoff.longest)
    pool.look(10)
    assert pool.process_of(uid) is not old


def test_a_process_that_has_grown_is_replaced(
    pool: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = pool.add("large")
    old = pool.process_of(uid)
    monkeypatch.setattr(FakeProcess, "usage", lambda self: Usage(0, 51 * MIB * (self is old), 1))
    pool.look()
    pool.look()
    assert pool.process_of(uid) is not old
    [end] = pool.broker.gone()
    assert end["reason"] == "was replaced: it used 51 MB, and `max_memory_mb` is 50"


def test_a_process_on_standby_is_the_fresh_one(pool: Service, launcher: FakeLauncher) -> None:
    pool.look(1)
    uid = pool.add("ready")
    pool.look(1)
    waiting = launcher.processes[-1]
    assert waiting is not pool.process_of(uid)
    pool.look(105)
    pool.look(Fake.natural_death_timeout)
    assert pool.process_of(uid) is waiting


def test_a_fresh_process_that_dies_costs_the_item_nothing(
    pool: Service, launcher: FakeLauncher
) -> None:
    uid = pool.add()
    old = pool.process_of(uid)
    old.leaves_unread = True  # it takes its time to end
    pool.look(101)
    assert old.exit_status is None
    launcher.processes[-1].exit(1)
    run_until_idle()
    pool.look(Fake.natural_death_timeout + Fake.sigterm_timeout)
    pool.look(1)
    assert pool.process_of(uid) is launcher.processes[-1]
    assert pool.process_of(uid).is_playing


def test_nothing_is_left_of_the_fresh_process_if_the_item_is_removed(
    pool: Service, launcher: FakeLauncher
) -> None:
    uid = pool.add()
    pool.process_of(uid).leaves_unread = True
    pool.look(101)
    assert len([each for each in launcher.living if each.label.startswith("player")]) == 2
    pool.broker.items.remove([uid])
    for _ in range(4):
        pool.look(Fake.natural_death_timeout)
    assert pool.broker.roster.find(uid) is None
    assert {each.label.split()[0] for each in launcher.living} == {"ready"}


def test_the_second_of_a_queue_does_not_play_meanwhile(queue: Service) -> None:
    first, second = queue.add(), queue.add()
    queue.look(60)
    queue.look(45)
    for _ in range(3):
        queue.look(2)
    assert queue.process_of(first).is_playing
    assert queue.process_of(first).heard == ["init", "play"]
    assert "play" not in queue.process_of(second).heard


def test_a_result_that_it_gives_as_it_is_told_to_end_ends_the_item(
    pool: Service, launcher: FakeLauncher
) -> None:
    uid = pool.add()
    old = pool.process_of(uid)
    old.leaves_unread = True
    pool.look(101)
    assert old.exit_status is None
    old.update("result", value=42)
    for _ in range(4):
        pool.look(Fake.natural_death_timeout)
    [end] = [each for each in pool.broker.gone() if each["uid"] == uid]
    assert (end["state"], end["result"]) == ("done", 42)
    assert pool.broker.roster.find(uid) is None
    assert {each.label.split()[0] for each in launcher.living} == {"ready"}


def test_a_command_cannot_be_begun_again() -> None:
    kind = type("Mine", (Module,), {"TYPE_STRING": "x", "process": ["ls"], "adapter": "command"})
    kind.max_age = 5
    with pytest.raises(SettingsError, match="`max_age` would begin a command again"):
        by_type([kind])
