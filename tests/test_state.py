"""Real services whose items survive: SIGKILL, a stop, changed settings, a damaged file."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from support import Client, Refusal, Site, child, wait_until

TYPES = {
    "well": {"process": child("well")},
    "lazy": {"process": child("well"), "spawn": "lazy"},
    "hold": {"process": child("well"), "after_crash": "hold"},
    "drop": {"process": child("well"), "after_crash": "drop"},
}


@pytest.fixture
def make(make_site: Callable[..., Site], tmp_path: Path) -> Callable[..., Client]:
    """A function that makes a queue, or another service, with a state file."""

    def start(
        kind: str = "queue", programs: dict[str, list[str]] | None = None, **settings: Any
    ) -> Client:
        section = {"modules": TYPES, **({"backgrounds": TYPES} if kind == "queue" else {})}
        everything = {"state_path": str(tmp_path / "state.db"), kind: section, **settings}
        site = make_site(services=(kind,), settings=everything, programs=programs)
        return Client(site.start(), kind)

    return start


def kill(client: Client, *pids: int) -> None:
    """Kill processes of a service, and wait until none of it is left."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    client.site.processes.pop(client.name).wait()
    wait_until(lambda: not client.site.survivors(), "the service has ended with all its modules")


def again(client: Client) -> Client:
    """The same service, started again."""
    client.site.start(client.name)
    return Client(client.site, client.name)


def guardian(client: Client) -> int:
    return client.site.processes[client.name].pid


@pytest.mark.parametrize("victims", ["service", "guardian", "both"])
def test_items_come_back_after_a_kill(make: Callable[..., Client], victims: str) -> None:
    queue = make()
    playing = queue("add", type="well", args={"n": 1}, key="k")["uid"]
    hold, drop = queue.add("hold"), queue.add("drop")
    waiting = [queue.add("lazy") for _ in range(3)]
    queue("mv", uids=[waiting[2]])
    queue("rm", uids=[waiting[0]])
    background = queue("set_bg", type="well")["uid"]
    pids = {"service": [queue.service], "guardian": [guardian(queue)]}
    kill(queue, *pids.get(victims, [queue.service, guardian(queue)]))
    queue = again(queue)
    assert queue.uids() == [waiting[2], playing, hold, waiting[1]]
    assert queue("bg")["uid"] == background
    assert queue("add", type="well", key="k")["uid"] == playing
    wait_until(
        lambda: [each["state"] for each in queue.roster()[:3]] == ["playing", "suspended", "held"],
        "they do what they did",
    )
    # The turn of the last may have come while the others were being killed.
    assert queue.roster()[3]["state"] in ("waiting", "starting", "suspended")
    assert queue("queue")[1]["args"] == {"n": 1}
    assert drop not in queue.uids()


def test_items_come_back_after_a_stop(make: Callable[..., Client]) -> None:
    pool = make("pool")
    uids = [pool.add(type) for type in ("well", "hold", "drop")]
    pool("rm", uids=[pool.add("well")])
    assert pool.site.stop() == {"pool": 0}
    assert "was stopped with the service" in pool.site.log("pool")
    pool = again(pool)
    assert pool.uids() == uids
    wait_until(lambda: {each["state"] for each in pool.roster()} == {"playing"}, "all play again")
    assert [each["reason"] for each in pool("gone")] == ["was removed"]


def test_items_whose_type_is_gone_are_held_until_it_is_back(make: Callable[..., Client]) -> None:
    queue = make()
    uids = [queue.add("well"), queue.add("lazy"), queue.add("lazy")]
    queue.site.stop()
    settings = queue.site.settings
    for types, states in (
        ({"lazy": TYPES["lazy"]}, ["held", "playing", "suspended"]),
        (TYPES, ["playing", "suspended", "suspended"]),
    ):
        changed = {**settings, "queue": {**settings["queue"], "modules": types}}
        queue.site.settings_file.write_text(json.dumps(changed))
        queue = again(queue)
        assert queue.uids() == uids
        wait_until(
            lambda q=queue, s=states: [each["state"] for each in q.roster()] == s,
            "all that can do something do it",
        )
        queue.site.stop()


def test_what_was_answered_before_a_kill_is_true_after_it(make: Callable[..., Client]) -> None:
    queue = make()
    for _ in range(3):
        added: list[str] = queue.uids()
        removed: list[str] = []
        workers = [
            threading.Thread(target=add_and_remove, args=(queue, added, removed)) for _ in "abcd"
        ]
        before = len(added)
        for worker in workers:
            worker.start()
        wait_until(lambda b=before, a=added: len(a) > b + 30, "some have been added")
        kill(queue, queue.service, guardian(queue))
        for worker in workers:
            worker.join()
        queue = again(queue)
        uids = queue.uids()
        assert len(set(uids)) == len(uids)
        assert set(added) - set(removed) - set(uids) <= asked_to_go(added, removed)
        assert not set(removed) & set(uids)


def add_and_remove(queue: Client, added: list[str], removed: list[str]) -> None:
    """Add and remove items until the service is gone; notes what was answered."""
    with suppress(OSError, HTTPException, json.JSONDecodeError):
        while True:
            uid = queue("add", type="lazy")["uid"]
            added.append(uid)
            if len(added) % 3 == 0:
                removed.append(uid + "?")
                queue("rm", uids=[uid])
                removed.append(uid)


def asked_to_go(added: list[str], removed: list[str]) -> set[str]:
    """Those whose removal was not answered, so that nobody can know."""
    return {uid for uid in added if uid + "?" in removed and uid not in removed}


def test_damaged_file_is_one_line_and_status_2(make: Callable[..., Client], tmp_path: Path) -> None:
    queue = make()
    queue.add("lazy")
    queue.site.stop()
    file = tmp_path / "state.db"
    file.write_bytes(b"x" * 10_000)
    with pytest.raises(AssertionError, match="ended at its start"):
        queue.site.start()
    assert queue.site.processes.pop("queue").wait() == 2
    line = queue.site.log("queue").splitlines()[-1]
    assert line.startswith(f"shmooze: state file {file}: ")


def test_locked_file_refuses_commands_and_they_work_again(
    make: Callable[..., Client], tmp_path: Path
) -> None:
    hasty = child("svc_adjusted", "shmooze.queue", "shmooze.state.file.StateFile.lock_timeout=0.5")
    queue = make(programs={"queue": hasty})
    uid = queue.add("well")
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Refusal, match=r"^the state cannot be kept: "):
        queue.add("lazy")
    assert queue.uids() == [uid]
    assert queue.tell(uid, "echo", x=1) == {"x": 1}
    other.execute("ROLLBACK")
    other.close()
    assert queue.add("lazy") in queue.uids()


def test_service_without_a_state_file_says_so(make_site: Callable[..., Site]) -> None:
    site = make_site(services=("pool",), settings={"pool": {"modules": TYPES}}).start()
    wait_until(lambda: "no `state_path` in the settings" in site.log("pool"), "it says so")
