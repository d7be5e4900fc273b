"""Limits by cgroups: which are ours to use, what is written to them, and that none stays behind.

Over a fake tree in a folder. The tests at the end use real cgroups, where a test may make any.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from cgroup_tree import CONTROLLERS, FakeCgroup, FakeCgroup1, system_of
from gevent import subprocess
from gevent.event import AsyncResult
from support import PATIENCE

from shmooze.processes.cgroup import Cgroup
from shmooze.processes.cgroups import NOT_OURS, find_limiter, this_system
from shmooze.processes.contract import LaunchSpec, NoEndpoint
from shmooze.processes.limiter import Limiter
from shmooze.processes.limits import MIB, Limits
from shmooze.processes.local import LocalLauncher
from shmooze.processes.spawn_request import Entry

#: Starts processes until it cannot, and prints how many it could.
FORKS = """
import subprocess
started = []
try:
    while True:
        started.append(subprocess.Popen(["sleep", "100"]))
except OSError:
    print(len(started), "more")
for each in started:
    each.kill()
    each.wait()
"""
ALL = Limits(memory_mb=512, cpu=1.5, pids=64, nice=5)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Version 2: /app.service is a service of systemd, with processes of its own."""
    root = tmp_path / "cgroup"
    app = root / "app.service"
    for folder in (root, app):
        FakeCgroup(str(folder)).make()
    (app / "cgroup.procs").write_text("812 813")
    return root


def limiter_of(tree: Path, chosen: str | None = None, **system: object) -> Limiter:
    limiter, problem = find_limiter(chosen, "beef", system_of(tree, 2, **system), FakeCgroup)
    assert problem is None
    return limiter


def folders(base: Path) -> list[str]:
    return sorted(each.name for each in base.iterdir() if each.is_dir())


# Which are ours.


def test_a_cgroup_that_systemd_has_delegated_is_used(tree: Path) -> None:
    limiter = limiter_of(tree, own="/app.service", noted="/app.service")
    assert limiter.available == {
        "memory_mb": "cgroup v2",
        "cpu": "cgroup v2",
        "pids": "cgroup v2",
        "nice": "niceness",
    }


def test_what_runs_in_a_delegated_cgroup_moves_into_one_below(tree: Path) -> None:
    limiter_of(tree, own="/app.service", noted="/app.service")
    app = tree / "app.service"
    assert (app / "cgroup.procs").read_text() == ""
    assert (app / "shmooze.main" / "cgroup.procs").read_text() == "812 813"
    assert (app / "cgroup.subtree_control").read_text() == "memory cpu pids"


def test_a_service_that_was_moved_finds_the_delegated_cgroup_above_it(tree: Path) -> None:
    limiter_of(tree, own="/app.service", noted="/app.service")
    limiter = limiter_of(tree, own="/app.service/shmooze.main", noted="/app.service")
    confinement = limiter.confine(Limits(pids=1))
    assert folders(tree / "app.service") == ["shmooze-beef-2", "shmooze.main"]
    confinement.close()


def test_a_cgroup_is_not_used_only_since_it_can_be_written(tree: Path) -> None:
    """Root may write to all of them."""
    before = sorted(tree.rglob("*"))
    limiter, problem = find_limiter(
        None, "beef", system_of(tree, 2, own="/app.service"), FakeCgroup
    )
    assert problem == NOT_OURS
    assert limiter.available["memory_mb"] == "watching"
    assert limiter.available["cpu"] is None
    assert sorted(tree.rglob("*")) == before


def test_the_cgroups_of_a_container_of_its_own_are_used(tree: Path) -> None:
    assert limiter_of(tree, has_namespace=True).available["cpu"] == "cgroup v2"


def test_a_cgroup_that_the_settings_name_is_used(tree: Path) -> None:
    FakeCgroup(str(tree / "mine")).make()
    limiter = limiter_of(tree, "/mine", own="/app.service")
    limiter.confine(ALL)
    assert folders(tree / "mine") == ["shmooze-beef-2"]


def test_a_cgroup_that_the_settings_name_must_exist(tree: Path) -> None:
    _, problem = find_limiter("/gone", "beef", system_of(tree, 2), FakeCgroup)
    assert problem == "there is no cgroup /gone"


@pytest.mark.parametrize("bad", [OSError(errno.EACCES, "Permission denied", "x/cgroup.procs")])
def test_cgroups_are_not_used_if_no_process_can_enter_one(tree: Path, bad: OSError) -> None:
    def enter(entry: Entry) -> None:
        raise bad

    system = system_of(tree, 2, own="/app.service", noted="/app.service", enter=enter)
    limiter, problem = find_limiter(None, "beef", system, FakeCgroup)
    assert problem == f"{tree}/app.service: x/cgroup.procs: Permission denied"
    assert limiter.available["memory_mb"] == "watching"
    assert folders(tree / "app.service") == ["shmooze.main"]


def test_limits_whose_controller_is_not_delegated_are_watched(tree: Path) -> None:
    (tree / "app.service" / "cgroup.controllers").write_text("pids")
    limiter = limiter_of(tree, own="/app.service", noted="/app.service")
    assert limiter.available == {
        "memory_mb": "watching",
        "cpu": None,
        "pids": "cgroup v2",
        "nice": "niceness",
    }
    confinement = limiter.confine(ALL)
    assert len(confinement.entry.cgroups) == 1
    assert confinement.entry.nice == 5
    assert confinement.entry.max_data == 1024 * MIB
    confinement.close()


# Version 2.


def test_limits_are_written_before_a_process_enters(tree: Path) -> None:
    limiter = limiter_of(tree, own="/app.service", noted="/app.service")
    confinement = limiter.confine(ALL)
    [procs] = confinement.entry.cgroups
    folder = Path(procs).parent
    assert procs.endswith("/shmooze-beef-2/cgroup.procs")
    written = ["memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max"]
    assert [(folder / name).read_text() for name in written] == [
        str(512 * MIB),
        "0",
        "1",
        "150000 100000",
        "64",
    ]


def test_an_end_by_the_kernel_has_a_reason_with_what_was_used(tree: Path) -> None:
    confinement = limiter_of(tree, own="/app.service", noted="/app.service").confine(ALL)
    folder = Path(confinement.entry.cgroups[0]).parent
    assert confinement.breach() is None
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 3\n")
    (folder / "memory.peak").write_text(str(512 * MIB))
    confinement.close()
    assert confinement.breach() == "ran out of memory: 512 of 512 MB"
    assert not folder.exists()


def test_all_processes_of_a_cgroup_are_killed_at_once(tree: Path) -> None:
    confinement = limiter_of(tree, own="/app.service", noted="/app.service").confine(ALL)
    confinement.kill()
    assert Path(confinement.entry.cgroups[0]).with_name("cgroup.kill").read_text() == "1"


def test_what_an_earlier_life_has_left_is_swept(tree: Path) -> None:
    app = tree / "app.service"
    for name in ("shmooze-beef-7", "shmooze-cafe-1"):
        FakeCgroup(str(app / name)).make()
    limiter_of(tree, own="/app.service", noted="/app.service").sweep()
    assert folders(app) == ["shmooze-cafe-1", "shmooze.main"], "others are not ours"


def test_a_cgroup_that_stays_busy_is_told_of(
    tree: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    confinement = limiter_of(tree, own="/app.service", noted="/app.service").confine(ALL)
    folder = str(Path(confinement.entry.cgroups[0]).parent)
    monkeypatch.setattr(FakeCgroup, "busy", {folder})
    with caplog.at_level(logging.WARNING):
        confinement.close()
    assert "cannot be removed; the next start of the service does" in caplog.text


def test_a_cgroup_that_cannot_be_limited_is_removed(tree: Path) -> None:
    limiter = limiter_of(tree, own="/app.service", noted="/app.service")

    class Failing(FakeCgroup):
        def write(self, name: str, text: str) -> None:
            raise OSError(errno.EINVAL, "Invalid argument", name)

    limiter._means[0]._base.__class__ = Failing  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="Invalid argument"):
        limiter.confine(ALL)
    assert folders(tree / "app.service") == ["shmooze.main"]


# Version 1.


@pytest.fixture
def old_tree(tmp_path: Path) -> Path:
    for name in CONTROLLERS:
        FakeCgroup1(str(tmp_path / name / "mine")).make()
    return tmp_path


def test_each_controller_of_version_1_has_a_cgroup(old_tree: Path) -> None:
    limiter, _ = find_limiter("/mine", "beef", system_of(old_tree, 1), FakeCgroup1)
    assert limiter.available["memory_mb"] == "cgroup v1"
    confinement = limiter.confine(ALL)
    assert len(confinement.entry.cgroups) == 3

    def written(controller: str, name: str) -> str:
        return (old_tree / controller / "mine" / "shmooze-beef-2" / name).read_text()

    assert written("memory", "memory.limit_in_bytes") == str(512 * MIB)
    assert written("cpu", "cpu.cfs_quota_us") == "150000"
    assert written("pids", "pids.max") == "64"
    confinement.close()
    assert [folders(old_tree / name / "mine") for name in CONTROLLERS] == [[], [], []]


def test_only_controllers_that_are_needed_have_one(old_tree: Path) -> None:
    limiter, _ = find_limiter("/mine", "beef", system_of(old_tree, 1), FakeCgroup1)
    assert len(limiter.confine(Limits(pids=5)).entry.cgroups) == 1


def test_a_process_that_the_kernel_kills_ends_the_module(
    old_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shmooze.processes.rounds.Rounds.interval", 0.001)
    limiter, _ = find_limiter("/mine", "beef", system_of(old_tree, 1), FakeCgroup1)
    confinement = limiter.confine(Limits(memory_mb=512))
    reason: AsyncResult[str] = AsyncResult()
    confinement.begin(list, reason.set)
    folder = Path(confinement.entry.cgroups[0]).parent
    (folder / "memory.oom_control").write_text("under_oom 0\noom_kill 1\n")
    assert reason.get(timeout=PATIENCE) == "ran out of memory: 512 of 512 MB"
    confinement.close()


# Real ones.


@pytest.fixture
def real(request: pytest.FixtureRequest) -> Iterator[str]:
    """A cgroup of this test's own, of version 1, for processors and processes."""
    name = f"/shmooze-test-{os.getpid()}"
    made = [f"/sys/fs/cgroup/{controller}{name}" for controller in ("cpu", "pids")]
    try:
        for folder in made:
            if not os.path.exists(f"{os.path.dirname(folder)}/cgroup.procs"):
                pytest.skip("no cgroups of version 1 are mounted here")
            os.mkdir(folder)
    except OSError as bad:
        pytest.skip(f"cgroups cannot be made here: {bad.strerror}")
    yield name
    for folder in made:
        os.rmdir(folder)


def test_a_real_cgroup_limits_processes_and_is_removed(real: str) -> None:
    launcher = LocalLauncher()
    launcher.prepare()
    launcher._limiter, problem = find_limiter(real, "beef", this_system())
    assert problem is None
    assert launcher.limits_available["pids"] == launcher.limits_available["cpu"] == "cgroup v1"
    limits = Limits(pids=3, cpu=1)
    spec = LaunchSpec([sys.executable, "-S", "-c", FORKS], "test", limits=limits)
    process = launcher.launch(spec, NoEndpoint())
    assert process.wait(PATIENCE) == 0
    assert folders(Path(f"/sys/fs/cgroup/pids{real}")) == ["shmooze-beef-2"]
    process.end(None)
    process.close(PATIENCE)
    assert process.output == ["2 more"]
    assert folders(Path(f"/sys/fs/cgroup/pids{real}")) == []


def test_a_real_cgroup_of_an_earlier_life_is_swept_with_its_processes(real: str) -> None:
    left = Cgroup(f"/sys/fs/cgroup/pids{real}/shmooze-beef-9")
    left.make()
    Cgroup(f"{left.path}/inner").make()
    sleeper = subprocess.Popen(["sleep", "100"])
    left.write("cgroup.procs", str(sleeper.pid))
    waiting = gevent.spawn(sleeper.wait)
    limiter, _ = find_limiter(real, "beef", this_system())
    limiter.sweep()
    assert waiting.get(timeout=PATIENCE) == -signal.SIGKILL
    assert folders(Path(f"/sys/fs/cgroup/pids{real}")) == []
