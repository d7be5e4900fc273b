"""How the gateway reads the answers of services, well-formed or not."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from typing import Any

import pytest
from raw_service import RawService, ok
from support import free_ports

from shmooze.web.answers import Refused
from shmooze.web.backend import Answer, Backend
from shmooze.web.client import Client
from shmooze.web.route import Route


def backend(port: int, host: str = "127.0.0.1") -> Backend:
    return Backend("raw", Route(host, port), timeout=20, connections=1)


def refusal(asked: Backend) -> tuple[int, Any]:
    with pytest.raises(Refused) as refused:
        asked.ask(b"1", {})
    return refused.value.status_code, refused.value.body


@pytest.mark.parametrize(
    ("sent", "status", "content_type", "body"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nto its end", 200, "application/json", b"to its end"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\nto its end", 200, "a/b", b"to its end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, "application/json", b""),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            200,
            "application/json",
            b"abc",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n"
            b"1\r\na\r\n0\r\nContent-Type: c/d\r\n\r\n",
            200,
            "a/b",
            b"a",
        ),
        (b"HTTP/1.1 500 No\r\ncontent-TYPE: a/b\r\nContent-Length: 2\r\n\r\nno", 500, "a/b", b"no"),
    ],
    ids=["old", "no-length", "no-content", "chunked", "trailer", "fault"],
)
def test_the_end_of_an_answer_is_found_however_it_is_announced(
    sent: bytes, status: int, content_type: str, body: bytes
) -> None:
    (port,) = free_ports(1)

    def answer(_: bytes) -> None:
        service.send(sent)  # and hang up

    with RawService(port, answer) as service:
        assert backend(port).ask(b"1", {}) == Answer(status, content_type, body)


def test_an_informational_response_is_not_taken_for_the_answer() -> None:
    (port,) = free_ports(1)

    def answer(body: bytes) -> bytes:
        service.send_apart(b"HTTP/1.1 103 Early\r\nContent-Type: a/b\r\nRetry-After: 1\r\n\r\n")
        return ok(body)

    with RawService(port, answer) as service:
        assert backend(port).ask(b"1", {}) == Answer(200, "application/json", b"1")


def test_an_answer_may_arrive_in_any_pieces() -> None:
    (port,) = free_ports(1)
    pieces = [b"HTTP/1.1 20", b"0 OK\r\nRetry-", b"After: 1", b"7\r\nEmpty:", b"\r\nContent-Type:"]
    pieces += [b" text/\xe4", b"; a=b\r\n", b"\r\nto", b" its", b" end"]

    def answer(_: bytes) -> None:
        for piece in pieces:
            service.send_apart(piece)

    with RawService(port, answer) as service:
        found = backend(port).ask(b"1", {})
    assert found == Answer(200, "text/\xe4; a=b", b"to its end", "17")


def test_a_header_that_appears_twice_is_ignored() -> None:
    (port,) = free_ports(1)
    with RawService(port, lambda body: ok(body, b"Content-Type: a/b\r\n" * 2)):
        assert backend(port).ask(b"1", {}) == Answer(200, "application/json", b"1")


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (ok(b"1") * 2, "more was sent than was asked for"),
        (ok(b"1") + b"HTTP/1.1 102 Processing\r\n\r\n", "more was sent than was asked for"),
        (b"", "the connection was closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Ty", "the connection was closed"),
        (b"HTTP/1.1 102 Processing\r\n\r\n", "the connection was closed"),
        (b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n", "the connection was closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "the connection was closed"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            "the connection was closed",
        ),
        (
            b"HTTP/1.1 101 Other\r\nConnection: upgrade\r\nUpgrade: own\r\n\r\nown",
            "the server switched to another protocol",
        ),
        (b"220 smtp.example.org ready\r\n", ""),
    ],
)
def test_an_incomplete_or_surplus_answer_is_502(
    sent: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    (port,) = free_ports(1)

    def answer(_: bytes) -> None:
        service.send(sent)  # and hang up

    with RawService(port, answer) as service:
        status, body = refusal(backend(port))
    assert (status, b"without answering" in body) == (502, True)
    [entry] = [each for each in caplog.records if each.name == "shmooze.web.backend"]
    assert entry.getMessage().startswith(
        f"service 'raw' closed the connection without answering: {why}"
    )
    assert entry.exc_info is None


def test_an_answer_is_freed_without_the_garbage_collector() -> None:
    (port,) = free_ports(1)
    client = Client("127.0.0.1", port, timeout=20)
    gc.disable()
    try:
        with RawService(port):
            answer = weakref.ref(client.post(b"1", {}))
        assert answer() is None
    finally:
        gc.enable()


def test_a_refusal_is_read_even_if_the_service_closes_during_a_large_request() -> None:
    said = b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno"

    def refuse_early() -> None:
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.sendall(said)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse_early)
        thread.start()
        answer = backend(listener.getsockname()[1]).ask(b"x" * (16 << 20), {})
        thread.join()
    assert answer == Answer(503, "application/json", b"no", retry_after="7")


def test_a_service_is_reached_at_an_ipv6_address() -> None:
    (port,) = free_ports(1)
    with RawService(port, host="::1"):
        assert backend(port, "::1").ask(b"[1]", {}).body == b"[1]"


def test_a_service_that_does_not_listen_is_502() -> None:
    (port,) = free_ports(1)
    assert refusal(backend(port))[0] == 502
