"""How children are started: what they are born with is the same in either way."""

from __future__ import annotations

import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import CHILDREN, Client, Refusal, Site, parent_of, wait_until

FILES = 200

IGNORED_BY_PYTHON = sum(1 << number - 1 for number in (signal.SIGPIPE, signal.SIGXFSZ))

#: What stands in PATH as setpriv, after a line that notes each call.
SETPRIV = {"spawned": f'exec {shutil.which("setpriv")} "$@"', "forked": "exit 1"}

BORN = ["bash", str(CHILDREN / "born.sh"), sys.executable, str(CHILDREN / "born.py")]


@pytest.fixture(params=SETPRIV)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def site(way: str, make_site: Callable[..., Site], tmp_path: Path) -> Site:
    """A pool that may have few files open, and does start its children in one way."""
    programs = {
        "setpriv": f'echo "$@" >> "$HERE/calls"\n{SETPRIV[way]}',
        "no-interpreter": "",
    }
    for name, script in programs.items():
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!{'/bin/sh' if script else '/no/such/shell'}\n{script}\n")
        file.chmod(0o755)
    (tmp_path / "bin" / "no-program").write_text("neither a script nor a binary")
    (tmp_path / "bin" / "no-program").chmod(0o755)
    kinds = {"born": BORN, **{name: [name] for name in ("no-interpreter", "no-program")}}
    kinds["endless"] = ["true", "x" * 200_000]
    few = f"ulimit -Sn {FILES}; exec {sys.executable} -m shmooze.pool"
    return make_site(
        services=("pool",),
        settings={"pool": {"modules": {name: {"process": kinds[name]} for name in kinds}}},
        programs={"pool": ["bash", "-c", few]},
        environ={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
    ).start()


def calls(site: Site) -> str:
    """What setpriv was called with, a line each; the first time it was only tried."""
    return (site.folder / "calls").read_text()


def birth(pool: Client) -> dict[str, Any]:
    uid = pool.add("born")
    wait_until(lambda: "session" in pool.parameters(uid), "it tells of its birth")
    return pool.parameters(uid)


def test_a_child_is_born_free_and_marked(site: Site, way: str) -> None:
    pool = Client(site, "pool")
    one, other = birth(pool), birth(pool)
    for born in (one, other):
        assert born["session"] == born["pid"]
        assert not born["ignored"] & IGNORED_BY_PYTHON
        assert born["input"] == "/dev/null"
        assert born["unbuffered"] == "1"
        assert born["files"][0] == FILES
        assert born["at_parents_death"] == signal.SIGKILL
        assert born["realtime"][1] == resource.RLIM_INFINITY
    assert one["realtime"][0] + 1 == other["realtime"][0] > 1 << 62
    service = parent_of(one["pid"])
    assert resource.prlimit(service, resource.RLIMIT_RTTIME) == 2 * (resource.RLIM_INFINITY,)
    assert resource.prlimit(service, resource.RLIMIT_NOFILE)[0] > FILES
    assert calls(site).count("born.py") == (2 if way == "spawned" else 0)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("no-interpreter", "no-interpreter: No such file or directory"),
        ("no-program", "no-program: Exec format error"),
        ("endless", "true: Argument list too long"),
    ],
)
def test_what_exec_says_is_told(site: Site, kind: str, words: str) -> None:
    with pytest.raises(Refusal) as refused:
        Client(site, "pool").add(kind)
    assert str(refused.value) == f"{kind} cannot be started: {words}"
