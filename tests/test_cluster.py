"""A whole pool whose modules run on nodes: as at home, and what is left after each fault."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support import CHILDREN, Client, Refusal, Site, child, refusals, wait_until

POOL = [sys.executable, str(CHILDREN / "cluster_pool.py")]
COMMAND = 'echo "half done 50%"; echo hello {name} >&2; echo "result: $((6 * 7))"'
TYPES = {
    "well": {"process": child("well")},
    "hold": {"process": child("well"), "after_crash": "hold"},
    "local": {"process": child("well"), "launcher": "local"},
    "reused": {"process": child("well"), "reuse": 2},
    "command": {
        "process": ["sh", "-c", COMMAND],
        "adapter": "command",
        "progress": r"(\d+)%",
        "result": r"result: (\d+)",
    },
}


@pytest.fixture
def make(make_site: Callable[..., Site], tmp_path: Path) -> Callable[..., Client]:
    def start(**settings: object) -> Client:
        everything = {
            "state_path": str(tmp_path / "state.db"),
            "cluster": {"lease": 3},
            "pool": {"launcher": "here", "modules": TYPES},
            **settings,
        }
        site = make_site(services=("pool",), settings=everything, programs={"pool": POOL})
        return Client(site.start(), "pool")

    return start


def ends(pool: Client) -> dict[str, dict]:
    """The reports of modules that have gone, by uid."""
    return {each["uid"]: each for each in pool("gone")}


def test_a_module_on_a_node_is_like_one_at_home(make: Callable[..., Client]) -> None:
    pool = make()
    uid = pool.add_settled("well", name="far")
    home = pool.add_settled("local", name="near")
    shown = {module["uid"]: module for module in pool("pool", parameters=True)}
    assert shown[uid]["host"] == socket.gethostname()
    assert "host" not in shown[home]
    assert pool.tell(uid, "echo", a=1) == {"a": 1}
    usage = pool("usage")["modules"]
    assert usage[uid]["memory"] > 0
    assert usage[uid]["host"] == socket.gethostname()
    pool("rm", uids=[uid, home])
    assert pool.heard("far") == ["init", "play", "rm"]
    ended = wait_until(lambda: ends(pool).get(uid), "it has ended")
    assert (ended["reason"], ended["host"]) == ("was removed", socket.gethostname())


def test_a_command_on_a_node_gives_its_result(make: Callable[..., Client]) -> None:
    pool = make()
    uid = pool.add("command", name="you")
    wait_until(lambda: pool("gone"), "it ends")
    (ended,) = pool("gone")
    assert (ended["uid"], ended["state"], ended["result"]) == (uid, "done", 42)
    assert ended["stderr_tail"] == ["hello you"]


def test_a_process_on_a_node_serves_another_item_where_its_type_says_so(
    make: Callable[..., Client],
) -> None:
    pool = make()
    first = pool.add("reused")
    (pid,) = [pool.parameters(first)["pid"]]
    with suppress(Refusal):  # its item may have ended before the answer comes
        pool.tell(first, "raw", line='{"cmd": "result", "args": {"value": 1}}')
    wait_until(lambda: first in ends(pool), "the first has ended")
    assert ends(pool)[first]["result"] == 1
    second = pool.add("reused")
    assert pool.parameters(second)["pid"] == pid


def test_a_type_that_a_cluster_cannot_start_is_refused(tmp_path: Path) -> None:
    types = {"web": {"process": ["web", "{port}"], "adapter": "command", "http": {}}}
    file = tmp_path / "settings.json"
    settings = {"ports": {"pool": 1}, "pool": {"launcher": "here", "modules": types}}
    file.write_text(json.dumps(settings))
    (refusal,) = refusals(POOL, settings_file=file)
    assert "`pool.modules.web.http` needs the launcher `local`" in refusal


def test_a_launcher_that_there_is_not_is_refused(tmp_path: Path) -> None:
    types = {"well": {"process": child("well"), "launcher": "dsk"}}
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"ports": {"pool": 1}, "pool": {"modules": types}}))
    (refusal,) = refusals(POOL, settings_file=file)
    assert "`pool.modules.well.launcher` names 'dsk', which is not a launcher" in refusal
    assert "did you mean `dask`?" in refusal


def test_nothing_is_left_when_the_service_is_killed(make: Callable[..., Client]) -> None:
    pool = make()
    pool.add_settled("well", name="far")
    os.kill(pool.service, signal.SIGKILL)
    pool.site.processes.pop("pool").wait()
    wait_until(lambda: not pool.site.survivors(), "nothing of it is left")
