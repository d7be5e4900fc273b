"""Passing a request on: to a service by the gateway, to a module's own server by its service.

Bodies stream in both directions. A WebSocket becomes a tunnel. When the client leaves, the
connection to the upstream server is closed, and the other way round.
"""

from __future__ import annotations

import http
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any
from urllib.parse import quote

from shmooze.lib import packet
from shmooze.web.answers import REFUSAL_HEADERS
from shmooze.web.body import HungUp
from shmooze.web.environ import HEADERS, IS_VALID, SWITCHES, TARGET, WHILE_IT_WAITS
from shmooze.web.exchange import Exchange, Headers
from shmooze.web.forwarding import Forwarding, Passing, wants_websocket
from shmooze.web.head import BadRequest
from shmooze.web.reply import BrokenReply, NoReply
from shmooze.web.route import SECRET_HEADER
from shmooze.web.tunnel import Tunnel

log = logging.getLogger(__name__)

#: Headers that are about one connection.
_OF_CONNECTION = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
    *("te", "trailer", "transfer-encoding", "upgrade", "expect", "content-length"),
}
#: Headers of a request that we set ourselves, or that a server would believe of a proxy. So are
#: those that begin with _FORWARDED.
_OF_PROXIES = {"host", "forwarded", "x-real-ip", "x-original-url", "x-rewrite-url"}
_FORWARDED = "x-forwarded-"
_NOT_PASSED = _OF_CONNECTION | _OF_PROXIES | {SECRET_HEADER.lower()}
#: How the names of the cookies begin that hold our tokens.
_OUR_COOKIES = "shmooze_"

StartResponse = Callable[..., Any]


def headers_of(environ: dict[str, Any]) -> dict[str, str]:
    """The headers of a request that may be passed on, by name in lower case.

    Cookies that hold tokens of ours are left out.
    """
    found = environ.get(HEADERS)
    if found is None:  # another server
        found = {
            name[5:].replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        if content_type := environ.get("CONTENT_TYPE"):
            found["content-type"] = content_type
    dropped = _options(found.get("connection", ""))
    headers = {
        name: value
        for name, value in found.items()
        if name not in _NOT_PASSED and name not in dropped and not name.startswith(_FORWARDED)
    }
    if (cookies := headers.pop("cookie", None)) and (cookies := _without_ours(cookies)):
        headers["cookie"] = cookies
    return headers


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
    forwarding: Forwarding | None = None
    name, is_open = passing.name, False
    try:
        if SWITCHES not in environ and wants_websocket(environ):
            return refuse(start_response, 501, "this WSGI server does not support WebSockets")
        forwarding = Forwarding(environ, passing)
        with environ.get(WHILE_IT_WAITS, nullcontext)():
            exchange = forwarding.send()
        if exchange.status == 101:
            answer: Any = _switch(environ, forwarding, exchange)
        else:
            headers = passing.edit(_answer_headers(exchange))
            start_response(_status_line(exchange), headers)
            answer = _answer(forwarding, exchange)
        is_open = not isinstance(answer, list)
        return answer
    except BadRequest as bad:
        return refuse(start_response, bad.status, str(bad), ("Connection", "close"))
    except TimeoutError:
        words = f"{name} did not answer {passing.within}{_because(passing.find_reason(False))}"
        log.warning("%s", words)
        return refuse(start_response, 504, words)
    except ConnectionRefusedError:
        return _refuse_gone(start_response, passing, passing.absent)
    except OSError as broken:
        if isinstance(broken, BrokenReply) and not isinstance(broken, NoReply):
            log.warning("%s: the answer cannot be passed on: %s", name, broken)
            words = f"the answer of {name} cannot be passed on: {broken}"
            return refuse(start_response, 502, words)
        log.warning("%s closed the connection without answering: %s", name, broken)
        return _refuse_gone(start_response, passing, "closed the connection without answering")
    finally:
        if not is_open:
            (passing.on_end if forwarding is None else forwarding.close)()


class PassedOn:
    """The body of an answer, as it comes."""

    #: See Response.
    is_streamed = True

    def __init__(self, forwarding: Forwarding, exchange: Exchange) -> None:
        self._forwarding, self._exchange = forwarding, exchange
        self.take = exchange.take

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._exchange.pieces()
        except OSError as broken:
            name = self._forwarding.passing.name
            log.warning("%s ended in the middle of its answer: %s", name, broken)
            raise HungUp from broken  # the client must not take it for whole

    def close(self) -> None:
        self._forwarding.close()


class Switched:
    """A WebSocket, which goes on with the connection of its client."""

    #: See Response.
    takes_over = True

    def __init__(
        self,
        upstream: Any,
        begin: bytes,
        is_open: Callable[[], bool],
        on_end: Callable[[], None],
    ) -> None:
        self._upstream, self._begin = upstream, begin
        self._is_open, self._on_end = is_open, on_end

    def run(self, client: Any, rest: bytes) -> None:
        tunnel = Tunnel(client, self._upstream, self._is_open)
        begin, self._begin = self._begin, b""
        tunnel.run(rest, begin)

    def close(self) -> None:
        self._upstream.close()
        self._on_end()


def _refuse_gone(start_response: StartResponse, passing: Passing, words: str) -> list[bytes]:
    """Answer for a server that has gone, as it seems: with the reason, if that is known."""
    reason = passing.find_reason(True)
    return refuse(start_response, 502, f"{passing.name} {words}{_because(reason)}")


def _because(reason: str) -> str:
    return reason and f": it {reason}"


def _switch(environ: dict[str, Any], forwarding: Forwarding, exchange: Exchange) -> Switched:
    if not forwarding.is_websocket:
        raise BrokenReply("it switches to another protocol without being asked")
    own = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    headers = forwarding.passing.edit([*own, *_answer_headers(exchange)])
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    head = f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode("latin-1")
    is_open = environ.get(IS_VALID, lambda: True)
    on_end = forwarding.passing.on_end
    return Switched(exchange.release(), head + exchange.surplus, is_open, on_end)


def _answer(forwarding: Forwarding, exchange: Exchange) -> Any:
    """What is to be sent: a list if it is all there."""
    if not exchange.is_complete:
        return PassedOn(forwarding, exchange)
    if body := exchange.take():
        return [body]
    # The answer to a HEAD may lack a length that is not 0.
    has_length = exchange.status in (204, 304) or exchange.values("content-length")
    return [] if has_length or exchange.has_body else PassedOn(forwarding, exchange)


def _status_line(exchange: Exchange) -> str:
    try:
        return f"{exchange.status} {http.HTTPStatus(exchange.status).phrase}"
    except ValueError:
        return f"{exchange.status} {exchange.reason or 'Unknown'}"


def _answer_headers(exchange: Exchange) -> Headers:
    """The headers of an answer that may be passed on. Raises BrokenReply."""
    dropped = _OF_CONNECTION
    for each in exchange.values("connection"):
        dropped = dropped | _options(each)
    headers = [each for each in exchange.headers if each[0].lower() not in dropped]
    lengths, encodings = exchange.values("content-length"), exchange.values("transfer-encoding")
    if len(lengths) > 1 or (lengths and encodings):
        raise BrokenReply("it has conflicting Content-Length or Transfer-Encoding headers")
    if encodings and [each.strip().lower() for each in encodings] != ["chunked"]:
        raise BrokenReply("its Transfer-Encoding is not supported")
    if lengths and exchange.status not in (101, 204, 304):
        headers.append(("Content-Length", lengths[0]))
    return headers


def _options(header: str) -> set[str]:
    """The names in a Connection header."""
    return {each.strip().lower() for each in header.split(",")}


def _without_ours(header: str) -> str:
    """A Cookie header without the cookies that hold our tokens."""
    cookies = [each.strip() for each in header.split(";")]
    return "; ".join([each for each in cookies if each and not each.startswith(_OUR_COOKIES)])
