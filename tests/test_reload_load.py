"""Reload under the load of real clients: nothing is lost, refused or started twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from support import Client, Refusal, Site, child, is_alive, wait_until

CLIENTS = 4
RELOADS = 12

#: Ends at once with a result.
JOB = {
    "process": ["sh", "-c", "echo done {number}"],
    "adapter": "command",
    "parameters": {"number": r"done (\d+)"},
}


def types(number: int) -> dict[str, Any]:
    """What the settings have after so many reloads: one type changes, one comes and goes."""
    often = {"often": {"process": ["sh", "-c", f"exit {number % 2}"], "adapter": "command"}}
    return {
        "well": {"process": child("well"), "environment": {"NUMBER": str(number)}},
        "job": {**JOB, "time_limit": 100 + number},
        **(often if number % 2 else {}),
    }


def test_nothing_is_lost_while_settings_change_under_load(make_site: Callable[..., Site]) -> None:
    settings = {"state_path": "$HERE/state.db", "pool": {"slots": 4, "modules": types(0)}}
    site = make_site(services=("pool",), settings=settings).start()
    pool = Client(site, "pool")
    player = pool.add_settled("well", name="player")
    pid = pool.parameters(player)["pid"]
    is_over = Event()

    def add_jobs(client: int) -> list[str]:
        """Add jobs until all reloads are over. Returns their uids; a refusal is an error."""
        added: list[str] = []
        while not is_over.is_set():
            args = {"number": f"{client}{len(added):05}"}
            added.append(pool("add", type="job", args=args, later=True)["uid"])
        return added

    def write(modules: dict[str, Any]) -> None:
        site.settings["pool"] = {"slots": 4, "modules": modules}
        site.settings_file.write_text(json.dumps(site.settings))

    with ThreadPoolExecutor(CLIENTS) as threads:
        adding = [threads.submit(add_jobs, client) for client in range(CLIENTS)]
        try:
            for number in range(1, RELOADS + 1):
                write({**types(number), "job": {"process": []}})
                with pytest.raises(Refusal, match=r"pool\.modules\.job\.process"):
                    pool("reload")
                write(types(number))
                report = pool("reload")
                assert {"modules.well", "modules.job"} <= {*report["changed"]}
                assert report["added" if number % 2 else "removed"] == ["modules.often"]
        finally:
            is_over.set()
        added = [uid for each in adding for uid in each.result()]

    assert len(added) > CLIENTS
    wait_until(lambda: pool.uids() == [player], "all jobs have ended", patience=120)
    # An item that ends has no place any more, but is in the history only when it has gone.
    wait_until(lambda: len(history(pool)) >= len(added), "all are in the history")
    ended = {each["uid"]: each["state"] for each in history(pool)}
    assert ended == dict.fromkeys(added, "done")
    assert is_alive(pid)
    assert pool.tell(player, "echo", a=1) == {"a": 1}


def history(pool: Client) -> list[dict[str, Any]]:
    """All that has ended, newest first."""
    found, next_page = [], None
    while True:
        page = pool("history", limit=1000, before=next_page)
        found += page["items"]
        if (next_page := page["next"]) is None:
            return found
