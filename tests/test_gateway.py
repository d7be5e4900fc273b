"""The gateway and its services: bodies passed unchanged, kept connections, services that fail."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from raw_service import RawService, ok
from support import (
    CLOSE_WAIT,
    PATIENCE,
    Site,
    child,
    connections_to,
    failure,
    http,
    keep_alive,
    probe_site,
    wait_until,
)

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway with a probe, `raw` for a RawService, and `dead`; no test here ends them."""
    site = probe_site(tmp_path_factory.mktemp("gateway"), "wsgi", "raw", "dead")
    try:
        yield site.start("probe", "wsgi")
    finally:
        site.close()


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """The same for tests that stop services."""
    site = probe_site(tmp_path / "own", "wsgi")
    try:
        yield site.start()
    finally:
        site.close()


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Site]:
    """A gateway with a timeout of one second, and a port for a RawService."""
    site = probe_site(tmp_path / "impatient", "wsgi", "raw", wsgi_timeout=1)
    try:
        yield site.start("wsgi")
    finally:
        site.close()


# Routes.


def test_every_service_in_ports_has_a_route(site: Site) -> None:
    assert site.post("probe", {"cmd": "echo", "args": {"value": 1}}).json["result"] == 1
    with RawService(site.ports["raw"]):
        assert site.post("raw", {"cmd": "x"}).json == {"cmd": "x"}
    reply = site.post("none", {"cmd": "x"})
    assert (reply.status, failure(reply)) == (404, "no service 'none'; known: probe, raw, dead")
    assert (
        failure(site.post("wsgi", {"cmd": "x"})) == "unknown command 'x'; known: reload, describe"
    )


@pytest.mark.parametrize(
    ("service", "keywords", "status", "words"),
    [
        ("else", {}, 404, "no service 'else'; known: probe, raw, dead"),
        ("probe/else", {}, 404, "no service 'probe/else'"),
        ("dead", {}, 502, "service 'dead' is not running"),
        ("probe", {"method": "PUT"}, 405, "PUT"),
        ("probe", {"method": "DELETE"}, 405, "DELETE"),
        ("probe", {"headers": {"Content-Type": "text/plain"}}, 415, "text/plain"),
        ("probe", {"headers": {"Content-Type": ""}}, 415, "missing"),
    ],
)
def test_a_request_that_cannot_be_passed_on_is_refused(
    site: Site, service: str, keywords: Any, status: int, words: str
) -> None:
    reply = http(site.url + service, b'{"cmd":"nothing"}', **{"headers": JSON, **keywords})
    assert reply.status == status
    assert words in failure(reply)


def test_a_command_to_a_path_without_a_service_is_405(site: Site) -> None:
    reply = http(site.url, {"cmd": "queue"})
    assert (reply.status, failure(reply)) == (405, "there is no service at /")


def test_a_get_of_a_service_is_405_with_a_hint(site: Site) -> None:
    reply = http(f"{site.url}probe")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert "POST" in failure(reply)


# Bodies.


@pytest.mark.parametrize(
    "body",
    [
        b'{ "b":1,  "a" : 2,\t"b":3,"big":12345678901234567890123,"e":1.0e+2 }\r\n',
        '{"ä": "\\u00e4", "raw": "ä"}'.encode(),
        b"not JSON at all \xff\0",
        b"",
        b" " * (1 << 20),
    ],
    ids=["spacing-and-order", "escapes", "no-json", "empty", "1-MiB"],
)
def test_bodies_are_passed_unchanged_both_ways(site: Site, body: bytes) -> None:
    with RawService(site.ports["raw"]) as service:
        reply = http(f"{site.url}raw", body, headers=JSON)
        assert (reply.status, reply.body) == (200, body)
        assert service.bodies == [body]


def test_status_and_content_type_are_those_of_the_service(site: Site) -> None:
    reply = http(f"{site.url}probe", b"{}", headers=JSON)
    assert (reply.status, failure(reply)) == (400, "a command must have a `cmd`, which is a string")
    with RawService(site.ports["raw"], lambda body: ok(b"hi", b"Content-Type: text/x-own\r\n")):
        reply = http(f"{site.url}raw", b"{}", headers=JSON)
        assert (reply.headers["Content-Type"], reply.body) == ("text/x-own", b"hi")


def test_a_large_answer_arrives_completely(site: Site) -> None:
    answer = bytes(range(256)) * 20_000
    with RawService(site.ports["raw"], lambda body: ok(answer)):
        assert http(f"{site.url}raw", b"{}", headers=JSON).body == answer


# Connections.


def test_one_connection_is_enough_for_many_requests(site: Site) -> None:
    client = keep_alive(site.ports["wsgi"])
    with RawService(site.ports["raw"]) as service:
        for number in range(20):
            client.request("POST", "/raw", f"[{number}]", JSON)
            assert json.load(client.getresponse()) == [number]
        assert (len(service.bodies), service.accepted) == (20, 1)
    client.close()


def test_clients_one_after_another_share_a_kept_connection(site: Site) -> None:
    with RawService(site.ports["raw"]) as service:
        for number in range(5):
            assert site.post("raw", [number]).json == [number]
        assert service.accepted == 1


@pytest.mark.slow
def test_connections_of_a_burst_are_closed_once_the_service_has_closed_them(site: Site) -> None:
    many = 30
    all_asked = threading.Barrier(many)

    def wait_for_the_others(body: bytes) -> bytes:
        all_asked.wait(PATIENCE)
        return ok(body)

    port = site.ports["raw"]
    with RawService(port, wait_for_the_others), ThreadPoolExecutor(many) as pool:
        assert [reply.status for reply in pool.map(lambda n: site.post("raw", n), range(many))] == (
            [200] * many
        )
        assert connections_to(port) == many
    wait_until(lambda: not connections_to(port), "the service has closed them")
    wait_until(lambda: not connections_to(port, CLOSE_WAIT), "and so has the gateway")


@pytest.mark.slow
def test_an_idle_connection_is_closed_before_the_service_would_close_it(tmp_path: Path) -> None:
    site = probe_site(tmp_path / "idle", "wsgi", "raw", idle_timeout=2)
    port = site.ports["raw"]
    try:
        site.start("wsgi")
        with RawService(port) as service:  # which never closes a connection itself
            assert site.post("raw", 1).json == 1
            wait_until(lambda: not connections_to(port), "the connection is closed")
            assert site.post("raw", 2).json == 2
            assert service.accepted == 2
    finally:
        site.close()


def test_concurrent_requests_get_their_own_answers(site: Site) -> None:
    assert_own_answers(site, threads=16, requests=20)


def assert_own_answers(site: Site, threads: int, requests: int) -> None:
    def ask_often(thread: int) -> list[bool]:
        values = [f"{thread}-{number}" * 50 for number in range(requests)]
        packets = [{"cmd": "echo", "args": {"value": value}} for value in values]
        return [
            site.post("probe", packet).json == {"success": True, "result": value}
            for packet, value in zip(packets, values, strict=True)
        ]

    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(ask_often, range(threads)))
    assert answers == [[True] * requests] * threads


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_restarted_service_is_reached_again_without_an_error(
    own_site: Site, number: signal.Signals
) -> None:
    site = own_site
    waiting = [{"cmd": "wait_for", "args": {"name": f"{each}"}} for each in range(8)]
    with ThreadPoolExecutor(8) as pool:
        # All at once, so that the gateway needs a connection for each.
        answers = [pool.submit(site.post, "probe", packet) for packet in waiting]
        for each in range(8):
            wait_until((site.folder / f"begun-{each}").exists, "all have begun")
        for each in range(8):
            (site.folder / f"{each}").touch()
        assert all(answer.result().json["success"] for answer in answers)
        old = site.post("probe", {"cmd": "pid"}).json["result"]
        assert site.stop("probe", signal_number=number) == {"probe": 0}
        site.start("probe")
        again = list(pool.map(lambda _: site.post("probe", {"cmd": "pid"}), range(16)))
    assert [reply.status for reply in again] == [200] * 16
    assert {reply.json["result"] for reply in again} == {site.processes["probe"].pid} != {old}


# Services that fail.


def test_a_service_that_dies_during_a_command_is_502(own_site: Site) -> None:
    reply = own_site.post("probe", {"cmd": "die"})
    assert reply.status == 502
    assert failure(reply) == "service 'probe' closed the connection without answering"
    assert own_site.processes.pop("probe").wait(PATIENCE) == 9
    own_site.start("probe")
    assert own_site.post("probe", {"cmd": "nothing"}).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
        b"220 smtp.example.org ready\r\n",
        b"\0" * 100,
    ],
)
def test_a_command_that_may_have_been_carried_out_is_not_sent_again(
    site: Site, answer: bytes
) -> None:
    """Neither over a new connection, nor over a kept one, which may have been closed meanwhile."""

    def break_off(body: bytes) -> bytes | None:
        if body != b'"break"':
            return ok(body)
        service.send(answer)
        return None

    with RawService(site.ports["raw"], break_off) as service:
        for expected in (['"break"'], ['"break"', "1", '"break"']):
            assert len(expected) == 1 or site.post("raw", 1).json == 1
            reply = site.post("raw", "break")
            assert (reply.status, [body.decode() for body in service.bodies]) == (502, expected)
            assert failure(reply) == "service 'raw' closed the connection without answering"
        assert site.post("raw", 2).json == 2


def test_a_late_answer_is_504_and_given_to_no_other_request(impatient: Site) -> None:
    release = threading.Event()

    def dawdle(body: bytes) -> bytes:
        if body == b'"slow"':
            release.wait(PATIENCE)
        return ok(body)

    with RawService(impatient.ports["raw"], dawdle) as service:
        assert impatient.post("raw", "before").json == "before"
        reply = impatient.post("raw", "slow")
        assert (reply.status, failure(reply)) == (504, "service 'raw' did not answer in time")
        release.set()
        for word in ("after", "later"):
            assert impatient.post("raw", word).json == word
        assert service.bodies.count(b'"slow"') == 1


def test_a_slowly_sent_answer_is_504_as_well(impatient: Site) -> None:
    given_up = threading.Event()

    def trickle(body: bytes) -> bytes | None:
        for each in ok(b"{}"):
            service.send(bytes([each]))
            if given_up.wait(0.1):
                break
        return None

    with RawService(impatient.ports["raw"], trickle) as service:
        reply = impatient.post("raw", "slow")
        given_up.set()
        assert reply.status == 504


# Other servers.


@pytest.mark.slow
@pytest.mark.parametrize("server", ["waitress", "wsgiref", "gevent"])
def test_the_application_runs_under_another_server(tmp_path: Path, server: str) -> None:
    site = probe_site(tmp_path, "wsgi", "dead")
    site.programs["wsgi"] = child("svc_foreign", server)
    try:
        site.start("probe", "wsgi")
        assert_own_answers(site, threads=12, requests=5)
        assert site.post("dead", {"cmd": "x"}).status == 502
        assert http(f"{site.url}probe").status == 405
        assert "/events" in failure(http(f"{site.url}probe/events"))
        assert http(site.url).headers["Content-Type"].startswith("text/html")
        opened = Path(f"/proc/{site.processes['wsgi'].pid}/fd")
        before = len(list(opened.iterdir()))
        assert_own_answers(site, threads=4, requests=20)
        assert len(list(opened.iterdir())) < before + 40, "file descriptors are left open"
    finally:
        site.close()
