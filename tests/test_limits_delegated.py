"""Limits by a real cgroup of version 2, delegated to a pool as systemd delegates it.

Skipped where a test may make none: where version 1 is mounted, or without root.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support import Client, Refusal, Site, child, is_alive, wait_until

#: Where version 2 is mounted, if it is the only one.
MOUNT = Path("/sys/fs/cgroup")
#: What systemd notes on a cgroup that it has delegated.
NOTE = "user.delegate"
#: Starts processes until it cannot, and prints how many it could.
FORKS = """
import os
count = 0
try:
    while count < 100:
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "1000"])
        count += 1
except OSError:
    pass
print("started=%d" % count, flush=True)
os.execvp("sleep", ["sleep", "1000"])
"""
#: Starts a daemon in a session of its own, which takes more and more memory.
HOG = """
import os, time
if os.fork():
    time.sleep(1000)
os.setsid()
print("daemon=%d" % os.getpid(), flush=True)
kept = []
while True:
    kept.append(b"x" * (4 << 20))
    time.sleep(0.005)
"""


def typed(code: str, parameter: str, **limits: float) -> dict[str, object]:
    """A type with limits, whose program prints PARAMETER=NUMBER."""
    return {
        "process": [sys.executable, "-S", "-c", code],
        "adapter": "command",
        "parameters": {parameter: rf"{parameter}=(\d+)"},
        "limits": limits,
    }


TYPES = {
    "hog": typed(HOG, "daemon", memory_mb=100),
    "forks": typed(FORKS, "started", pids=5),
    "half": {"process": child("well"), "limits": {"cpu": 0.5, "memory_mb": 200}},
    "well": {"process": child("well")},
}


@pytest.fixture
def delegated() -> Iterator[Path]:
    """A cgroup with the controllers for all limits."""
    folder = MOUNT / f"shmooze-test-{os.getpid()}"
    if not (MOUNT / "cgroup.controllers").exists():
        pytest.skip("version 2 is not the only one that is mounted here")
    try:
        folder.mkdir()
        os.setxattr(folder, NOTE, b"1")
    except OSError as bad:
        pytest.skip(f"no cgroup of version 2 can be made here: {bad.strerror}")
    try:
        offered = (folder / "cgroup.controllers").read_text().split()
        if not {"cpu", "memory", "pids"} <= {*offered}:
            pytest.skip("cgroups of version 2 have no controllers here")
        yield folder
    finally:
        for each in [*folder.glob("*/"), folder]:
            with suppress(OSError):
                each.rmdir()


@pytest.fixture
def pool(delegated: Path, make_site: Callable[..., Site]) -> Client:
    """A pool that is started in it; or where its first life has gone, as by a supervisor that has
    gone there with it.
    """
    inner = delegated / "shmooze.main"
    enter = f"[ -d {inner} ] && cd {inner} || cd {delegated}; echo $$ > cgroup.procs; cd /"
    program = ["sh", "-c", f'{enter}; exec "$@"', "sh", sys.executable, "-m", "shmooze.pool"]
    settings = {"pool": {"modules": TYPES}}
    site = make_site(services=("pool",), settings=settings, programs={"pool": program})
    return Client(site.start(), "pool")


def cgroups_of_modules(delegated: Path) -> list[Path]:
    return list(delegated.glob("shmooze-*/"))


def test_all_limits_are_the_kernels(pool: Client, delegated: Path) -> None:
    available = pool("describe")["limits_available"]
    assert available["half"] == {"cpu": "cgroup v2", "memory_mb": "cgroup v2"}
    assert available["forks"] == {"pids": "cgroup v2"}
    pool.add("half")
    [cgroup] = cgroups_of_modules(delegated)
    assert (cgroup / "cpu.max").read_text() == "50000 100000\n"
    assert int((cgroup / "memory.max").read_text()) == 200 << 20


def test_a_module_that_takes_too_much_memory_ends_whole_and_alone(
    pool: Client, delegated: Path
) -> None:
    neighbour, hog = pool.add("well", name="neighbour"), pool.add("hog")
    [end] = wait_until(lambda: pool("gone"), "the end of the hog")
    assert (end["uid"], end["state"], end["signal"]) == (hog, "failed", "SIGKILL")
    assert end["reason"] == "ran out of memory: 100 of 100 MB"
    assert pool.uids() == [neighbour]
    assert cgroups_of_modules(delegated) == []


def test_a_module_gets_no_more_processes_than_it_may_have(pool: Client, delegated: Path) -> None:
    uid = pool.add("forks")
    started = wait_until(lambda: pool.parameters(uid).get("started"), "it has started all")
    assert int(started) == 4
    [cgroup] = cgroups_of_modules(delegated)
    pids = [int(line) for line in (cgroup / "cgroup.procs").read_text().splitlines()]
    assert len(pids) == 5
    pool("rm", uids=[uid])
    wait_until(lambda: not any(map(is_alive, pids)), "all have ended")
    wait_until(lambda: not cgroups_of_modules(delegated), "its cgroup is removed")


def test_the_next_life_removes_what_a_killed_one_has_left(pool: Client, delegated: Path) -> None:
    pool.add("half")
    site = pool.site
    os.kill(pool.service, signal.SIGKILL)
    site.processes.pop("pool").wait()
    again = Client(site.start("pool"), "pool")
    assert again.uids() == []
    wait_until(lambda: not cgroups_of_modules(delegated), "nothing is left")
    with pytest.raises(Refusal):
        again.add("no such type")
