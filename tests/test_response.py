"""What becomes of a WSGI application's answer: byte for byte, without a network."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from shmooze.web.environ import fill_environ
from shmooze.web.head import Head
from shmooze.web.response import PIECE, ApplicationError, Response

DATE = ("Date", "now")


class Recorder:
    """A transport that keeps what is sent."""

    def __init__(self, is_stopping: bool = False) -> None:
        self.is_stopping = is_stopping
        self.pieces: list[bytes] = []
        self.streams = 0

    def send(self, data: bytes | memoryview) -> None:
        self.pieces.append(bytes(data))

    def while_streaming(self) -> AbstractContextManager[None]:
        self.streams += 1
        return nullcontext()

    @property
    def sent(self) -> bytes:
        return b"".join(self.pieces)


def respond(
    recorder: Recorder,
    result: Iterable[bytes],
    *headers: tuple[str, str],
    status: str = "200 OK",
    method: str = "GET",
    version: str = "HTTP/1.1",
    **request_headers: str,
) -> Response:
    """Have an application answer with this."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, [DATE, *headers])
        return result

    response = Response(recorder, Head(method, "/", version, request_headers))
    response.run(application, {})
    return response


@pytest.mark.parametrize(
    ("result", "headers", "options", "sent", "keeps_alive"),
    [
        ([b"a", b"", b"bc"], [], {}, b"Content-Length: 3\r\n\r\nabc", True),
        ([], [], {}, b"Content-Length: 0\r\n\r\n", True),
        ([b"ab"], [("Content-Length", "2")], {}, b"Content-Length: 2\r\n\r\nab", True),
        (
            iter([b"ab", b"", b"c"]),
            [],
            {},
            b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            True,
        ),
        (iter([]), [], {}, b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True),
        (iter([b"ab"]), [], {"version": "HTTP/1.0"}, b"Connection: close\r\n\r\nab", False),
        (
            [b"ab"],
            [],
            {"version": "HTTP/1.0", "connection": "keep-alive"},
            b"Content-Length: 2\r\nConnection: keep-alive\r\n\r\nab",
            True,
        ),
        (
            iter([b"ab"]),
            [],
            {"version": "HTTP/1.0", "connection": "keep-alive"},
            b"Connection: close\r\n\r\nab",
            False,
        ),
        (
            [b"ab"],
            [],
            {"connection": "close"},
            b"Content-Length: 2\r\nConnection: close\r\n\r\nab",
            False,
        ),
        (
            [b"ab"],
            [("connection", "Close")],
            {},
            b"connection: Close\r\nContent-Length: 2\r\n\r\nab",
            False,
        ),
        ([b"ab"], [], {"method": "HEAD"}, b"Content-Length: 2\r\n\r\n", True),
        (iter([b"ab"]), [], {"method": "HEAD"}, b"Transfer-Encoding: chunked\r\n\r\n", True),
        ([], [("Content-Length", "2")], {"method": "HEAD"}, b"Content-Length: 2\r\n\r\n", True),
        ([], [], {"status": "204 No Content"}, b"\r\n", True),
        (iter([]), [], {"status": "304 Not Modified"}, b"\r\n", True),
    ],
)
def test_the_end_of_a_body_can_be_found(
    result: Iterable[bytes],
    headers: list[tuple[str, str]],
    options: dict[str, str],
    sent: bytes,
    keeps_alive: bool,
) -> None:
    recorder = Recorder()
    response = respond(recorder, result, *headers, **options)
    status = options.get("status", "200 OK").encode()
    assert recorder.sent == b"HTTP/1.1 " + status + b"\r\nDate: now\r\n" + sent
    assert response.keeps_alive == keeps_alive


class Once:
    """An iterator that knows how many pieces it has."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[bytes]:
        while self._pieces:
            yield self._pieces.pop(0)


def test_a_result_that_can_be_read_once_is_not_read_for_its_length() -> None:
    recorder = Recorder()
    respond(recorder, Once(b"ab", b"c"))
    assert recorder.sent.endswith(b"\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")


@pytest.mark.parametrize("kind", ["text/event-stream", "Text/Event-Stream; charset=utf-8"])
def test_an_event_stream_is_an_answer_without_end(kind: str) -> None:
    recorder = Recorder()
    respond(recorder, iter([b"data: 1\n\n"]), ("Content-Type", kind))
    assert recorder.streams == 1


@pytest.mark.parametrize(
    ("version", "connection", "keeps_alive"),
    [
        ("HTTP/1.1", "keep-alive, close", False),
        ("HTTP/1.0", "keep-alive, close", False),
        ("HTTP/1.0", "Keep-Alive", True),
        ("HTTP/1.0", "", False),
    ],
)
def test_a_client_that_says_close_is_not_kept(
    version: str, connection: str, keeps_alive: bool
) -> None:
    response = respond(Recorder(), [], version=version, connection=connection)
    assert response.keeps_alive == keeps_alive


def test_head_and_small_body_leave_together() -> None:
    recorder = Recorder()
    respond(recorder, [b"ab"])
    assert len(recorder.pieces) == 1


def test_a_large_body_leaves_in_pieces() -> None:
    for result in ([b"x" * (2 * PIECE + 1)], iter([b"x" * (2 * PIECE + 1)])):
        recorder = Recorder()
        respond(recorder, result)
        assert recorder.sent.count(b"x") == 2 * PIECE + 1
        assert len(recorder.pieces) <= 4
        assert max(map(len, recorder.pieces)) <= PIECE + 200


def test_a_server_that_stops_takes_no_further_request() -> None:
    recorder = Recorder(is_stopping=True)
    assert not respond(recorder, []).keeps_alive
    assert b"Connection: close\r\n" in recorder.sent


def test_a_date_is_added() -> None:
    recorder = Recorder()
    response = Response(recorder, Head("GET", "/", "HTTP/1.1", {}))
    response.run(lambda _, start: start("200 OK", []) and [], {})
    assert b"\r\nDate: " in recorder.sent
    assert b" GMT\r\n" in recorder.sent


@pytest.mark.parametrize(
    ("result", "headers", "status"),
    [
        ([b"ab"], [("Content-Length", "1")], "200 OK"),
        ([b"ab"], [("Content-Length", "many")], "200 OK"),
        ([b"ab"], [("Content-Length", "+2")], "200 OK"),
        ([b"x" * 10], [("Content-Length", "1_0")], "200 OK"),
        ([b"ab"], [("Content-Length", "2"), ("content-length", "2")], "200 OK"),
        ([b"ab"], [("Transfer-Encoding", "chunked")], "200 OK"),
        ([b"ab"], [], "204 No Content"),
        (iter([b"ab"]), [], "304 Not Modified"),
        ([], [("Content-Length", "1")], "204 No Content"),
        (["ab"], [], "200 OK"),
        ([], [("X", "y\r\nZ: z")], "200 OK"),
        ([], [("X\n", "y")], "200 OK"),
        ([], [("X", "y\0")], "200 OK"),
        ([], [("X", "\u20ac")], "200 OK"),
        ([], [("X", 5)], "200 OK"),
        ([], [], "200 OK\r\nX: y"),
        ([], [], "OK"),
        ([], [], None),
    ],
)
def test_nothing_is_sent_of_an_answer_that_breaks_the_rules(
    result: Iterable[bytes], headers: list[tuple[str, str]], status: str
) -> None:
    recorder = Recorder()
    with pytest.raises(ApplicationError):
        respond(recorder, result, *headers, status=status)
    assert recorder.sent == b""


class Result:
    """The pieces of an answer, which notes that it was closed."""

    def __init__(self, work: Callable[[], Iterator[bytes]]) -> None:
        self._work = work
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self._work()

    def close(self) -> None:
        self.is_closed = True


def test_a_result_is_closed_whatever_happens() -> None:
    def fail() -> Iterator[bytes]:
        yield b"a"
        raise LookupError

    for result in (Result(lambda: iter([b"a"])), Result(fail)):
        try:
            respond(Recorder(), result)
        except LookupError:
            pass
        assert result.is_closed


def run(application: Any) -> Recorder:
    recorder = Recorder()
    Response(recorder, Head("GET", "/", "HTTP/1.1", {})).run(application, {})
    return recorder


def test_an_answer_may_be_replaced_until_it_is_sent() -> None:
    def application(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [DATE])
        try:
            raise LookupError
        except LookupError as error:
            start_response("500 Oh", [DATE], (type(error), error, error.__traceback__))
        return [b"no"]

    assert run(application).sent.startswith(b"HTTP/1.1 500 Oh\r\n")


def test_an_answer_that_has_begun_cannot_be_replaced() -> None:
    def application(_: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [DATE])
        yield b"yes"
        error = LookupError()
        start_response("500 Oh", [DATE], (LookupError, error, None))

    with pytest.raises(LookupError):
        run(application)


def test_an_answer_begins_once() -> None:
    def twice(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    def never(_: Any, __: Any) -> list[bytes]:
        return [b"a"]

    for application in (twice, never):
        with pytest.raises(ApplicationError):
            run(application)


def test_a_body_may_be_written_by_the_function_that_wsgi_has_for_it() -> None:
    def application(_: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [DATE])
        write(b"ab")
        return [b"c"]

    body = run(application).sent.partition(b"\r\n\r\n")[2]
    assert body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"


def test_environment_and_answer_keep_to_wsgi() -> None:
    head = Head("POST", "/a%20b?c", "HTTP/1.1", {"host": "a:80", "content-length": "4", "x-y": "z"})
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    fill_environ(environ, head, b"abcd", ("127.0.0.1", 5))

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        names = ("PATH_INFO", "QUERY_STRING", "HTTP_X_Y", "CONTENT_LENGTH", "REMOTE_PORT")
        values = " ".join(environ[name] for name in names)
        return [environ["wsgi.input"].read(4), values.encode()]

    environ["wsgi.errors"] = io.StringIO()
    recorder = Recorder()
    Response(recorder, head).run(validator(application), environ)
    assert recorder.sent.endswith(b"\r\n4\r\nabcd\r\nc\r\n/a b c z 4 5\r\n0\r\n\r\n")


@pytest.mark.parametrize("body", [b"", b"abcd"])
def test_an_application_does_not_see_that_a_body_came_in_chunks(body: bytes) -> None:
    head = Head("POST", "/", "HTTP/1.1", {"host": "a", "transfer-encoding": "chunked"})
    environ: dict[str, Any] = {}
    fill_environ(environ, head, body, ("127.0.0.1", 5))
    assert environ["CONTENT_LENGTH"] == str(len(body))
    assert "HTTP_TRANSFER_ENCODING" not in environ
