"""Starting children: vfork and fork give them the same environment."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult
from support import CHILDREN, PATIENCE, Client, Refusal, Site, parent_of, wait_until

from shmooze.processes import fork_exec, vfork_exec
from shmooze.processes.spawn_request import SpawnRequest

FILES = 200

#: The signal that bash always ignores, and two that the C library reserves: bits of
#: /proc/PID/status.
IGNORED_BY_OTHERS = sum(1 << number - 1 for number in (signal.SIGQUIT, 32, 33))

#: Bodies of the setpriv that is found in PATH, after a line that records each call.
SETPRIV = {
    "spawned": f'exec {shutil.which("setpriv")} "$@"',
    "forked": "exit 1",
    "forked after a while": "exec sleep 1000",
}

BORN = ["bash", str(CHILDREN / "born.sh"), sys.executable, str(CHILDREN / "born.py")]

BROKEN = {
    "no-interpreter": (b"#!/no/such/shell\n", "No such file or directory"),
    "other-lines": (b"#!/bin/sh\r\nexit\r\n", "No such file or directory"),
    "no-program": (b"neither a script nor a binary", "Exec format error"),
    "half-a-binary": (b"\x7fELF\2\1\1\n: > pwned\n", "Exec format error"),
}


@pytest.fixture(params=SETPRIV)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def site(way: str, make_site: Callable[..., Site], tmp_path: Path) -> Site:
    """A pool with a low limit on open files, and with every signal ignored and blocked.

    It starts its children in one of the ways of SETPRIV.
    """
    record = 'echo "$(ulimit -Sn) $@" >> "$HERE/calls"'
    files = {name: content for name, (content, _) in BROKEN.items()}
    files["setpriv"] = f"#!/bin/sh\n{record}\n{SETPRIV[way]}\n".encode()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, content in files.items():
        (programs / name).write_bytes(content)
        (programs / name).chmod(0o755)
    kinds = {"born": BORN, "endless": ["true", "x" * 200_000], **{name: [name] for name in BROKEN}}
    no_signals = "env --ignore-signal --block-signal"  # all of them
    pool = f"ulimit -Sn {FILES}; exec {no_signals} {sys.executable} -m shmooze.pool"
    return make_site(
        services=("pool",),
        settings={"pool": {"modules": {name: {"process": kinds[name]} for name in kinds}}},
        programs={"pool": ["bash", "-c", pool]},
        environ={"PATH": f"{programs}:/usr/bin:/bin"},
    ).start()


def calls(site: Site) -> list[str]:
    """Return the limit on open files and the arguments of each call of setpriv, tests included."""
    return (site.folder / "calls").read_text().splitlines()


def report_of_new_child(pool: Client) -> dict[str, Any]:
    uid = pool.add("born")
    wait_until(lambda: "session" in pool.parameters(uid), "it reports what it was started with")
    return pool.parameters(uid)


def test_a_child_starts_with_defaults_and_its_mark(site: Site, way: str) -> None:
    pool = Client(site, "pool")
    one, other = report_of_new_child(pool), report_of_new_child(pool)
    for born in (one, other):
        assert born["session"] == born["pid"]
        assert (born["ignored"] & ~IGNORED_BY_OTHERS, born["blocked"]) == (0, 0)
        assert born["input"] == "/dev/null"
        assert born["unbuffered"] == "1"
        assert born["files"][0] == FILES
        assert born["at_parents_death"] == signal.SIGKILL
        assert born["realtime"][1] == resource.RLIM_INFINITY
    assert one["realtime"][0] + 1 == other["realtime"][0] > 1 << 62
    service = parent_of(one["pid"])
    assert resource.prlimit(service, resource.RLIMIT_RTTIME) == 2 * (resource.RLIM_INFINITY,)
    assert resource.prlimit(service, resource.RLIMIT_NOFILE)[0] > FILES
    limits, programs = zip(*(line.split(" ", 1) for line in calls(site)), strict=True)
    assert set(limits) == {str(FILES)}
    assert sum(BORN[-1] in each for each in programs) == (2 if way == "spawned" else 0)
    assert ("started by fork" in site.log("pool")) == (way != "spawned")
    pool.clear()
    assert len(site.survivors()) == 2  # the service and its guardian, and no setpriv


def test_the_reason_of_a_failed_exec_is_reported(site: Site) -> None:
    pool = Client(site, "pool")
    faults = {f"{name} cannot be started: {name}: {words}" for name, (_, words) in BROKEN.items()}
    faults.add("endless cannot be started: true: Argument list too long")
    heard = set()
    for kind in (*BROKEN, "endless"):
        with pytest.raises(Refusal) as refused:
            pool.add(kind)
        heard.add(str(refused.value))
    assert heard == faults


@pytest.mark.parametrize("start", [fork_exec.start, vfork_exec.start])
def test_no_other_greenlet_runs_before_a_child_has_an_owner(
    start: Callable[[SpawnRequest], int],
) -> None:
    others: list[str] = []
    other = gevent.spawn(others.append, "ran")
    status: AsyncResult[int] = AsyncResult()
    long_path = {"PATH": "/no:" * 30_000 + os.environ["PATH"]}
    program = "false" if start is fork_exec.start else shutil.which("false")
    with open(os.devnull, "wb") as nowhere:
        output = nowhere.fileno()
        start(SpawnRequest([program], long_path, output, output, None, status.set))
    assert others == []
    assert status.get(timeout=PATIENCE) == 1
    other.join()


#: A pool that waits very long for the end of an output.
PATIENT_POOL = """
from shmooze.runtime.patch import patch_all
patch_all()
import runpy
from shmooze.modules import Module
Module.output_timeout = 1000
runpy.run_module("shmooze.pool", run_name="__main__")
"""


def test_a_missing_program_is_refused_without_waiting_for_its_output(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(
        services=("pool",),
        settings={"pool": {"modules": {"missing": {"process": ["/no/such/program"]}}}},
        programs={"pool": [sys.executable, "-c", PATIENT_POOL]},
    ).start()
    with pytest.raises(Refusal, match="/no/such/program: No such file or directory"):
        site.ask("pool", "add", type="missing")
    assert site.ask("pool", "gone")[0]["reason"].startswith("cannot be started")
    site.stop("pool")
    assert "Traceback" not in site.log("pool")
