"""The output of items as a stream of events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from itertools import chain
from typing import Any

import gevent
import pytest
from fakes import Fake, FakeClock, run_until_idle
from job_service import Service
from support import PATIENCE, Site, http

from shmooze.pool import Pool


class Job(Fake):
    TYPE_STRING = "job"


@pytest.fixture
def service(clock: FakeClock) -> Iterator[Service]:
    service = Service(clock, lambda: Pool([Job]))
    yield service
    service.stop()


class Watcher:
    """A client that reads a stream; `events` are (id, event, data)."""

    def __init__(self, service: Service, uid: str) -> None:
        stream = service.broker.need_jobs().serve_output.__self__
        self.events: list[tuple[str, str, Any]] = []
        self.comments = 0
        first = service.broker.need_jobs().follow(uid, 0, 0.0)
        self._greenlet = gevent.spawn(self._read, stream.events(uid, first))
        run_until_idle()

    def _read(self, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            if piece.startswith(b":"):
                self.comments += 1
                continue
            id, event, data = (line.partition(": ")[2] for line in piece.decode().splitlines()[:3])
            self.events.append((id, event, json.loads(data)))

    @property
    def lines(self) -> list[list[str]]:
        return [data["lines"] for _, event, data in self.events if event == "lines"]

    @property
    def has_ended(self) -> bool:
        return self._greenlet.ready()


def test_lines_come_as_they_are_printed_and_the_end_is_last(service: Service) -> None:
    uid = service.add()
    service.process.print("printed before")
    watcher = Watcher(service, uid)
    assert watcher.lines == [["printed before"]]
    service.process.print("one", "two")
    service.clock.advance(1)
    service.finish(7)
    service.clock.advance(1)
    assert watcher.lines == [["printed before"], ["one", "two"]]
    id, event, end = watcher.events[-1]
    assert (event, end["state"], end["result"]) == ("end", "done", 7)
    assert id.endswith("-3-end")
    assert watcher.has_ended


def test_lines_that_come_quickly_are_merged_into_few_events(service: Service) -> None:
    watcher = Watcher(service, service.add())
    for number in range(100):
        service.process.print(f"line {number}")
        run_until_idle()
    service.clock.advance(1)
    assert [*chain.from_iterable(watcher.lines)] == [f"line {number}" for number in range(100)]
    assert len(watcher.lines) == 2


def test_who_reads_slowly_is_told_how_much_is_missing(service: Service) -> None:
    watcher = Watcher(service, service.add())
    service.process.print(*(f"line {number}" for number in range(1500)))
    service.clock.advance(1)
    [(_, _, data)] = watcher.events
    assert data["missed"] == 500
    assert data["lines"][-1] == "line 1499"


def test_a_quiet_item_sends_a_comment_now_and_then(service: Service) -> None:
    watcher = Watcher(service, service.add())
    before = watcher.comments
    service.clock.advance(60)
    assert watcher.events == []
    assert watcher.comments >= before + 3


# Over HTTP, through the gateway.


@pytest.fixture(scope="module")
def site(make_shared_site: Callable[..., Site]) -> Iterator[Site]:
    kind = {"process": ["sh", "-c", "echo one; echo two; exec sleep {seconds}"]}
    settings = {"pool": {"modules": {"says": {**kind, "adapter": "command"}}}}
    yield make_shared_site(services=("wsgi", "pool"), settings=settings).start()


def read(site: Site, uid: str, **headers: str) -> tuple[int, str, str]:
    """Read a stream to its end: status, type, text."""
    connection = HTTPConnection("127.0.0.1", site.ports["wsgi"], timeout=PATIENCE)
    connection.request("GET", f"/pool/output/{uid}", headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers["Content-Type"], text


def test_a_stream_ends_with_its_item_and_who_comes_back_is_told_not_to(site: Site) -> None:
    uid = site.ask("pool", "add", type="says", args={"seconds": "0"})["uid"]
    status, content_type, text = read(site, uid)
    assert (status, content_type) == (200, "text/event-stream")
    lines = [json.loads(each[6:]) for each in text.splitlines() if each.startswith('data: {"l')]
    assert [*chain.from_iterable(each["lines"] for each in lines)] == ["one", "two"]
    ids = [each[4:] for each in text.splitlines() if each.startswith("id: ")]
    assert read(site, uid, **{"Last-Event-ID": ids[-1]})[0] == 204
    again = read(site, uid, **{"Last-Event-ID": ids[-1].removesuffix("-end")})[2]
    assert "event: lines" not in again and "event: end" in again


def test_an_unknown_item_is_refused(site: Site) -> None:
    status, _, text = read(site, "0000")
    assert status == 404
    assert "no item with uid '0000' in pool" in json.loads(text)["error"]
    assert http(f"{site.url}nowhere/output/0000").status == 404
