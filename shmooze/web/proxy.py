"""Passing a request on: to a service by the gateway, to a module's own server by its service.

Bodies stream in both directions. What switches protocols, such as a WebSocket, becomes a tunnel.
When the client leaves, the connection to the upstream server is closed, and the other way round.
"""

from __future__ import annotations

import http
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import gevent

from shmooze.lib import packet
from shmooze.web.answers import REFUSAL_HEADERS
from shmooze.web.environ import TAKE_OVER, TARGET, WHILE_IT_WAITS
from shmooze.web.head import BadRequest
from shmooze.web.reply import BrokenReply
from shmooze.web.request import HungUp, RequestBody
from shmooze.web.tunnel import Tunnel
from shmooze.web.upstream import Exchange, Headers, Upstream

log = logging.getLogger(__name__)

#: Headers that are about one connection, and those that we set ourselves.
_NOT_PASSED = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
    *("te", "trailer", "transfer-encoding", "upgrade", "expect", "content-length", "host"),
    *("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
    "x-forwarded-prefix",
}
#: Methods whose requests may be sent again.
_REPEATABLE = ("GET", "HEAD", "OPTIONS")

StartResponse = Callable[..., Any]


@dataclass
class Passing:
    """How one request is passed on."""

    upstream: Upstream
    #: Path and query, as they are sent on.
    target: str
    #: Headers of the request, without those about its connection.
    headers: Headers
    #: Who is asked, as the subject of a sentence.
    name: str
    #: The body, if it was read already.
    body: bytes | None = None
    #: Changes the headers of the answer.
    edit: Callable[[Headers], Headers] = lambda headers: headers
    #: Called once, when all is over.
    on_end: Callable[[], None] = lambda: None
    #: The time that the upstream server may take to begin its answer, in words.
    within: str = field(default="in time")


def headers_of(environ: dict[str, Any]) -> dict[str, str]:
    """The headers of a request that may be passed on, by name in lower case."""
    dropped = {each.strip().lower() for each in environ.get("HTTP_CONNECTION", "").split(",")}
    found = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    if content_type := environ.get("CONTENT_TYPE"):
        found["content-type"] = content_type
    return {
        name: value
        for name, value in found.items()
        if name not in _NOT_PASSED and name not in dropped
    }


def target_of(environ: dict[str, Any], segments: int) -> str:
    """Path and query as they were sent, without the first segments of the path."""
    target = environ.get(TARGET)
    if target is None:  # another server, which has decoded them
        target = quote(environ.get("PATH_INFO", ""), encoding="latin-1")
        if query := environ.get("QUERY_STRING"):
            target = f"{target}?{query}"
    path, mark, query = target.partition("?")
    return "/" + "/".join(path.split("/")[segments + 1 :]) + mark + query


def refuse(
    start_response: StartResponse, status: int, message: str, *headers: tuple[str, str]
) -> list[bytes]:
    """Answer with a failure packet."""
    body = packet.encode(packet.error(message))
    length = ("Content-Length", str(len(body)))
    phrase = http.HTTPStatus(status).phrase
    start_response(f"{status} {phrase}", [*REFUSAL_HEADERS.items(), length, *headers])
    return [body]


def pass_on(
    environ: dict[str, Any], start_response: StartResponse, passing: Passing
) -> Iterable[bytes]:
    """Pass a request on, and answer as the upstream server does; 502 or 504 where it does not."""
    request = _Request(environ, passing)
    is_taken = False
    try:
        waiting = environ.get(WHILE_IT_WAITS, nullcontext)
        with waiting():
            exchange = request.send()
        if exchange.status == 101:
            answer: Iterable[bytes] = _switch(environ, start_response, request)
        else:
            start_response(_status_line(exchange), _answer_headers(exchange, passing))
            answer = PassedOn(request)
        is_taken = True
        return answer
    except BadRequest as bad:
        return refuse(start_response, bad.status, str(bad), ("Connection", "close"))
    except TimeoutError:
        log.warning("%s did not answer %s", passing.name, passing.within)
        return refuse(start_response, 504, f"{passing.name} did not answer {passing.within}")
    except ConnectionRefusedError:
        return refuse(start_response, 502, f"{passing.name} takes no connections")
    except OSError as broken:
        log.warning("%s broke off: %s", passing.name, broken)
        return refuse(start_response, 502, f"{passing.name} broke off without an answer")
    finally:
        if not is_taken:
            request.close()


class _Request:
    """One request on its way, and the answer to it."""

    def __init__(self, environ: dict[str, Any], passing: Passing) -> None:
        self._environ, self.passing = environ, passing
        self._method = environ["REQUEST_METHOD"]
        self.exchange: Exchange | None = None
        self._pump: gevent.Greenlet | None = None
        #: What is wrong with the client's body, once that is known.
        self._fault: Exception | None = None
        self._is_closed = False

    def send(self) -> Exchange:
        """Send it, and wait for the head of the answer. Raises OSError; BadRequest or HungUp for
        what the client does wrong.
        """
        can_repeat = self._method in _REPEATABLE and not self._body_exists()
        self.exchange = exchange = self.passing.upstream.open(can_repeat)
        try:
            self._send_head(exchange)
            exchange.read_head()
        except TimeoutError:
            raise
        except OSError:
            if self._fault is not None:
                raise self._fault from None
            if not exchange.is_used:
                raise
            # The server has closed a connection that was kept for it.
            exchange.connection.close()
            self.exchange = exchange = self.passing.upstream.open(can_repeat=False)
            self._send_head(exchange)
            exchange.read_head()
        return exchange

    def _send_head(self, exchange: Exchange) -> None:
        passing, environ = self.passing, self._environ
        headers = [*passing.headers]
        upgrade = environ.get("HTTP_UPGRADE")
        if upgrade and "upgrade" in environ.get("HTTP_CONNECTION", "").lower():
            headers += [("Connection", "Upgrade"), ("Upgrade", upgrade)]
        body = passing.body
        if body is not None:
            headers.append(("Content-Length", str(len(body))))
        elif self._body_exists():
            length = environ.get("CONTENT_LENGTH")
            framing = ("Transfer-Encoding", "chunked") if length is None else None
            headers.append(framing or ("Content-Length", str(length)))
        exchange.send_head(self._method, passing.target, headers)
        if body is not None:
            exchange.connection.sendall(body)
        elif self._body_exists():
            self._pump = gevent.spawn(self._send_body, exchange)

    def _body_exists(self) -> bool:
        if self.passing.body is not None:
            return True
        body = self._environ.get("wsgi.input")
        if isinstance(body, RequestBody):
            return body.exists
        return bool(self._environ.get("CONTENT_LENGTH", "0").strip("0"))

    def _send_body(self, exchange: Exchange) -> None:
        is_chunked = self._environ.get("CONTENT_LENGTH") is None
        try:
            for piece in self._body_pieces():
                exchange.connection.sendall(
                    b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
                )
            if is_chunked:
                exchange.connection.sendall(b"0\r\n\r\n")
        except (BadRequest, HungUp) as fault:
            self._fault = fault
            exchange.abort()
        except OSError:
            pass  # it has had enough, and may have said why

    def _body_pieces(self) -> Iterator[bytes]:
        body = self._environ["wsgi.input"]
        if isinstance(body, RequestBody):
            yield from body.pieces()
            return
        left = int(self._environ["CONTENT_LENGTH"])
        while left and (piece := body.read(min(left, 1 << 16))):
            left -= len(piece)
            yield piece

    def close(self) -> None:
        """Let go of all. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._pump is not None:
            self._pump.kill()  # it reads from the connection of the client
        if self.exchange is not None:
            self.exchange.close()
        self.passing.on_end()


class PassedOn:
    """The body of an answer, as it comes."""

    #: See Response.
    is_streamed = True

    def __init__(self, request: _Request) -> None:
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        assert self._request.exchange is not None
        try:
            yield from self._request.exchange.pieces()
        except OSError as broken:
            log.warning("%s broke off within its answer: %s", self._request.passing.name, broken)
            raise HungUp from broken  # the client must not take it for whole

    def close(self) -> None:
        self._request.close()


class _Switched:
    """What goes on with a connection that has switched protocols."""

    def __init__(self, head: bytes, request: _Request) -> None:
        self._head, self._request = head, request

    def run(self, client: Any, rest: bytes) -> None:
        exchange = self._request.exchange
        assert exchange is not None
        client.settimeout(None)
        client.sendall(self._head)
        Tunnel(client, exchange.connection).run(rest, exchange.surplus)

    def close(self) -> None:
        self._request.close()


def _switch(
    environ: dict[str, Any], start_response: StartResponse, request: _Request
) -> list[bytes]:
    exchange = request.exchange
    assert exchange is not None
    lines = "".join(f"{name}: {value}\r\n" for name, value in exchange.headers)
    head = f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode("latin-1")
    take_over = environ.get(TAKE_OVER)
    if take_over is None:
        request.close()
        return refuse(start_response, 501, "this server cannot switch protocols")
    take_over(_Switched(head, request))
    return []


def _status_line(exchange: Exchange) -> str:
    try:
        return f"{exchange.status} {http.HTTPStatus(exchange.status).phrase}"
    except ValueError:
        return f"{exchange.status} {exchange.reason or 'Unknown'}"


def _answer_headers(exchange: Exchange, passing: Passing) -> Headers:
    dropped = {
        each.strip().lower()
        for name, value in exchange.headers
        if name == "connection"
        for each in value.split(",")
    } | (_NOT_PASSED - {"content-length"})
    lengths = {value for name, value in exchange.headers if name == "content-length"}
    if len(lengths) > 1:
        raise BrokenReply("it has two lengths")
    has_body = exchange.status not in (204, 304)
    headers = [
        (name.title(), value)
        for name, value in exchange.headers
        if name not in dropped and name != "content-length"
    ]
    if lengths and has_body:
        headers.append(("Content-Length", lengths.pop()))
    return passing.edit(headers)
