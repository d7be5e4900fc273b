"""Hooks: told of what happens at least once, in order, signed, and never waited for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fakes import Fake, FakeClock, run_until_idle
from job_service import Service
from support import Client, Site, is_alive, wait_until

from shmooze.errors import SettingsError
from shmooze.hooks.attach import Hooks
from shmooze.hooks.declared import Hook, hooks_of
from shmooze.hooks.delivery import Delivery, NotDelivered
from shmooze.hooks.outbox import Outbox
from shmooze.pool import Pool
from shmooze.settings import Settings

URL = "http://127.0.0.1:9/"
EVERYTHING = ["done", "failed", "given_up", "removed", "lost", "idle"]


class Job(Fake):
    TYPE_STRING = "job"


class Again(Fake):
    TYPE_STRING = "again"
    restart = "on-failure"
    restart_limit = 1


class Dropped(Fake):
    TYPE_STRING = "dropped"
    after_crash = "drop"


class Told:
    """A pool in memory with one hook that is told here."""

    def __init__(self, clock: FakeClock, *on: str) -> None:
        self.hook = Hook(on=list(on), url=URL)  # type: ignore[arg-type]
        self.deliveries: list[Delivery] = []
        #: Why deliveries fail at present; empty: they do not.
        self.fault = ""
        self.attempts = 0
        self.service = Service(clock, self._make)

    def _make(self) -> Pool:
        pool = Pool([Job, Again, Dropped])
        self.hooks = Hooks(pool, [self.hook])
        [outbox] = self.hooks.outboxes
        outbox._deliver = self._take
        return pool

    def _take(self, delivery: Delivery) -> None:
        self.attempts += 1
        if self.fault:
            raise NotDelivered(self.fault)
        self.deliveries.append(delivery)

    @property
    def events(self) -> list[str]:
        return [delivery.payload["event"] for delivery in self.deliveries]


@pytest.fixture
def told(clock: FakeClock) -> Iterator[Told]:
    told = Told(clock, *EVERYTHING)
    yield told
    told.service.stop()


def test_each_end_is_told_with_its_report(told: Told) -> None:
    uid = told.service.add()
    told.service.finish(7)
    [delivery] = told.deliveries
    payload = delivery.payload
    assert (payload["event"], payload["service"], payload["id"]) == ("done", "pool", delivery.id)
    assert (payload["item"]["uid"], payload["item"]["result"]) == (uid, 7)


def test_an_item_that_is_given_up_is_told_once(told: Told) -> None:
    told.service.add("again")
    for _ in range(2):
        told.service.process.exit(1)
        told.service.clock.advance(60)
    assert told.events[0] == "given_up"
    assert "failed" not in told.events
    assert "given up after 1 restart" in told.deliveries[0].payload["item"]["reason"]


def test_a_hook_on_failures_is_told_of_one_that_is_given_up(clock: FakeClock) -> None:
    told = Told(clock, "failed")
    told.service.add("again")
    for _ in range(2):
        told.service.process.exit(1)
        told.service.clock.advance(60)
    assert told.events == ["failed"]
    told.service.stop()


def test_idle_is_told_once_after_the_last_item_has_left(told: Told) -> None:
    told.service.clock.advance(60)
    first, second = told.service.add(), told.service.add()
    told.service.ask("hold", uids=[second])
    told.service.ask("rm", uids=[first])
    told.service.clock.advance(60)
    assert told.events == ["removed", "idle"]
    told.service.ask("release", uids=[second])
    told.service.ask("rm", uids=[second])
    told.service.clock.advance(60)
    assert told.events == ["removed", "idle", "removed", "idle"]


def test_a_gap_between_two_items_is_not_idleness(told: Told) -> None:
    told.service.add()
    told.service.finish(1)
    told.service.add()
    told.service.clock.advance(60)
    assert "idle" not in told.events


def test_an_item_that_is_dropped_after_a_crash_is_told_as_lost_once(told: Told) -> None:
    uid = told.service.add("dropped", label="the news", batch="evening")
    told.service.crash()
    [delivery] = told.deliveries
    item = delivery.payload["item"]
    assert delivery.payload["event"] == item["state"] == "lost"
    assert (item["uid"], item["type"], item["by"]) == (uid, "dropped", None)
    assert (item["label"], item["batch"]) == ("the news", "evening")
    assert item["reason"] == "was dropped after a crash of the service, as its type says"
    told.service.crash()
    assert told.events == ["lost"]


def test_what_was_not_delivered_is_delivered_after_a_crash_with_the_same_id(told: Told) -> None:
    told.fault = "cannot be reached"
    told.service.add()
    told.service.finish(7)
    [kept] = [key for key in told.service.keeper.values if key.startswith("hook:")]
    told.fault = ""
    told.service.crash()
    run_until_idle()
    assert [delivery.id for delivery in told.deliveries] == [kept.removeprefix("hook:")]
    assert told.deliveries[0].payload["item"]["result"] == 7
    told.service.clock.advance(1)
    assert not any(told.service.keeper.values.get(key) for key in [kept])


def test_attempts_come_ever_less_often_and_in_order(told: Told, caplog: Any) -> None:
    told.fault = "answered with status 500"
    for _ in range(2):
        told.service.add()
        told.service.finish(1)
    told.service.clock.advance(1000)
    assert 8 < told.attempts < 20
    told.fault = ""
    told.service.clock.advance(600)
    assert told.events[:2] == ["done", "done"]
    first, second = told.deliveries[:2]
    assert first.since <= second.since
    warned = [each.getMessage() for each in caplog.records if "hook" in each.getMessage()]
    assert warned == [
        f"hook {URL}: it answered with status 500; it is tried again",
        f"hook {URL}: works again",
    ]


def test_a_delivery_is_given_up_after_a_while(told: Told, caplog: Any) -> None:
    told.hooks.outboxes[0].longest = 3600.0
    told.fault = "cannot be reached"
    told.service.add()
    told.service.finish(1)
    told.service.clock.advance(2 * 3600.0)
    assert told.deliveries == []
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert any("gave up delivery" in error for error in errors)
    assert not any(told.service.keeper.values.values())


def test_the_oldest_delivery_is_dropped_when_too_many_wait(clock: FakeClock) -> None:
    kept: dict[str, Any] = {}
    outbox = Outbox(Hook(on=["done"], url=URL), lambda delivery: None, kept.__setitem__)
    outbox.max_waiting = 2
    for number in range(4):
        outbox.add(Delivery(str(number), URL, {}, 0.0))
    run_until_idle()
    assert outbox.waiting == 2
    assert [key for key in kept if kept[key]] == ["hook:2", "hook:3"]


# Settings.


def problem_of(hook: Any) -> str:
    values = {"hooks": [hook], "ports": {"queue": 1}}
    with pytest.raises(SettingsError) as refused:
        hooks_of(Settings("x.json", values), "queue")
    return str(refused.value).removeprefix("settings file x.json: ")


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        (1, "`hooks.0` must be an object"),
        ({"on": ["failed"]}, "`hooks.0` needs either `url` or `program`"),
        ({"on": ["failed"], "url": "ftp://x"}, "`hooks.0.url` is not a URL of HTTP"),
        ({"on": ["fail"], "url": URL}, '`hooks.0.on` must be a list of "done", "failed",'),
        ({"on": [], "url": URL}, "`hooks.0.on` must be a list of"),
        ({"on": ["idle"], "ulr": URL}, "`hooks.0.ulr` is unknown; did you mean `url`?"),
        (
            {"on": ["idle"], "url": URL, "secret": "$NO_SUCH_SECRET"},
            "`hooks.0.secret` names $NO_SUCH_SECRET, which is not in the environment",
        ),
        (
            {"on": ["idle"], "url": URL, "secret": "whsec_x"},
            "`hooks.0.secret` must be BASE64 after `whsec_`",
        ),
        (
            {"on": ["idle"], "url": URL, "services": ["queu"]},
            "`hooks.0.services` has 'queu', which `ports` lacks; did you mean `queue`?",
        ),
    ],
)
def test_a_mistake_in_a_hook_is_named(hook: Any, problem: str) -> None:
    assert problem_of(hook).startswith(problem)


def test_a_check_of_the_settings_finds_mistakes_in_hooks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    queue = {"modules": {"well": {"process": ["true"]}}}
    file = tmp_path / "settings.json"
    file.write_text(
        json.dumps({"ports": {"queue": 1}, "queue": queue, "hooks": [{"on": ["idle"]}]})
    )
    source = Settings.load({"SHMOOZE_SETTINGS": str(file)})
    monkeypatch.setattr("shmooze.runtime.declared.current", lambda: source)
    with pytest.raises(SettingsError, match="needs either `url` or `program`"):
        Pool([Job]).attach_observers(source, opens=False)


# Real receivers.


class Receiver(HTTPServer):
    """Refuses the first call, and takes the others if their signatures are right."""

    def __init__(self, key: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key = key
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refused: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        id, timestamp = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        signed = f"{id}.{timestamp}.".encode() + body
        digest = hmac.new(self.server.key, signed, hashlib.sha256).digest()
        is_right = self.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        is_first = not self.server.refused
        if is_first or not is_right:
            self.server.refused.append(id if is_right else "wrong signature")
        else:
            self.server.calls.append((id, json.loads(body)))
        self.send_response(503 if is_first else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


PROGRAM = """
import json, os, subprocess, sys
told = json.load(sys.stdin)
daemon = subprocess.Popen(["sleep", "1000"], start_new_session=True)
with open(sys.argv[1], "a") as file:
    print(json.dumps([told["event"], told["item"]["state"], daemon.pid]), file=file)
"""


def test_a_signed_call_and_a_program_are_told_and_leave_nothing_behind(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    key = os.urandom(24)
    receiver = Receiver(key)
    told = tmp_path / "told"
    url = f"http://127.0.0.1:{receiver.server_port}/hook?of=queue"
    secret = f"whsec_{base64.b64encode(key).decode()}"
    kind = {"process": ["sh", "-c", "exit 3"], "adapter": "command"}
    site = make_site(
        services=("queue",),
        settings={
            "queue": {"modules": {"fails": kind}},
            "state_path": str(tmp_path / "state.db"),
            "hooks": [
                {"on": ["failed"], "url": url, "secret": secret},
                {"on": ["failed"], "program": [sys.executable, "-c", PROGRAM, str(told)]},
            ],
        },
    )
    queue = Client(site.start(), "queue")
    uid = queue("add", type="fails", args={}, later=True)["uid"]
    wait_until(lambda: receiver.calls, "the call has arrived")
    [(id, payload)] = receiver.calls
    assert receiver.refused == [id], "it was sent again, with the same id"
    assert (payload["event"], payload["item"]["uid"], payload["id"]) == ("failed", uid, id)
    wait_until(lambda: told.exists() and told.read_text().endswith("\n"), "the program is told")
    event, state, daemon = json.loads(told.read_text())
    assert (event, state) == ("failed", "failed")
    wait_until(lambda: not is_alive(daemon), "what the program has started is gone")
    receiver.shutdown()
    receiver.server_close()
