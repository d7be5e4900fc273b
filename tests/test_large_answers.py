"""Answers that would take much memory: they are refused, or sent in parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

import pytest
from events import Watcher
from support import Client, Site, child, wait_until

#: A queue with low limits.
QUEUE = """
from gevent import monkey
monkey.patch_all()
from shmooze.web import results
from shmooze.lib import service
from shmooze.broker.events import EventHub
from shmooze.queue import _from_settings
results.MAX_RESULT = 20_000
service.JSONCommandProcessor.max_answer = 10_000
EventHub.max_event = EventHub.kept_bytes = 4_000
_from_settings("queue").serve_forever()
"""
ALL = {"cmd": "queue", "args": {"parameters": True}}


@pytest.fixture(scope="module")
def site(make_shared_site: Callable[..., Site]) -> Iterator[Site]:
    """A queue of eight, each with three thousand bytes of parameters, and a background."""
    types = {"well": {"process": child("well")}}
    section = {"modules": types, "backgrounds": types}
    programs = {"queue": [sys.executable, "-c", QUEUE]}
    site = make_shared_site(services=("queue",), settings={"queue": section}, programs=programs)
    site.start()
    queue = Client(site, "queue")
    uids = [queue.add() for _ in range(8)]
    for uid in uids:
        queue.tell(uid, "set", text=uid[:1] * 3000)
    yield site


def test_a_result_that_is_too_long_is_refused_and_a_part_of_it_is_not(site: Site) -> None:
    answer = site.direct("queue", ALL).json
    assert answer == {
        "success": False,
        "error": "queue: the result would be longer than 20000 bytes;"
        " ask for fewer parameters, or for one module at a time",
    }
    roster = site.ask("queue", "queue", parameters={"well": ["playing"]})
    assert len(roster) == 8
    [text] = site.ask("queue", "ask_module", uid=roster[0]["uid"], parameters=["text"]).values()
    assert len(text) == 3000


def test_a_list_does_not_ask_for_it_again_and_again(site: Site) -> None:
    names = {"cmd": "modules_available"}
    first, *others = site.direct("queue", [names, ALL, ALL, names]).json
    assert first == {"success": True, "result": ["well"]}
    assert "would be longer" in others[0]["error"]
    limit = "was not executed: the answers to this list have reached the limit "
    assert all(each["error"].startswith(limit) for each in others[1:])


def wait_for_texts(watcher: Watcher, queue: Client) -> None:
    """Wait until a watcher knows the text of each module."""

    def told() -> list[str]:
        modules = watcher.state.get("modules", [])
        return [each["parameters"].get("text", "") for each in modules]

    uids = [each["uid"] for each in queue("queue")]
    texts = [queue("ask_module", uid=uid, parameters=["text"])["text"] for uid in uids]
    wait_until(lambda: told() == texts, "all parts have come")


def test_a_long_snapshot_comes_in_parts_and_no_part_is_taken_for_all(site: Site) -> None:
    queue = Client(site, "queue")
    watcher = Watcher(site.ports["queue"], "/events")
    try:
        queue.tell(queue("queue")[0]["uid"], "set", text="z" * 3000)
        wait_for_texts(watcher, queue)
        (kind, snapshot), *parts = watcher.events[:7]
        assert kind == "snapshot"
        assert len(snapshot["modules"]) == 8
        for kind, part in parts:
            assert kind == "change"
            assert len(json.dumps(part)) < 4000
    finally:
        watcher.close()
    assert [kind for kind, _ in watcher.events].count("snapshot") == 1
    assert watcher.last_id is not None
    part = watcher.last_id.split("-")[0] + "-1-3"
    again = Watcher(site.ports["queue"], "/events", last_id=part)
    try:
        wait_for_texts(again, queue)
        assert again.events[0][0] == "snapshot"
    finally:
        again.close()


def test_a_change_that_is_too_long_for_one_event_makes_a_new_snapshot(site: Site) -> None:
    queue = Client(site, "queue")
    watcher = Watcher(site.ports["queue"], "/events")
    try:
        wait_for_texts(watcher, queue)
        queue.tell(queue("queue")[1]["uid"], "set", text="y" * 5000)
        wait_for_texts(watcher, queue)
        assert [kind for kind, _ in watcher.events].count("snapshot") == 2
    finally:
        watcher.close()
