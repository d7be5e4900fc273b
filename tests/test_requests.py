"""Requests byte for byte, and how a service and the gateway answer them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from support import PATIENCE, Site, failure, has_ended, probe_site, raw_http

from shmooze.web.head import BadRequest
from shmooze.web.limits import Limits
from shmooze.web.request import Incoming

BODY = b'{"cmd":"nothing"}'
JSON = b"Content-Type: application/json\r\n"
HOST = b"Host: localhost\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"


def post(*headers: bytes, body: bytes = BODY, first: bytes = b"POST %s HTTP/1.1\r\n") -> bytes:
    return first + JSON + b"".join(headers) + b"\r\n" + body


def sized(*headers: bytes, body: bytes = BODY, **others: bytes) -> bytes:
    return post(*headers, b"Content-Length: %d\r\n" % len(body), body=body, **others)


def chunked(body: bytes, *headers: bytes) -> bytes:
    return post(HOST, *headers, b"Transfer-Encoding: chunked\r\n", body=body)


ONE_CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)

#: Bytes, with %s for the path of the service; the status; a part of the error.
TABLE: dict[str, tuple[bytes, int, str]] = {
    # accepted
    "a plain command": (sized(HOST), 200, ""),
    "HTTP/1.0": (sized(HOST, first=b"POST %s HTTP/1.0\r\n"), 200, ""),
    "an empty line before it": (b"\r\n" + sized(HOST), 200, ""),
    "empty lines before it": (b"\r\n\r\n\r\n" + sized(HOST), 200, ""),
    "header names in any case": (sized(b"hOST: localhost\r\n"), 200, ""),
    "blanks around a value": (sized(b"Host:\t localhost \t\r\n"), 200, ""),
    "the port in Host": (sized(b"Host: localhost:1234\r\n"), 200, ""),
    "an address in Host": (sized(b"Host: 127.0.0.1\r\n"), 200, ""),
    "IPv6 in Host": (sized(b"Host: [::1]:8080\r\n"), 200, ""),
    "IPv6 in Host without a port": (sized(b"Host: [::1]\r\n"), 200, ""),
    "IPv6 in Host at length": (sized(b"Host: [0:0:0:0:0:0:0:1]\r\n"), 200, ""),
    "IPv4 as IPv6 in Host": (sized(b"Host: [::FFFF:127.0.0.1]:80\r\n"), 200, ""),
    "a dot at the end of Host": (sized(b"Host: LocalHost.\r\n"), 200, ""),
    "a dot and a port in Host": (sized(b"Host: localhost.:1234\r\n"), 200, ""),
    "a colon and no port in Host": (sized(b"Host: localhost:\r\n"), 200, ""),
    "a whole URL": (sized(HOST, first=b"POST http://localhost%s HTTP/1.1\r\n"), 200, ""),
    "a whole URL in large letters": (
        sized(HOST, first=b"POST HTTP://LOCALHOST:80%s HTTP/1.1\r\n"),
        200,
        "",
    ),
    "a whole URL that overrides Host": (
        sized(b"Host: evil.example\r\n", first=b"POST http://[::1]:80%s HTTP/1.1\r\n"),
        200,
        "",
    ),
    "a whole URL in HTTP/1.0": (sized(first=b"POST http://localhost%s HTTP/1.0\r\n"), 200, ""),
    "one chunk": (chunked(ONE_CHUNK), 200, ""),
    "two chunks": (chunked(b'8\r\n{"cmd":"\r\n9\r\nnothing"}\r\n0\r\n\r\n'), 200, ""),
    "a chunk with an extension": (
        chunked(b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
        200,
        "",
    ),
    "lines after the last chunk": (chunked(ONE_CHUNK[:-2] + b"X: y\r\n\r\n"), 200, ""),
    "Expect: 100-continue with the body at once": (
        sized(HOST, b"Expect: 100-continue\r\n"),
        200,
        "",
    ),
    "a wish for another protocol": (sized(HOST, UPGRADE), 200, ""),
    "a wish for another protocol with chunks": (chunked(ONE_CHUNK, UPGRADE), 200, ""),
    # the first line
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "first line"),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400, "first line"),
    "HTTP/2.0": (sized(HOST, first=b"POST %s HTTP/2.0\r\n"), 505, "HTTP/1.1"),
    "HTTP/1.2": (sized(HOST, first=b"POST %s HTTP/1.2\r\n"), 505, "HTTP/1.1"),
    "two blanks": (sized(HOST, first=b"POST  %s HTTP/1.1\r\n"), 400, "first line"),
    "two blanks before the version": (
        sized(HOST, first=b"POST %s  HTTP/1.1\r\n"),
        400,
        "first line",
    ),
    "a line feed before it": (b"\n" + sized(HOST), 400, "CR LF"),
    "a blank in the path": (sized(HOST, first=b"POST %s x HTTP/1.1\r\n"), 400, "first line"),
    "a method that is none": (sized(HOST, first=b"PO(ST %s HTTP/1.1\r\n"), 400, "first line"),
    "another scheme in the URL": (
        sized(HOST, first=b"POST ftp://localhost%s HTTP/1.1\r\n"),
        400,
        "begin with /, http",
    ),
    "a user in the URL": (
        sized(HOST, first=b"POST http://a:b@localhost%s HTTP/1.1\r\n"),
        400,
        "no user",
    ),
    "no host in the URL": (sized(HOST, first=b"POST http://%s HTTP/1.1\r\n"), 400, "host"),
    "a whole URL with no Host": (
        sized(first=b"POST http://localhost%s HTTP/1.1\r\n"),
        400,
        "Host",
    ),
    "a whole URL with two Hosts": (
        sized(HOST, HOST, first=b"POST http://localhost%s HTTP/1.1\r\n"),
        400,
        "more than once",
    ),
    "a stranger's host in the URL": (
        sized(HOST, first=b"POST http://evil.example%s HTTP/1.1\r\n"),
        403,
        "'evil.example'",
    ),
    "the Origin of a Host that the URL overrides": (
        sized(
            b"Host: localhost:81\r\n",
            b"Origin: http://localhost:81\r\n",
            first=b"POST http://localhost%s HTTP/1.1\r\n",
        ),
        403,
        "is not allowed",
    ),
    "OPTIONS of the server": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 400, "`*`"),
    "a tunnel": (b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n", 501, "not a proxy"),
    "a host for a URL": (b"GET localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n", 400, "begin with"),
    "raw bytes in the path": (sized(HOST, first=b"POST %s\xff HTTP/1.1\r\n"), 400, "first line"),
    "quoted bytes that are not UTF-8": (
        sized(HOST, first=b"POST %s%%ff HTTP/1.1\r\n".replace(b"%%", b"%")),
        400,
        "not UTF-8",
    ),
    "half a letter in the path": (sized(HOST, first=b"POST %s%c3 HTTP/1.1\r\n"), 400, "not UTF-8"),
    "a control character in the path": (sized(HOST, first=b"POST %s\x01 HTTP/1.1\r\n"), 400, ""),
    "a long path": (sized(HOST, first=b"POST %s?" + b"x" * 9000 + b" HTTP/1.1\r\n"), 414, "8192"),
    "a path without end": (b"GET /" + b"x" * 40_000, 414, "8192"),
    # the header
    "a line that ends with LF": (b"POST %s HTTP/1.1\n" + HOST + b"\r\n", 400, "CR LF"),
    "no colon": (sized(HOST, b"Nonsense\r\n"), 400, "malformed: 'Nonsense'"),
    "a blank before the colon": (sized(HOST, b"X : y\r\n"), 400, "malformed"),
    "a folded line": (sized(HOST, b"X: y\r\n z\r\n"), 400, "malformed"),
    "a NUL": (sized(HOST, b"X: y\0z\r\n"), 400, "malformed"),
    "a broken line of blanks": (sized(HOST, b"X:" + b" " * 30_000 + b"\x01\r\n"), 400, "malformed"),
    "a CR within a line": (sized(HOST, b"X: y\rz\r\n"), 400, "malformed"),
    "a large header": (sized(HOST, b"X: " + b"y" * 40_000 + b"\r\n"), 431, "32768"),
    "many headers": (sized(HOST, b"X: y\r\n" * 101), 431, "100"),
    # Host
    "no Host": (sized(), 400, "Host"),
    "no Host in HTTP/1.0": (sized(first=b"POST %s HTTP/1.0\r\n"), 400, "Host"),
    "two Hosts": (sized(HOST, HOST), 400, "more than once"),
    "an empty Host": (sized(b"Host: \r\n"), 400, "Host"),
    "two names in Host": (sized(b"Host: localhost, evil\r\n"), 400, "Host"),
    "a user in Host": (sized(b"Host: evil@localhost\r\n"), 400, "Host"),
    "a stranger's Host": (sized(b"Host: evil.example\r\n"), 403, "'evil.example'"),
    "a Host that begins like ours": (
        sized(b"Host: localhost.evil.example\r\n"),
        403,
        "unknown host",
    ),
    "a Host that ends like ours": (sized(b"Host: evil-localhost\r\n"), 403, "unknown host"),
    "an address in Host that is not ours": (sized(b"Host: 192.168.0.1\r\n"), 403, "unknown host"),
    # Origin
    "our own Origin": (sized(HOST, b"Origin: http://localhost\r\n"), 200, ""),
    "our Origin with its default port": (sized(HOST, b"Origin: http://localhost:80\r\n"), 200, ""),
    "our Origin and the default port in Host": (
        sized(b"Host: localhost:80\r\n", b"Origin: http://localhost\r\n"),
        200,
        "",
    ),
    "our Origin with a dot": (sized(HOST, b"Origin: http://localhost.\r\n"), 200, ""),
    "our Origin in large letters": (sized(HOST, b"Origin: HTTP://LOCALHOST\r\n"), 200, ""),
    "our Origin in IPv6": (
        sized(b"Host: [0:0::1]:8080\r\n", b"Origin: http://[::1]:8080\r\n"),
        200,
        "",
    ),
    "our Origin with the other scheme's port": (
        sized(HOST, b"Origin: http://localhost:443\r\n"),
        403,
        "",
    ),
    "an Origin with a user": (sized(HOST, b"Origin: http://localhost@evil\r\n"), 403, ""),
    "an Origin with a path": (sized(HOST, b"Origin: http://localhost/\r\n"), 403, ""),
    "a stranger's Origin": (sized(HOST, b"Origin: http://evil.example\r\n"), 403, "is not allowed"),
    "our Origin with another scheme": (sized(HOST, b"Origin: https://localhost\r\n"), 403, ""),
    "our Origin with another port": (sized(HOST, b"Origin: http://localhost:81\r\n"), 403, ""),
    "an Origin that begins like ours": (sized(HOST, b"Origin: http://localhost.evil\r\n"), 403, ""),
    "an Origin that ends like ours": (sized(HOST, b"Origin: http://evil.localhost\r\n"), 403, ""),
    "the Origin of nowhere": (sized(HOST, b"Origin: null\r\n"), 403, "'null'"),
    "two Origins": (
        sized(HOST, b"Origin: http://localhost\r\nOrigin: http://localhost\r\n"),
        400,
        "more than once",
    ),
    # the body
    "two Content-Lengths": (sized(HOST, b"Content-Length: 17\r\n"), 400, "more than once"),
    "a negative Content-Length": (post(HOST, b"Content-Length: -1\r\n"), 400, "not a number"),
    "a signed Content-Length": (post(HOST, b"Content-Length: +17\r\n"), 400, "not a number"),
    "a Content-Length in words": (post(HOST, b"Content-Length: many\r\n"), 400, "not a number"),
    "two numbers as Content-Length": (
        post(HOST, b"Content-Length: 17, 17\r\n"),
        400,
        "not a number",
    ),
    "an endless Content-Length": (post(HOST, b"Content-Length: " + b"9" * 30 + b"\r\n"), 400, ""),
    "a body that is too large": (post(HOST, b"Content-Length: 1048577\r\n"), 413, "1048576"),
    "length and chunks": (chunked(ONE_CHUNK, b"Content-Length: 17\r\n"), 400, "not both"),
    "chunks twice": (chunked(ONE_CHUNK, b"Transfer-Encoding: chunked\r\n"), 400, "more than once"),
    "another encoding": (post(HOST, b"Transfer-Encoding: gzip\r\n"), 501, "'gzip'"),
    "another encoding too": (post(HOST, b"Transfer-Encoding: gzip, chunked\r\n"), 501, ""),
    "chunks in HTTP/1.0": (
        post(HOST, b"Transfer-Encoding: chunked\r\n", first=b"POST %s HTTP/1.0\r\n"),
        400,
        "HTTP/1.0",
    ),
    "a chunk without a size": (chunked(b"\r\nx\r\n0\r\n\r\n"), 400, "its size"),
    "a chunk of a negative size": (chunked(b"-1\r\nx\r\n0\r\n\r\n"), 400, "its size"),
    "a chunk in 0x": (chunked(b"0x1\r\nx\r\n0\r\n\r\n"), 400, "its size"),
    "a chunk that is longer than it says": (chunked(b"1\r\nxy\r\n0\r\n\r\n"), 400, "its size says"),
    "a chunk that is too large": (chunked(b"100001\r\n"), 413, "1048576"),
    "a chunk of an endless size": (chunked(b"f" * 20 + b"\r\n"), 400, "its size"),
    "another Expect": (sized(HOST, b"Expect: cake\r\n"), 417, "100-continue"),
    "another type": (
        sized(HOST).replace(b"application/json", b"text/plain"),
        415,
        "not text/plain",
    ),
    "a type twice": (sized(HOST, JSON), 400, "more than once"),
    "a body that is not JSON": (sized(HOST, body=b"{"), 400, "cannot be decoded"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service of children/svc_probe.py behind a gateway; no test here ends them."""
    site = probe_site(tmp_path_factory.mktemp("probe"), "wsgi")
    try:
        yield site.start()
    finally:
        site.close()


@pytest.mark.parametrize("place", ["service", "gateway"])
@pytest.mark.parametrize("what", TABLE)
def test_a_request_is_answered_or_refused_as_the_table_says(
    site: Site, place: str, what: str
) -> None:
    sent, status, words = TABLE[what]
    port, path = {
        "service": (site.ports["probe"], b"/"),
        "gateway": (site.ports["wsgi"], b"/probe"),
    }[place]
    reply, ended = raw_http(port, sent.replace(b"%s", path))
    assert reply.status == status, reply.body
    if status == 200:
        assert reply.json == {"success": True, "result": None}
        return
    assert words in failure(reply)
    # A refusal by the parser ends the connection: where the next request begins is unknown.
    refused_by_an_application = status in (403, 415) or words in ("cannot be decoded", "not UTF-8")
    assert ended == (not refused_by_an_application)


@pytest.mark.parametrize("sent", [sized(HOST), sized(HOST, UPGRADE), chunked(ONE_CHUNK, UPGRADE)])
def test_two_requests_may_come_at_once(site: Site, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", site.ports["probe"]), PATIENCE) as connection:
        connection.sendall(2 * sent.replace(b"%s", b"/"))
        received = b""
        while received.count(b"null}") < 2:
            received += connection.recv(4096)
        assert received.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("at", range(1, 6))
def test_empty_lines_before_a_request_may_come_in_any_pieces(at: int) -> None:
    """The end of the head was overlooked if its last bytes came alone."""
    sent = b"\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        incoming = Incoming(ours, Limits(header_timeout=0.2))
        theirs.sendall(sent[:-at])
        incoming.read_some(PATIENCE)
        theirs.sendall(sent[-at:])
        assert incoming.head().target == "/"


def test_empty_lines_without_end_are_too_large_a_header(site: Site) -> None:
    reply, ended = raw_http(site.ports["probe"], b"\r\n" * 40_000)
    assert (reply.status, ended) == (431, True)


def test_a_deadline_holds_if_there_is_always_something_to_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        incoming = Incoming(ours, Limits(body_timeout=1e-9))
        theirs.sendall(chunked(b"").replace(b"%s", b"/"))
        head = incoming.head()
        theirs.sendall(ONE_CHUNK)
        with pytest.raises(BadRequest, match="the body of the request did not arrive"):
            incoming.body(head)


@pytest.mark.parametrize("method", [b"BREW", b"get", b"PRI", b"PLAY"])
def test_a_method_that_nobody_knows_is_405(site: Site, method: bytes) -> None:
    reply, ended = raw_http(site.ports["probe"], method + b" / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (reply.status, ended) == (405, False)


def test_a_client_that_expects_100_continue_gets_it(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.ports["probe"]), PATIENCE) as connection:
        head = sized(HOST, b"Expect: 100-continue\r\n").replace(b"%s", b"/").removesuffix(BODY)
        connection.sendall(head)
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert b"200 OK" in connection.recv(4096)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same with short deadlines."""
    limits = {"header_timeout": 0.4, "body_timeout": 0.4, "idle_timeout": 0.4, "send_timeout": 0.4}
    site = probe_site(tmp_path_factory.mktemp("hasty"), "wsgi", **limits)
    try:
        yield site.start()
    finally:
        site.close()


@pytest.mark.parametrize("service", ["probe", "wsgi"])
@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"P", "the header of the request did not arrive within 0.4 s"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n", "the header of the request did not arrive"),
        (sized(HOST).replace(b"%s", b"/")[:-1], "the body of the request did not arrive"),
        (chunked(b"5\r\nab").replace(b"%s", b"/"), "the body of the request did not arrive"),
    ],
    ids=["first line", "header", "body", "chunks"],
)
def test_a_request_that_does_not_arrive_in_time_is_408(
    hasty: Site, service: str, sent: bytes, words: str
) -> None:
    reply, ended = raw_http(hasty.ports[service], sent)
    assert reply.status == 408
    assert words in failure(reply)
    assert ended


def test_single_bytes_do_not_extend_the_deadline(hasty: Site) -> None:
    with socket.create_connection(("127.0.0.1", hasty.ports["probe"]), PATIENCE) as connection:
        connection.settimeout(0.05)
        received = b""
        while not received:
            connection.sendall(b"x")
            try:
                received = connection.recv(4096)
            except TimeoutError:
                pass
        assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("service", ["probe", "wsgi"])
def test_an_idle_connection_is_closed(hasty: Site, service: str) -> None:
    with socket.create_connection(("127.0.0.1", hasty.ports[service]), PATIENCE) as connection:
        assert has_ended(connection)


def test_a_client_that_does_not_read_its_answers_is_disconnected(hasty: Site) -> None:
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(PATIENCE)
        deaf.connect(("127.0.0.1", hasty.ports["probe"]))
        body = b'{"cmd":"echo","args":{"value":"' + b"x" * 500_000 + b'"}}'
        for _ in range(20):
            try:
                deaf.sendall(sized(HOST, body=body).replace(b"%s", b"/"))
            except OSError:
                break  # it was disconnected
        assert hasty.ask("probe", "nothing") is None
        with pytest.raises(OSError):
            while deaf.recv(1 << 20):
                pass
            raise ConnectionResetError("or it was closed")
