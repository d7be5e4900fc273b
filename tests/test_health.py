"""Health and version: what gateway and services say of themselves, and to whom."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
from raw_service import RawService, ok
from support import Reply, Site, http, wait_until

from shmooze import __version__
from shmooze.access.token_file import TokenFile
from shmooze.gateway.asking import ask_each
from shmooze.lib.health import HealthCheck
from shmooze.state.file import StateFile
from shmooze.web.backend import Backend
from shmooze.web.connect import NotReached

UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: %d\r\n\r\n%s"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class App:
    """A gateway and a queue with a state file, and `raw` for a RawService."""

    def __init__(self, make_site: Callable[..., Site], folder: Path) -> None:
        tokens = TokenFile(str(folder / "tokens.json"))
        self.reader = tokens.add("reader", "read")
        self.narrow = tokens.add("narrow", scopes=["read", "service:queue"])
        self.state = folder / "state.db"
        settings = {"tokens_path": str(tokens.path), "state_path": str(self.state)}
        settings["queue"] = {"modules": {"quick": {"process": ["true"]}}}
        self.site = make_site(services=("wsgi", "queue", "raw"), settings=settings)
        self.site.start("wsgi", "queue")
        wait_until(lambda: self._part("queue") == "ok", "the queue has started")

    def _part(self, name: str) -> str:
        return str(self.get("health", self.reader).json["parts"][name])

    def get(self, path: str, token: str | None) -> Reply:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return http(f"{self.site.url}{path}", headers=headers)


@pytest.fixture(scope="module")
def app(
    make_shared_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[App]:
    yield App(make_shared_site, tmp_path_factory.mktemp("health"))


def test_each_part_is_well_that_answers_and_says_nothing_else(app: App) -> None:
    with RawService(app.site.ports["raw"], lambda _: NOT_FOUND):
        reply = app.get("health", app.reader)
    assert reply.status == 200
    assert reply.json == {"status": "ok", "parts": {"gateway": "ok", "queue": "ok", "raw": "ok"}}
    assert reply.headers["Cache-Control"] == "no-store"


def test_a_service_that_is_away_is_named_with_the_reason(app: App) -> None:
    reply = app.get("health", app.reader)
    assert reply.status == 503
    assert reply.json["status"] == "failing"
    assert reply.json["parts"] == {"gateway": "ok", "queue": "ok", "raw": "is not running"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"status": "failing", "parts": {"state": "the disk is full"}}',
            "state: the disk is full",
        ),
        (b"oops", "failing"),
    ],
)
def test_what_a_service_says_of_itself_is_the_reason(app: App, body: bytes, words: str) -> None:
    with RawService(app.site.ports["raw"], lambda _: UNAVAILABLE % (len(body), body)):
        reply = app.get("health", app.reader)
    assert (reply.status, reply.json["parts"]["raw"]) == (503, words)


def test_without_a_token_only_the_status_is_told(app: App) -> None:
    assert app.get("health", None).json == {"status": "failing"}
    with RawService(app.site.ports["raw"], lambda _: NOT_FOUND):
        reply = app.get("health", None)
    assert (reply.status, reply.json) == (200, {"status": "ok"})
    queue = f"http://127.0.0.1:{app.site.ports['queue']}"
    assert http(f"{queue}/health").json == {"status": "ok"}
    for path in ("/version", "/events"):
        assert http(f"{queue}{path}").status == 401
    assert app.get("version", None).status == 401
    assert app.get("health", "wrong").status == 401


def test_a_token_for_some_services_is_told_of_these(app: App) -> None:
    reply = app.get("health", app.narrow)
    assert reply.status == 200
    assert reply.json["parts"] == {"gateway": "ok", "queue": "ok"}


def test_versions_are_those_of_gateway_and_services(app: App) -> None:
    with RawService(app.site.ports["raw"], lambda _: ok(b'{"version": "1.9"}')):
        answer = app.get("version", app.reader).json
    assert answer == {"version": __version__, "services": {"queue": __version__, "raw": "1.9"}}
    assert app.get("version", app.reader).json["services"]["raw"] is None


def test_a_service_whose_state_file_is_lost_is_not_well(app: App) -> None:
    aside = app.state.with_suffix(".aside")
    os.rename(app.state, aside)
    try:

        def problem() -> str:
            return str(app.get("health", app.reader).json["parts"]["queue"])

        assert "state: the file was removed" in wait_until(
            lambda: (found := problem()) != "ok" and found, "the queue is not well"
        )
    finally:
        os.rename(aside, app.state)
    wait_until(lambda: problem() == "ok", "the queue is well again")


def test_a_state_file_that_hangs_is_a_problem_within_seconds(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state.db")
    file.open("queue")
    try:
        assert file.check() is None
        file.check_timeout = 0.01
        from threading import Event

        may_go_on = Event()
        file._writer.call(may_go_on.wait)
        assert file.check() == "the disk does not respond"
        may_go_on.set()
    finally:
        file.close()
    assert file.check() == "the file is closed"


def test_many_questions_at_once_are_one_check() -> None:
    checks: list[int] = []

    def slow() -> dict[str, str]:
        checks.append(1)
        gevent.sleep(0.01)
        return {"log": "the disk is full"}

    check = HealthCheck(slow)
    asked = [gevent.spawn(check.problems) for _ in range(10)]
    assert all(each.get() == {"log": "the disk is full"} for each in asked)
    assert len(checks) == 1


def test_a_service_that_does_not_answer_keeps_no_other_from_it() -> None:
    def ask(name: object) -> object:
        if name == "late":
            raise TimeoutError
        if name == "away":
            raise NotReached(ConnectionRefusedError())
        return "answer"

    backends: dict[str, Backend] = {each: each for each in ("late", "away", "here")}  # type: ignore[misc]
    assert ask_each(backends, ask) == {  # type: ignore[arg-type]
        "late": "did not answer in time",
        "away": "is not running",
        "here": "answer",
    }
