"""No process is ever left behind: every stubborn child against every cause of an end.

Survivors are counted by what the children wrote down themselves, not by any means of shmooze.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Refusal, Site, child, is_alive, wait_until

#: Those that come to play.
PLAYING = (
    "ignores-rm",
    "ignores-sigterm",
    "stopped",
    "has-children",
    "has-daemon",
    "has-bare-daemon",
    "chain",
    "chain-of-sessions",
)

#: Those that `add` refuses, and what it says.
REFUSED = {
    "never-connects": "did not connect its command stream within 0.5 s",
    "connects-one-stream": "did not connect its update stream within 0.5 s",
    "exits-before-init": "exited with status 3 before `init`",
    "refuses-init": "refused `init`: I will not",
}

PATIENCE = {"natural_death_timeout": 0.4, "sigterm_timeout": 0.4}

#: Seconds that the ladder takes at the most, on a machine that has other things to do as well.
LADDER = sum(PATIENCE.values()) + 4.0


class Endings:
    """A pool of stubborn children, and the list of all processes that they have made."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.uids: dict[str, str] = {}

    def add_playing(self) -> None:
        for kind in PLAYING:
            self.uids[kind] = self.site.ask("pool", "add", type=kind)["uid"]

    @property
    def guardian(self) -> int:
        return self.site.processes["pool"].pid

    @property
    def service(self) -> int:
        """The guardian's one child."""
        (service,) = (pid for pid, parent in _parents().items() if parent == self.guardian)
        return service

    def survivors(self) -> list[str]:
        """Kind and pid of every recorded process that is still the same and alive."""
        living = {(pid, _started(pid)) for pid in _parents()}
        left = []
        for listed in self.site.folder.glob("pids-*"):
            for line in listed.read_text().splitlines():
                pid, started = map(int, line.split())
                if (pid, started) in living:
                    left.append(f"{listed.name.removeprefix('pids-')} {pid}")
        return left

    def assert_none_left(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while self.survivors() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.survivors() == []

    def end_service(self, *pids: int, with_signal: signal.Signals) -> int:
        process = self.site.processes.pop("pool")
        for pid in pids:
            os.kill(pid, with_signal)
        return process.wait(LADDER)


def _parents() -> dict[int, int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_alive(int(entry.name)):
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat[1])
    return parents


def _started(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


@pytest.fixture
def pool(make_site: Callable[..., Site]) -> Endings:
    kinds = {
        kind: {"process": child("stubborn", kind), "connect_timeout": 5, **PATIENCE}
        for kind in (*PLAYING, *REFUSED)
    }
    for kind in ("never-connects", "connects-one-stream"):
        kinds[kind]["connect_timeout"] = 0.5
    kinds["slow"] = {"process": child("stubborn", "never-connects"), **PATIENCE}
    return Endings(make_site(services=("pool",), settings={"pool": {"modules": kinds}}).start())


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_add_says_why_and_leaves_nothing(pool: Endings, kind: str) -> None:
    with pytest.raises(Refusal, match=REFUSED[kind].replace("(", r"\(")):
        pool.site.ask("pool", "add", type=kind)
    assert pool.survivors() == []
    assert pool.site.ask("pool", "pool") == []


def test_rm_leaves_nothing(pool: Endings) -> None:
    pool.add_playing()
    pool.site.ask("pool", "rm", uids=list(pool.uids.values()))
    pool.assert_none_left(LADDER)


@pytest.mark.parametrize("how", ["exit", "crash"])
def test_the_childs_own_end_leaves_nothing(pool: Endings, how: str) -> None:
    pool.add_playing()
    pool.site.ask("pool", "rm", uids=[pool.uids.pop("stopped")])  # it cannot hear
    for uid in pool.uids.values():
        with pytest.raises(Refusal):
            pool.site.ask("pool", "tell_module", uid=uid, cmd=how)
    pool.assert_none_left(LADDER)
    gone = wait_until(
        lambda: len(g := pool.site.ask("pool", "gone")) == len(PLAYING) and g, "all are gone"
    )
    ends = {death["uid"]: death for death in gone}
    for uid in pool.uids.values():
        reason = "ended by itself" if how == "exit" else "killed by SIGSEGV"
        assert ends[uid]["reason"] == reason
        assert ends[uid]["state_at_end"] == "playing"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_end_leaves_nothing_and_status_0(pool: Endings, number: signal.Signals) -> None:
    pool.add_playing()
    assert pool.end_service(pool.guardian, with_signal=number) == 0
    assert pool.survivors() == []


def test_two_sigterms_are_as_one(pool: Endings) -> None:
    pool.add_playing()
    guardian = pool.guardian
    assert pool.end_service(guardian, guardian, with_signal=signal.SIGTERM) == 0
    assert pool.survivors() == []


def test_sigterm_during_an_add_leaves_nothing(pool: Endings) -> None:
    refusals: list[str] = []

    def add() -> None:
        try:
            pool.site.ask("pool", "add", type="slow")
        except Refusal as refusal:
            refusals.append(str(refusal))

    adding = threading.Thread(target=add)
    adding.start()
    wait_until(lambda: pool.survivors(), "the child runs")
    assert pool.end_service(pool.guardian, with_signal=signal.SIGTERM) == 0
    assert pool.survivors() == []
    adding.join()
    assert refusals == ["slow was removed before it had started"]


def test_sigkill_of_the_service_leaves_nothing(pool: Endings) -> None:
    pool.add_playing()
    pool.end_service(pool.service, with_signal=signal.SIGKILL)
    assert pool.survivors() == []


def test_sigkill_of_the_guardian_leaves_nothing(pool: Endings) -> None:
    pool.add_playing()
    service = pool.service
    pool.end_service(pool.guardian, with_signal=signal.SIGKILL)
    pool.assert_none_left(1.0)
    wait_until(lambda: not is_alive(service), "the service has ended too")


def test_next_start_ends_what_sigkill_of_both_has_left(pool: Endings) -> None:
    pool.add_playing()
    os.kill(pool.guardian, signal.SIGSTOP)  # or it would see the service die first
    pool.end_service(pool.service, pool.guardian, with_signal=signal.SIGKILL)
    assert any("daemon" in left for left in pool.survivors()), "the test tests nothing"
    pool.site.start("pool")
    pool.assert_none_left(1.0)
    said = "that an earlier crash had left"
    wait_until(lambda: said in pool.site.log("pool"), "the log says it")


def test_no_zombie_is_kept(pool: Endings) -> None:
    pool.add_playing()
    service = pool.service
    pool.site.ask("pool", "rm", uids=list(pool.uids.values()))
    pool.assert_none_left(LADDER)

    def zombies() -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if stat[0] == "Z" and int(stat[1]) == service:
                    found.append(entry.name)
        return found

    wait_until(lambda: not zombies(), "all are reaped")


def test_rm_does_not_wait_for_a_command_that_hangs(make_site: Callable[..., Site]) -> None:
    kind = {"process": child("well"), "command_timeout": 1000, **PATIENCE}
    site = make_site(services=("pool",), settings={"pool": {"modules": {"well": kind}}}).start()
    uid = site.ask("pool", "add", type="well", args={"name": "hung"})["uid"]
    refusals: list[str] = []

    def hang() -> None:
        try:
            site.ask("pool", "tell_module", uid=uid, cmd="hang")
        except Refusal as refusal:
            refusals.append(str(refusal))

    hanging = threading.Thread(target=hang)
    hanging.start()
    heard = site.folder / "heard-hung"
    wait_until(lambda: "hang" in heard.read_text(), "it hangs")
    begin = time.monotonic()
    site.ask("pool", "rm", uids=[uid])
    assert time.monotonic() - begin < LADDER
    hanging.join(LADDER)
    assert refusals == [f"well {uid} was removed"]


@pytest.mark.skipif(os.getuid() != 0, reason="a pid namespace of one's own needs root here")
def test_pid_1_of_a_container_leaves_nothing(pool: Endings) -> None:
    """The pool is the first process of a pid namespace: nobody else would reap or end anything."""
    site = pool.site
    site.stop("pool")
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    site.programs["pool"] = [*unshare, sys.executable, "-m", "shmooze.pool"]
    site.start("pool")
    for kind in PLAYING:
        site.ask("pool", "add", type=kind)
    site.ask("pool", "rm", uids=[module["uid"] for module in site.ask("pool", "pool")])
    wait_until(lambda: len(site.ask("pool", "gone")) == len(PLAYING), "all are gone", LADDER)
    unshared = site.processes.pop("pool")
    (guardian,) = (pid for pid, parent in _parents().items() if parent == unshared.pid)
    (service,) = (pid for pid, parent in _parents().items() if parent == guardian)
    assert [pid for pid, parent in _parents().items() if parent == service] == []
    os.kill(guardian, signal.SIGTERM)
    assert unshared.wait(LADDER) == 0
    assert site.survivors() == []
