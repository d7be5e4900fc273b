"""Passing requests on, byte for byte, over two servers as between a browser and a module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.event import Event
from hops import Hops, MakeHops, Peer, hops_in_this_process
from support import PATIENCE, free_ports

from shmooze.web.environ import WHILE_IT_WAITS
from shmooze.web.limits import Limits
from shmooze.web.server import Server
from shmooze.web.tunnel import Tunnel

GET = b"GET /a%20b?c=d HTTP/1.1\r\nHost: h\r\n\r\n"


def answer(body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    return b"HTTP/%b 200 OK\r\n%b\r\n%b" % (
        version,
        b"".join(each + b"\r\n" for each in headers),
        body,
    )


OK = answer(b"ok", b"Content-Length: 2")
CHUNKS = b"Transfer-Encoding: chunked"


def upload(length: int, *headers: bytes, path: bytes = b"/") -> bytes:
    lines = b"".join(each + b"\r\n" for each in headers)
    return b"POST %b HTTP/1.1\r\nHost: h\r\n%bContent-Length: %d\r\n\r\n" % (path, lines, length)


CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
SOCKET = (
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
)
SWITCHED = b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\n"
#: More than is read as a whole, or fits into the buffers of the system at once.
LARGE = 1 << 17
HUGE = 64 << 20


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def make(request: pytest.FixtureRequest) -> Iterator[MakeHops]:
    """Between servers, requests go over plain connections, or over TLS."""
    with hops_in_this_process(tls=request.param) as make:
        yield make


@pytest.fixture
def hops(make: MakeHops) -> Hops:
    return make()


def head_of(peer: Peer) -> bytes:
    return peer.read_until(b"\r\n\r\n")


def answer_to(client: Peer) -> tuple[int, bytes]:
    """Status and body of an answer with a length."""
    head = head_of(client).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split()[1]), client.read(length)


# What arrives, and what comes back.


def test_target_headers_and_answer_arrive_as_they_were_sent(hops: Hops) -> None:
    sent = b"GET /a%20b;c/%C3%A4?d=%2F&e HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nAccept: a, b\r\n\r\n"
    client, module = hops.ask(sent)
    head = head_of(module)
    assert head.startswith(b"GET /a%20b;c/%C3%A4?d=%2F&e HTTP/1.1\r\nHost: module\r\n")
    assert b"x-one: 1\r\n" in head and b"accept: a, b\r\n" in head
    module.send(
        b"HTTP/1.1 299 My Own\r\nETag: a\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
        b"Content-Length: 2\r\n\r\nok"
    )
    answered = head_of(client)
    assert answered.startswith(b"HTTP/1.1 299 My Own\r\nETag: a\r\nSet-Cookie: a\r\nSet-Cookie: b")
    assert client.read(2) == b"ok"


def test_headers_about_one_connection_end_there(hops: Hops) -> None:
    names = (
        b"Connection: x-a, close",
        b"X-A: 1",
        b"Keep-Alive: 5",
        b"TE: trailers",
        b"Upgrade: h2c",
    )
    sent = b"GET / HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n" % b"\r\n".join(names)
    client, module = hops.ask(sent)
    head = head_of(module).lower()
    for name in (b"x-a", b"keep-alive", b"te:", b"upgrade", b"connection"):
        assert name not in head
    module.send(
        b"HTTP/1.1 200 OK\r\nConnection: x-b, keep-alive\r\nX-B: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Content-Length: 2\r\n\r\nok"
    )
    answered = head_of(client).lower()
    assert b"x-b" not in answered and b"keep-alive" not in answered


def test_headers_of_proxies_and_cookies_with_our_tokens_do_not_pass(hops: Hops) -> None:
    lines = (
        b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-User: root\r\nForwarded: for=1.2.3.4\r\n"
        b"X-Real-IP: 1.2.3.4\r\nCookie: a=b; shmooze_8080=secret; c=d\r\n"
    )
    _, module = hops.ask(b"GET / HTTP/1.1\r\nHost: h\r\n" + lines + b"\r\n")
    head = head_of(module).lower()
    assert b"1.2.3.4" not in head and b"root" not in head
    assert b"cookie: a=b; c=d\r\n" in head
    assert b"secret" not in head


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (OK, b"ok"),
        (answer(b"2\r\nok\r\n0\r\nX: y\r\n\r\n", CHUNKS), b"ok"),
        (answer(b"ok", version=b"1.0"), b"ok"),
        (b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + OK, b"ok"),
        (answer(b"", b"Content-Length: 0"), b""),
        (b"HTTP/1.1 204 No\r\n\r\n", None),
        (b"HTTP/1.1 304 No\r\nContent-Length: 7\r\nETag: a\r\n\r\n", None),
        (OK + answer(b"x", b"Content-Length: 1").replace(b"200", b"500"), b"ok"),
    ],
)
@pytest.mark.parametrize("is_slow", [False, True])
def test_each_way_to_end_an_answer(
    hops: Hops, sent: bytes, seen: bytes | None, is_slow: bool
) -> None:
    client, module = hops.ask(GET)
    head_of(module)
    for piece in [bytes([each]) for each in sent] if is_slow else [sent]:
        try:
            module.send(piece)
        except OSError:
            break  # what comes after the answer is not read
        gevent.sleep(0)
    module.close()
    answered = head_of(client)
    assert b"Link" not in answered
    assert b" 500 " not in answered
    if seen is None:
        assert b"Content-Length" not in answered and b"Transfer-Encoding" not in answered
    elif b"chunked" in answered:
        body = client.read_until(b"0\r\n\r\n")
        assert b"".join(body.split(b"\r\n")[1::2]) == seen
    else:
        assert client.read(len(seen)) == seen
    # The connection carries another request.
    client.send(GET)
    head_of(module := hops.answerer.accept())
    module.send(OK)
    assert answer_to(client) == (200, b"ok")


@pytest.mark.parametrize(
    "length", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""]
)
def test_the_answer_to_a_head_has_no_body(hops: Hops, length: bytes) -> None:
    client, module = hops.ask(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    head_of(module)
    module.send(b"HTTP/1.1 200 OK\r\n%b\r\n" % length)
    assert length.strip() in head_of(client)
    client.send(GET)
    head_of(module := hops.answerer.accept())
    module.send(OK)
    assert answer_to(client) == (200, b"ok")


def test_a_client_of_http_1_0_gets_a_body_that_ends_with_the_connection(hops: Hops) -> None:
    client, module = hops.ask(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
    assert b" HTTP/1.1\r\n" in head_of(module)
    module.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    assert b"chunked" not in head_of(client)
    module.send(b"2\r\nay\r\n0\r\n\r\n")
    assert client.read_to_end() == b"okay"


def test_each_piece_of_an_answer_is_passed_on_at_once(hops: Hops) -> None:
    client, module = hops.ask(GET)
    head_of(module)
    module.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    head_of(client)
    for number in range(3):
        event = b"data: %d\n\n" % number
        module.send(event)
        assert event in client.read_until(event + b"\r\n")


# Answers that are not whole.


@pytest.mark.parametrize(
    ("length", "sent"),
    [
        (b"Content-Length: 9", b"abc"),
        (CHUNKS, b"3\r\nabc\r\n"),
        (CHUNKS, b"3\r\nabc\r\n0\r\n"),
        (CHUNKS, b"3\r\nabc\r\nno chunk\r\n"),
    ],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_an_answer_that_breaks_off_does_not_look_whole(
    hops: Hops, length: bytes, sent: bytes, version: bytes
) -> None:
    client, module = hops.ask(b"GET / HTTP/%b\r\nHost: h\r\n\r\n" % version)
    head_of(module)
    module.send(answer(b"", length))
    head = head_of(client)
    module.send(sent)
    module.close()
    body = client.read_to_end()
    if b"Content-Length: 9" in head:
        assert len(body.removesuffix(b"RESET")) == 3
    elif version == b"1.1":
        assert not body.endswith(b"0\r\n\r\n")
    else:
        assert body.endswith(b"RESET")


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"220 smtp.example.org ready\r\n", b"not valid HTTP"),
        (answer(b"ab", b"Content-Length: 1", b"Content-Length: 2"), b"HTTP"),
        (answer(b"0\r\n\r\n", b"Content-Length: 2", CHUNKS), b"HTTP"),
        (answer(b"ab", b"Transfer-Encoding: gzip"), b"Transfer-Encoding"),
        (answer(b"ab", b"Content-Length: -1"), b"HTTP"),
        (answer(b"", b"X: a\rSet-Cookie: b", b"Content-Length: 0"), b"HTTP"),
        (answer(b"", b"X: a\0b", b"Content-Length: 0"), b"HTTP"),
        (answer(b"", b"X: " + b"a" * (1 << 19)), b"larger"),
        (SWITCHED, b"without being asked"),
    ],
)
def test_what_is_no_answer_is_502_with_the_reason(hops: Hops, sent: bytes, why: bytes) -> None:
    client, module = hops.ask(GET)
    head_of(module)
    gevent.spawn(module.send, sent).link(lambda _: module.close())
    status, body = answer_to(client)
    assert status == 502
    assert body.startswith(b'{"success":false,"error":"the answer of the module ')
    assert why in body


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_a_server_that_hangs_up_is_502(hops: Hops, sent: bytes) -> None:
    client, module = hops.ask(GET)
    head_of(module)
    gevent.spawn(module.send, sent).link(lambda _: module.close())
    assert answer_to(client) == (
        502,
        b'{"success":false,"error":"the module closed the connection without answering"}\n',
    )


def test_a_server_that_does_not_listen_is_502(hops: Hops) -> None:
    hops.answerer.close()
    client = hops.connect()
    client.send(GET)
    assert answer_to(client) == (
        502,
        b'{"success":false,"error":"the module takes no connections"}\n',
    )


def test_a_server_that_says_nothing_for_too_long_is_504(make: MakeHops) -> None:
    hops = make(1, silence=0.05)
    client, module = hops.ask(GET)
    head_of(module)
    assert answer_to(client)[0] == 504
    module.wait_for_end()


def test_an_upload_may_take_longer_than_a_server_may_say_nothing(make: MakeHops) -> None:
    hops = make(1, silence=0.2)
    client, module = hops.ask(upload(LARGE))
    head_of(module)
    for _ in range(8):
        client.send(b"x" * (LARGE // 8))
        module.read(LARGE // 8)
        gevent.sleep(0.05)
    module.send(OK)
    assert answer_to(client) == (200, b"ok")


# Bodies of requests.


@pytest.mark.parametrize("length", [1, LARGE])
def test_a_body_with_a_length_arrives_with_it(hops: Hops, length: int) -> None:
    body = bytes(each % 251 for each in range(length))
    client, module = hops.ask(upload(length) + body)
    assert b"Content-Length: %d\r\n" % length in head_of(module)
    assert module.read(length) == body
    module.send(OK)
    assert answer_to(client) == (200, b"ok")


@pytest.mark.parametrize("length", [100, LARGE])
def test_a_body_may_be_larger_than_that_of_a_command(make: MakeHops, length: int) -> None:
    hops = make(1, max_body=10)
    client, module = hops.ask(upload(length) + b"x" * length)
    head_of(module)
    assert module.read(length) == b"x" * length
    module.send(OK)
    assert answer_to(client) == (200, b"ok")


def test_an_empty_body_is_announced_as_it_was(hops: Hops) -> None:
    _, module = hops.ask(upload(0))
    assert b"Content-Length: 0\r\n" in head_of(module)


def test_a_body_in_chunks_arrives_in_chunks_as_they_come(hops: Hops) -> None:
    client, module = hops.ask(CHUNKED + b"3;a=b\r\nabc\r\n")
    assert b"Transfer-Encoding: chunked\r\n" in head_of(module)
    assert module.read_until(b"abc\r\n") == b"3\r\nabc\r\n"
    client.send(b"2\r\nde\r\n")
    assert module.read_until(b"de\r\n") == b"2\r\nde\r\n"
    client.send(b"0\r\nTrailer: x\r\n\r\n")
    assert module.read_until(b"\r\n\r\n") == b"0\r\n\r\n"
    module.send(OK)
    assert answer_to(client) == (200, b"ok")


def test_an_answer_may_begin_while_the_body_is_still_sent(hops: Hops) -> None:
    client, module = hops.ask(CHUNKED)
    head_of(module)
    module.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert b"Connection: close" in head_of(client)
    for _ in range(3):
        client.send(b"4\r\nping\r\n")
        module.read_until(b"ping\r\n")
        module.send(b"4\r\npong\r\n")
        client.read_until(b"pong\r\n")


def test_a_body_waits_when_nobody_reads_it(hops: Hops) -> None:
    """Nothing keeps it: the client can send no more than what fits into buffers of the system."""
    client, module = hops.ask(upload(HUGE))
    head_of(module)
    sent = 0
    client.connection.settimeout(0.2)  # without progress
    with pytest.raises(TimeoutError):
        while True:
            sent += client.connection.send(b"x" * LARGE)
    assert sent < HUGE // 2


def test_an_early_refusal_reaches_a_client_that_is_still_sending(hops: Hops) -> None:
    client, module = hops.ask(upload(HUGE) + b"x" * LARGE)
    head_of(module)
    sending = gevent.spawn(client.send, b"x" * (HUGE - LARGE))
    module.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
    head = head_of(client)
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in head
    assert client.read(2) == b"no"
    sending.kill()
    module.wait_for_end()


def test_a_connection_with_half_a_request_on_it_is_not_used_again(make: MakeHops) -> None:
    hops = make(1)
    client, module = hops.ask(upload(HUGE) + b"x" * LARGE)
    head_of(module)
    module.send(OK)  # and would take what comes next for the body
    assert answer_to(client) == (200, b"ok")
    _, other = hops.ask(GET)
    assert head_of(other).startswith(b"GET /")


def test_a_connection_on_which_more_came_than_an_answer_is_not_used_again(make: MakeHops) -> None:
    hops = make(1)
    client, module = hops.ask(GET)
    head_of(module)
    module.send(OK + answer(b"x", b"Content-Length: 1"))
    assert answer_to(client) == (200, b"ok")
    client.send(GET)
    head_of(other := hops.answerer.accept())
    other.send(OK)
    assert answer_to(client) == (200, b"ok")


def test_a_client_is_asked_to_continue_with_its_body(hops: Hops) -> None:
    client, module = hops.ask(upload(LARGE, b"Expect: 100-continue"))
    assert b"expect" not in head_of(module).lower()
    assert head_of(client) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"x" * LARGE)
    module.read(LARGE)
    module.send(OK)
    assert answer_to(client) == (200, b"ok")


def test_requests_behind_an_upload_are_answered_in_turn(hops: Hops) -> None:
    requests = upload(LARGE, path=b"/1") + b"x" * LARGE + GET.replace(b"/a", b"/2")
    client, module = hops.ask(requests + GET.replace(b"/a", b"/3"))
    for number in range(1, 4):
        assert b" /%d" % number in head_of(module)
        if number == 1:
            module.read(LARGE)
        module.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n%d" % number)
        module.close()
        assert answer_to(client) == (200, b"%d" % number)
        if number < 3:
            module = hops.answerer.accept()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"zz\r\nabc", 400),
        (b"3\r\nabcd\r\n0\r\n\r\n", 400),
        (b"3\r\nabc\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n", 400),
        (b"-1\r\nabc\r\n0\r\n\r\n", 400),
        (b"3\nabc\n0\n\n", 400),
    ],
)
def test_a_malformed_body_is_refused_and_never_ends_at_the_module(
    make: MakeHops, body: bytes, status: int
) -> None:
    hops = make(1)
    client, module = hops.ask(CHUNKED + body)
    head_of(module)
    arrived = module.read_to_end()
    assert not arrived.endswith(b"0\r\n\r\n")
    assert b"smuggled" not in arrived
    assert answer_to(client)[0] == status
    client.wait_for_end()


@pytest.mark.parametrize(
    "sent",
    [
        CHUNKED.replace(b"Host: h", b"Host: h\r\nContent-Length: 5") + b"0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_goes_no_further(make: MakeHops, sent: bytes) -> None:
    hops = make(1)
    client = hops.connect()
    client.send(sent)
    status, _ = answer_to(client)
    assert status in (400, 501)
    client.wait_for_end()
    assert hops.ends == 0


def test_header_names_with_an_underscore_do_not_pass_for_others(hops: Hops) -> None:
    _, module = hops.ask(b"GET / HTTP/1.1\r\nHost: h\r\nX_Forwarded_For: 1.2.3.4\r\n\r\n")
    assert b"1.2.3.4" not in head_of(module)


def test_a_body_of_a_get_arrives_as_a_body(hops: Hops) -> None:
    hidden = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    sent = GET.replace(b"Host: h", b"Host: h\r\nContent-Length: %d" % len(hidden))
    client, module = hops.ask(sent + hidden)
    assert b"Content-Length: %d\r\n" % len(hidden) in head_of(module)
    assert module.read(len(hidden)) == hidden
    module.send(OK)
    answer_to(client)


# Connections that are used again.


def test_a_connection_is_used_for_the_next_request(hops: Hops) -> None:
    client, module = hops.ask(GET)
    for _ in range(3):
        head_of(module)
        module.send(OK)
        assert answer_to(client) == (200, b"ok")
        client.send(GET)
    head_of(module)


def test_a_request_is_sent_again_if_a_kept_connection_has_ended(make: MakeHops) -> None:
    hops = make(1)
    client, module = hops.ask(GET)
    head_of(module)
    module.send(OK)
    answer_to(client)
    client.send(GET)
    head_of(module)
    module.reset()  # as if it had timed out just then
    again = hops.answerer.accept()
    head_of(again)
    again.send(OK)
    assert answer_to(client) == (200, b"ok")


def test_a_request_with_a_body_is_never_sent_again(make: MakeHops) -> None:
    hops = make(1)
    client, module = hops.ask(GET)
    head_of(module)
    module.send(OK)
    answer_to(client)
    client.send(upload(1) + b"x")
    other = hops.answerer.accept()
    head_of(other)
    other.reset()
    assert answer_to(client)[0] == 502


# Clients that leave.


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("body", [0, 1, LARGE])
def test_a_client_that_leaves_while_it_waits_ends_its_request(
    hops: Hops, how: str, body: int
) -> None:
    client, module = hops.ask(upload(body) + b"x" * body)
    head_of(module)
    module.read(body)
    getattr(client, how)()
    module.wait_for_end()
    hops.all_over.wait()


def test_a_client_that_has_sent_more_is_seen_to_leave(hops: Hops) -> None:
    client, module = hops.ask(GET + GET)
    head_of(module)
    gevent.sleep(0)
    client.close()
    module.wait_for_end()
    hops.all_over.wait()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_within_the_answer_ends_it(hops: Hops, how: str) -> None:
    client, module = hops.ask(GET)
    head_of(module)
    module.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab")
    head_of(client)
    getattr(client, how)()
    module.wait_for_end()
    hops.all_over.wait()


def test_a_client_that_leaves_within_its_body_ends_it(hops: Hops) -> None:
    client, module = hops.ask(upload(HUGE) + b"x" * LARGE)
    head_of(module)
    module.read(LARGE)
    client.close()
    assert module.read_to_end() in (b"", b"RESET")
    hops.all_over.wait()


@pytest.mark.parametrize("body", [b"", b"x" * LARGE])
def test_a_client_that_leaves_while_nobody_reads_its_body_is_noticed(
    make: MakeHops, body: bytes
) -> None:
    """As one that waits in line for a module."""
    begun, over = Event(), Event()

    class Waits:
        def is_streamed(self, path: str) -> bool:
            return True

        def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
            try:
                with environ[WHILE_IT_WAITS]():
                    begun.set()
                    Event().wait()
            finally:
                over.set()
            return []

    (port,) = free_ports(1)
    server = Server("127.0.0.1", port, Waits(), Limits())
    server.start()
    try:
        client = Peer(socket.create_connection(("127.0.0.1", port)))
        client.send(upload(2 * LARGE) + body)
        begun.wait()
        client.close()
        over.wait()
    finally:
        server.stop()


def test_a_client_that_is_too_slow_with_its_body_is_told(make: MakeHops) -> None:
    hops = make(1, body_timeout=0.05)
    client, module = hops.ask(upload(LARGE) + b"x")
    head_of(module)
    assert answer_to(client)[0] == 408
    module.wait_for_end()


def test_a_client_that_does_not_read_ends_its_request(make: MakeHops) -> None:
    hops = make(1, send_timeout=0.05)
    client, module = hops.ask(GET)
    head_of(module)
    with pytest.raises(OSError):
        module.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE + b"x" * HUGE)
    hops.all_over.wait()
    client.close()


def test_a_slow_upload_makes_room_for_a_new_client(make: MakeHops) -> None:
    hops = make(1, max_connections=1)
    _, module = hops.ask(upload(LARGE) + b"x")
    head_of(module)
    module.read(1)
    second, other = hops.ask(GET)
    head_of(other)
    other.send(OK)
    assert answer_to(second) == (200, b"ok")
    module.wait_for_end()


def test_a_request_that_waits_for_its_answer_makes_no_room(make: MakeHops) -> None:
    hops = make(1, max_connections=1)
    first, module = hops.ask(GET)
    head_of(module)
    second = hops.connect()
    second.send(GET)
    assert answer_to(second)[0] == 503
    module.send(OK)
    assert answer_to(first) == (200, b"ok")


def test_a_stop_lets_answers_end_but_no_streams(make: MakeHops) -> None:
    hops = make(1)
    client, module = hops.ask(GET)
    head_of(module)
    stream, source = hops.ask(GET)
    head_of(source)
    source.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    module.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")
    head_of(stream)
    head_of(client)
    hops.servers[0].stop_listening()
    source.wait_for_end()
    module.send(b"ay")
    assert client.read(4) == b"okay"


# WebSockets.


@pytest.fixture
def tunnel(hops: Hops) -> tuple[Peer, Peer]:
    client, module = hops.ask(SOCKET)
    head_of(module)
    module.send(SWITCHED)
    head_of(client)
    return client, module


def test_a_websocket_passes_with_its_headers(hops: Hops) -> None:
    client, module = hops.ask(SOCKET)
    head = head_of(module)
    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in head
    module.send(SWITCHED)
    head = head_of(client)
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n")
    assert b"\r\nX: y\r\n" in head
    for _ in range(3):
        client.send(b"ping")
        assert module.read(4) == b"ping"
        module.send(b"pong")
        assert client.read(4) == b"pong"


def test_what_is_sent_together_with_the_request_and_with_the_answer_arrives(hops: Hops) -> None:
    client, module = hops.ask(SOCKET + b"first")
    head_of(module)
    module.send(SWITCHED + b"hello")
    head_of(client)
    assert client.read(5) == b"hello"
    assert module.read(5) == b"first"


def test_messages_wait_for_a_side_that_does_not_read() -> None:
    """And then go on, in both directions, though neither side has taken all at once."""
    pairs = [socket.socketpair() for _ in range(2)]
    with gevent.Timeout(PATIENCE):
        tunnel = Tunnel(pairs[0][1], pairs[1][1])
        running = gevent.spawn(tunnel.run)
        sides = [Peer(pair[0]) for pair in pairs]
        sending = [gevent.spawn(each.send, b"x" * (4 << 20)) for each in sides]
        gevent.idle()
        assert all(sending), "nothing moves any more"
        reading = [gevent.spawn(each.read, 4 << 20) for each in sides]
        gevent.joinall([*sending, *reading], raise_error=True)
        for each in sides:
            each.close()
        running.join()
    for pair in pairs:
        pair[1].close()


def test_a_tunnel_ends_when_it_may_not_pass_on_any_more() -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    may_pass = [True, False]
    with gevent.Timeout(PATIENCE):
        running = gevent.spawn(Tunnel(pairs[0][1], pairs[1][1], lambda: may_pass.pop(0)).run)
        pairs[0][0].sendall(b"one")
        assert pairs[1][0].recv(100) == b"one"
        pairs[0][0].sendall(b"two")
        running.join()
    for each in (end for pair in pairs for end in pair):
        each.close()


def test_a_side_that_has_ended_still_gets_the_rest(tunnel: tuple[Peer, Peer]) -> None:
    client, module = tunnel
    client.connection.shutdown(1)
    assert module.read_to_end() == b""
    module.send(b"bye")
    module.close()
    assert client.read_to_end() == b"bye"


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("who", [0, 1])
def test_either_side_ends_a_websocket(
    hops: Hops, tunnel: tuple[Peer, Peer], how: str, who: int
) -> None:
    getattr(tunnel[who], how)()
    tunnel[1 - who].wait_for_end()
    tunnel[1 - who].close()
    hops.all_over.wait()


def test_a_websocket_makes_room_for_a_new_client(make: MakeHops) -> None:
    hops = make(1, max_connections=1)
    client, module = hops.ask(SOCKET)
    head_of(module)
    module.send(SWITCHED)
    head_of(client)
    second, other = hops.ask(GET)
    head_of(other)
    other.send(OK)
    assert answer_to(second) == (200, b"ok")
    client.wait_for_end()
    module.wait_for_end()


def test_a_stop_ends_websockets(hops: Hops, tunnel: tuple[Peer, Peer]) -> None:
    hops.servers[-1].stop_listening()
    for each in tunnel:
        each.wait_for_end()
        each.close()
    hops.all_over.wait()


def test_a_refused_websocket_is_an_ordinary_answer(hops: Hops) -> None:
    client, module = hops.ask(SOCKET)
    head_of(module)
    module.send(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    assert answer_to(client) == (403, b"no")
    client.send(GET)
    assert head_of(module).startswith(b"GET /a")


@pytest.mark.parametrize(
    "sent",
    [
        SOCKET.replace(b"WebSocket", b"h2c"),
        SOCKET.replace(b"keep-alive, Upgrade", b"keep-alive"),
        SOCKET.replace(b"HTTP/1.1", b"HTTP/1.0"),
        SOCKET.replace(b"GET", b"POST"),
        SOCKET.replace(b"Host: h\r\n", b"Host: h\r\nContent-Length: 1\r\n") + b"x",
        SOCKET.replace(b"Host: h\r\n", b"Host: h\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
    ],
)
def test_no_other_protocol_is_switched_to(hops: Hops, sent: bytes) -> None:
    client, module = hops.ask(sent)
    assert b"upgrade" not in head_of(module).lower()
    module.send(SWITCHED)
    assert answer_to(client)[0] == 502
