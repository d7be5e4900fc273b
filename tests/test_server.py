"""The HTTP server of services: what is refused before any command runs."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support import (
    PATIENCE,
    ROOT,
    Site,
    failure,
    free_ports,
    http,
    is_listening,
    probe_site,
    raw_http,
    wait_until,
)

from shmooze.web.limits import Limits


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One service for all tests here; none of them ends it."""
    site = probe_site(tmp_path_factory.mktemp("probe"))
    try:
        yield site.start()
    finally:
        site.close()


FOREIGN = """
from shmooze.runtime.patch import patch_all
patch_all()
import gevent
from shmooze.web.limits import Limits
from shmooze.web.server import Server

ANSWERS = {
    "/text": ["text"],
    "/number": [7],
    "/good": [b"good"],
    "/longer": [b"goodness"],
    "/later": [b"good", b"HTTP/1.1 200 Forged"],
    "/shorter": [b"goo"],
}

def application(environ, start_response):
    if environ["PATH_INFO"] == "/broken":
        raise BrokenPipeError("a pipe of the application's own")
    start_response("200 OK", [("Content-Length", "4")])
    return ANSWERS[environ["PATH_INFO"]]

def application_without_length(environ, start_response):
    start_response("200 OK", [])
    return iter([b"good"])

Server("127.0.0.1", OTHER, application_without_length, Limits()).start()
Server("127.0.0.1", PORT, application, Limits()).start()
gevent.get_hub().join()
"""


@pytest.fixture(scope="module")
def foreign() -> Iterator[tuple[int, int]]:
    """Two servers with applications that make mistakes; the second one tells no length."""
    ports = free_ports(2)
    program = FOREIGN.replace("PORT", str(ports[0])).replace("OTHER", str(ports[1]))
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: is_listening(ports[0]), "it listens")
        yield ports[0], ports[1]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("path", "status"),
    [("text", 500), ("number", 500), ("longer", 500), ("broken", 500), ("good", 200)],
)
def test_a_mistake_of_the_application_costs_one_request(
    foreign: tuple[int, int], path: str, status: int
) -> None:
    sent = f"GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    reply, ended = raw_http(foreign[0], sent.encode())
    assert (reply.status, ended) == (status, status == 500)
    if status == 500:
        assert failure(reply) == "internal error; the server's log has details"


def test_the_server_depends_on_nothing_private_of_gevents() -> None:
    """A new release of gevent may change what is private: private names and base classes."""
    for file in (ROOT / "shmooze").rglob("*.py"):
        tree = ast.parse(file.read_text())
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "gevent.pywsgi"
            for alias in node.names
        }
        assert imported <= {"WSGIServer"}, file
        bases = {
            ast.unparse(base)
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for base in node.bases
        }
        assert not bases & {"WSGIServer", "WSGIHandler"}, file


def answers(port: int, *requests: str) -> bytes:
    """All that comes over one connection for these, which are sent at once."""
    end = ["GET /good HTTP/1.1\r\nConnection: close"]
    sent = "".join(f"{each}\r\nHost: localhost\r\n\r\n" for each in [*requests, *end])
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(sent.encode())
        received = b""
        try:
            while data := connection.recv(4096):
                received += data
        except ConnectionResetError:
            pass  # of the requests that nobody has read
        return received


@pytest.mark.parametrize(("path", "body"), [("later", b"good"), ("shorter", b"goo")])
def test_an_answer_of_the_wrong_length_ends_the_connection(
    foreign: tuple[int, int], path: str, body: bytes
) -> None:
    """Or the client would take the surplus, or the next answer, for what it is not."""
    received = answers(foreign[0], f"GET /{path} HTTP/1.1")
    assert received.count(b"HTTP/1.1") == 1
    assert received.endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("which", [0, 1])
def test_the_answer_to_a_head_has_no_body(foreign: tuple[int, int], which: int) -> None:
    received = answers(foreign[which], "HEAD /good HTTP/1.1")
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert received.count(b"good") == 1


NOTHING = b'{"cmd":"nothing"}'


def chunked(*chunks: bytes) -> bytes:
    pieces = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(pieces) + b"0\r\n\r\n"


MAX_BODY = Limits().max_body


def sized(body: bytes, length: int | None = None) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % (length or len(body)) + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"cmd": "nothing"} x',
        b"\xff",
        b'{"cmd": "echo", "args": {"value": NaN}}',
        b'{"cmd": "echo", "args": {"value": "\\ud800"}}',
        b'{"cmd": "echo", "args": {"value": 18446744073709551616}}',
        b'{"cmd": "echo", "args": {"value": 1e999}}',
        b"[" * 100_000,
        b'"nothing"',
        b"5",
        b"null",
        b"{}",
        b'{"cmd": 5}',
        b'{"cmd": "nothing", "args": []}',
        b'{"cmd": "nothing", "args": null}',
    ],
    ids=lambda body: body[:50].decode(errors="replace"),
)
def test_a_body_that_is_not_a_packet_is_400(probe: Site, body: bytes) -> None:
    reply = probe.direct("probe", body, headers={"Content-Type": "application/json"})
    assert reply.status == 400
    assert failure(reply)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405(probe: Site, method: str) -> None:
    body = None if method == "GET" else {"cmd": "nothing"}
    reply = probe.direct("probe", body, method=method)
    assert reply.status == 405
    assert method in failure(reply)
    assert reply.headers["Allow"] == "POST"


def test_other_paths_are_404(probe: Site) -> None:
    reply = http(f"http://127.0.0.1:{probe.ports['probe']}/else", {"cmd": "nothing"})
    assert reply.status == 404
    assert "/else" in failure(reply)


@pytest.mark.parametrize(
    "declared",
    ["application/json", "text/json", "text/json; charset=utf-8", "Application/JSON;charset=UTF-8"],
)
def test_two_content_types_mean_json(probe: Site, declared: str) -> None:
    reply = probe.direct("probe", b'{"cmd":"nothing"}', headers={"Content-Type": declared})
    assert reply.json["success"]


@pytest.mark.parametrize(
    "declared", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", None]
)
def test_another_content_type_or_none_is_415(probe: Site, declared: str | None) -> None:
    line = b"" if declared is None else f"Content-Type: {declared}\r\n".encode()
    reply, _ = raw_http(
        probe.ports["probe"],
        b"POST / HTTP/1.1\r\nHost: localhost\r\n"
        + line
        + b'Content-Length: 17\r\n\r\n{"cmd":"nothing"}',
    )
    assert reply.status == 415
    assert (declared or "missing") in failure(reply)


@pytest.mark.parametrize("request_bytes", [chunked(NOTHING[:5], NOTHING[5:]), sized(NOTHING)])
def test_a_body_may_come_in_chunks(probe: Site, request_bytes: bytes) -> None:
    reply, ends = raw_http(probe.ports["probe"], request_bytes)
    assert (reply.status, reply.json["success"], ends) == (200, True, False)


def test_a_body_of_the_largest_size_is_taken(probe: Site) -> None:
    value = "x" * (MAX_BODY - len(b'{"cmd":"echo","args":{"value":""}}'))
    body = b'{"cmd":"echo","args":{"value":"%s"}}' % value.encode()
    assert len(body) == MAX_BODY
    for request_bytes in (sized(body), chunked(body[:70_000], body[70_000:])):
        reply, _ = raw_http(probe.ports["probe"], request_bytes)
        assert reply.json == {"success": True, "result": value}


@pytest.mark.parametrize(
    "request_bytes",
    [
        sized(b" " * (MAX_BODY + 1)),
        sized(b" " * 4 * MAX_BODY),
        sized(b"", length=1 << 40),
        chunked(b" " * (MAX_BODY + 1)),
        chunked(*[b" " * (1 << 16)] * 64),
    ],
    ids=["sized", "sized-4-MiB", "announced-only", "chunked", "chunked-4-MiB"],
)
def test_a_larger_body_is_413_and_ends_its_connection_only(
    probe: Site, request_bytes: bytes
) -> None:
    reply, ends = raw_http(probe.ports["probe"], request_bytes)
    assert reply.status == 413
    assert failure(reply) == f"the body is larger than {MAX_BODY} bytes"
    assert ends
    assert probe.ask("probe", "nothing") is None


def test_a_malformed_chunk_is_400(probe: Site) -> None:
    reply, ends = raw_http(probe.ports["probe"], chunked(NOTHING).replace(b"11\r\n", b"zz\r\n"))
    assert (reply.status, ends) == (400, True)
    assert failure(reply)
