"""Limits of module types: what the settings may say, watching, and the reason of an end."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from fakes import Fake, FakeClock, FakeLauncher, FakeProcess, open_with, run_until_idle
from gevent.event import AsyncResult, Event
from support import PATIENCE, Client, Site, child, is_alive, wait_until

from shmooze.broker.catalog import by_type
from shmooze.broker.launchers import Launchers
from shmooze.errors import SettingsError
from shmooze.pool import Pool
from shmooze.processes import watching
from shmooze.processes.contract import LaunchSpec, NoEndpoint
from shmooze.processes.limiter import Confinement, Limiter
from shmooze.processes.limits import MIB, Limits
from shmooze.processes.local import LocalLauncher
from shmooze.processes.rounds import Rounds
from shmooze.processes.watching import Nice, Watching

#: Starts a daemon in a session of its own, which then takes more and more memory.
HOG = """
import os, time
if os.fork():
    time.sleep(100)
os.setsid()
print(os.getpid(), flush=True)
kept = []
while True:
    kept.append(b"x" * (4 << 20))
    time.sleep(0.005)
"""


# What can be said.


class Limited(Fake):
    TYPE_STRING = "limited"
    limits = {"memory_mb": 512, "nice": 5}


def test_a_class_says_its_limits_as_the_settings_do() -> None:
    kind = by_type([type("Mine", (Limited,), {})])["limited"]
    assert kind.limits == Limits(memory_mb=512, nice=5)


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"memory": 5}, "`limits.memory` is unknown; did you mean `memory_mb`?"),
        ({"memory_mb": 0}, "`limits.memory_mb` must be a number above 0"),
        ({"cpu": "half"}, "`limits.cpu` must be a number above 0"),
        ({"pids": 1.5}, "`limits.pids` must be a whole number above 0"),
        ({"nice": -1}, "`limits.nice` must be a whole number from 0 to 19"),
    ],
)
def test_a_mistake_in_limits_is_named(limits: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        by_type([type("Mine", (Limited,), {"limits": limits})])
    assert problem in str(caught.value)


def test_a_class_may_call_something_else_limits() -> None:
    kind = type("Mine", (Limited,), {"limits": lambda self: 5})
    assert by_type([kind])["limited"] is kind


def test_it_is_told_which_limits_nothing_can_enforce() -> None:
    kinds = by_type([type("Mine", (Limited,), {"limits": {"cpu": 1, "nice": 1}})]).values()
    launchers = Launchers(kinds)
    [launcher] = launchers._by_name.values()
    assert isinstance(launcher, LocalLauncher)
    launcher._limiter = Limiter([Watching(Rounds()), Nice()])
    assert launchers.limits_available(kinds) == {"limited": {"cpu": None, "nice": "niceness"}}
    assert "limits of limited: nothing here can enforce `cpu`" in [*launchers.warnings()]


def test_a_service_that_is_asked_before_it_is_open_says_what_enforces_limits_once_it_is(
    launcher: FakeLauncher,
) -> None:
    pool = Pool([Limited])
    asked = gevent.spawn(pool.describe)
    run_until_idle()
    assert not asked.ready()
    open_with(pool, launcher)
    assert "limited" in asked.get(timeout=PATIENCE)["limits_available"]


# How a module ends.


Start = Callable[..., tuple[Pool, FakeProcess]]


@pytest.fixture
def start(clock: FakeClock, launcher: FakeLauncher) -> Start:
    """Starts a pool in memory with one module, whose type has these keys."""

    def start(**keys: Any) -> tuple[Pool, FakeProcess]:
        pool = Pool([type("Mine", (Limited,), keys)])
        open_with(pool, launcher)
        pool.add("limited", {})
        run_until_idle()
        return pool, launcher.processes[-1]

    return start


def test_a_process_is_launched_with_the_limits_of_its_type(start: Start) -> None:
    _, process = start()
    assert process.spec.limits == Limits(memory_mb=512, nice=5)


def test_a_module_that_uses_too_much_is_killed_at_once_with_the_reason(start: Start) -> None:
    pool, process = start()
    process.leaves_unread = True  # it would not end if it was told to
    process.exceed("ran out of memory: 530 of 512 MB")
    run_until_idle()
    [end] = pool.gone()
    assert end["reason"] == "ran out of memory: 530 of 512 MB"
    assert (end["state"], end["ladder"], end["signal"]) == ("failed", "SIGKILL", "SIGKILL")
    assert "rm" not in process.heard


def test_an_end_by_the_kernel_is_explained_by_the_limits(start: Start, clock: FakeClock) -> None:
    pool, process = start()
    process.has_exceeded = "ran out of memory: 512 of 512 MB"
    process.exit(-signal.SIGKILL)
    run_until_idle()
    [end] = pool.gone()
    assert end["reason"] == "ran out of memory: 512 of 512 MB"
    assert (end["state"], end["signal"]) == ("failed", "SIGKILL")
    clock.advance(2)  # in which the service could be stopped, too


def test_an_item_that_used_too_much_is_started_again_if_its_type_wants_that(
    start: Start, clock: FakeClock, launcher: FakeLauncher
) -> None:
    pool, process = start(restart="on-failure")
    process.exceed("ran out of memory: 530 of 512 MB")
    run_until_idle()
    clock.advance(2)
    [module] = pool.roster.order
    assert module.state.value == "playing"
    assert launcher.living == [launcher.processes[1]]


# Watching.


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> LocalLauncher:
    """A launcher for real processes, which are watched."""
    monkeypatch.setattr(Rounds, "interval", 0.02)
    local = LocalLauncher()
    local.prepare()
    local.open("limits", lambda: None)
    local._limiter = Limiter([Watching(Rounds()), Nice()])
    return local


def test_memory_of_a_daemon_counts_for_the_module_that_has_started_it(
    local: LocalLauncher,
) -> None:
    spec = LaunchSpec([sys.executable, "-S", "-c", HOG], "hog", limits=Limits(memory_mb=64))
    process = local.launch(spec, NoEndpoint())
    reason: AsyncResult[str] = AsyncResult()
    process.when_over_limits(reason.set)
    used, limit = map(int, reason.get(timeout=PATIENCE).split()[4:7:2])
    assert used > limit == 64
    [daemon] = map(int, process.output)
    process.end(None)
    process.close(0)
    assert not is_alive(daemon)


def test_a_program_has_its_niceness_and_its_limit_from_the_start(local: LocalLauncher) -> None:
    code = "import os, resource; print(os.nice(0), resource.getrlimit(resource.RLIMIT_DATA)[0])"
    limits = Limits(memory_mb=600, nice=3)
    spec = LaunchSpec([sys.executable, "-S", "-c", code], "nice", limits=limits)
    process = local.launch(spec, NoEndpoint())
    process.wait(PATIENCE)
    process.end(None)
    process.close(PATIENCE)
    assert process.output == [f"{os.nice(0) + 3} {1200 * MIB}"]
    assert process.exceeded() is None


def watch(limits: Limits, pids: list[int]) -> tuple[Confinement, AsyncResult[str]]:
    confinement = Limiter([Watching(Rounds())]).confine(limits)
    reason: AsyncResult[str] = AsyncResult()
    confinement.begin(lambda: pids, reason.set)
    return confinement, reason


def test_too_many_processes_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rounds, "interval", 0.001)
    confinement, reason = watch(Limits(pids=2), [1, 2, 3])
    assert reason.get(timeout=PATIENCE) == "had too many processes: 3 of 2"
    assert confinement.breach() == "had too many processes: 3 of 2"
    confinement.close()


def test_memory_that_processes_share_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the two has 40 MiB, of which 30 are the same."""
    looked = Event()

    def share_of(pid: int) -> int:
        looked.set()
        return 25 * MIB

    monkeypatch.setattr(Rounds, "interval", 0.001)
    monkeypatch.setattr(watching, "resident", lambda pid: 40 * MIB)
    monkeypatch.setattr(watching, "proportional", share_of)
    confinement, reason = watch(Limits(memory_mb=60), [1, 2])
    assert looked.wait(PATIENCE)
    assert not reason.ready()
    confinement.close()


def test_rounds_come_less_often_if_they_take_long() -> None:
    rounds = Rounds()
    pauses = [rounds.pause_after(spent) for spent in (0.001, 0.05, 10.0)]
    assert pauses == [Rounds.interval, pytest.approx(2.5), Rounds.longest]


def test_a_check_that_fails_keeps_no_other_from_being_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Rounds, "interval", 0.001)
    rounds, is_made = Rounds(), Event()
    rounds.add("failing", lambda: 1 / 0 > 0)
    rounds.add("other", lambda: bool(is_made.set()))
    assert is_made.wait(PATIENCE)
    assert "a check of limits failed" in caplog.text
    rounds.remove("failing")
    assert rounds._greenlet is None


def test_processes_without_limits_are_not_watched() -> None:
    rounds = Rounds()
    confinement = Limiter([Watching(rounds), Nice()]).confine(Limits(nice=1))
    confinement.begin(list, lambda reason: None)
    assert rounds._greenlet is None


def test_a_memory_hog_ends_alone_with_its_reason(make_site: Callable[..., Site]) -> None:
    types = {
        "hog": {"process": child("hog"), "limits": {"memory_mb": 100}},
        "well": {"process": child("well")},
    }
    site = make_site(services=("pool",), settings={"pool": {"modules": types}}).start()
    client = Client(site, "pool")
    neighbour, hog = client.add(name="neighbour"), client.add("hog")
    [end] = wait_until(lambda: client("gone"), "the end of the hog")
    assert end["uid"] == hog
    assert re.fullmatch(r"ran out of memory: \d+ of 100 MB", end["reason"])
    assert (end["state"], end["signal"]) == ("failed", "SIGKILL")
    assert client.uids() == [neighbour]
    means = client("describe")["limits_available"]["hog"]["memory_mb"]
    assert means in ("watching", "cgroup v1", "cgroup v2")
    site.stop()
    assert site.survivors() == []
