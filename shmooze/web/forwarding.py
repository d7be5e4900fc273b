"""A request on its way to the server that answers it: head, body, and the wait for the answer."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gevent
from gevent import monkey

from shmooze.web.body import HungUp, RequestBody
from shmooze.web.exchange import Exchange, Headers
from shmooze.web.head import BadRequest
from shmooze.web.upstream import Upstream

#: How the paths at a service begin that are for its modules.
MODULE_PATHS = ("/at/", "/on/")
#: Beginnings of paths of a queue or pool that are its own, even if it passes others on.
_OWN_PATHS = ("/output/",)


def is_of_service(path: str) -> bool:
    """Whether a queue or pool answers requests to a path itself."""
    return path in ("/", "/events") or path.startswith(_OWN_PATHS)


#: Headers in which the gateway hands on what a service would take for its own.
ORIGIN, AUTHORIZATION = "Shmooze-Origin", "Shmooze-Authorization"

#: Methods whose requests may be sent again.
_REPEATABLE = ("GET", "HEAD", "OPTIONS")
#: Bytes of a body that are read at once from another WSGI server.
_PIECE = 1 << 16


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
    within: str = "in time"
    #: What is wrong with it if it does not listen, as the rest of a sentence.
    absent: str = "takes no connections"
    #: Why it says nothing, or has hung up (True), in a sentence without its subject; empty if that
    #: is not known. For one that has hung up it may wait a moment until it is.
    find_reason: Callable[[bool], str] = lambda has_gone: ""


class Forwarding:
    """One request on its way, and the answer to it."""

    def __init__(self, environ: dict[str, Any], passing: Passing) -> None:
        self.passing = passing
        self.exchange: Exchange | None = None
        #: Whether it asks for a WebSocket.
        self.is_websocket = wants_websocket(environ)
        self._method: str = environ["REQUEST_METHOD"]
        self._body, self._length = passing.body, environ.get("CONTENT_LENGTH")
        #: The body as it comes, if it is not known as a whole.
        self._pieces: Iterator[bytes] | None = None
        if self._body is None:
            self._find_body(environ)
        self._pump: gevent.Greenlet | None = None
        #: What is wrong with the client's body, once that is known.
        self._fault: Exception | None = None
        self._is_closed = False

    def send(self) -> Exchange:
        """Send it, and wait for the head of the answer.

        Raises OSError; BadRequest or HungUp for what the client does wrong.
        """
        can_repeat = self._method in _REPEATABLE and self._pieces is None
        exchange = self._begin(can_repeat)
        try:
            exchange.read_head()
        except TimeoutError:
            raise
        except OSError:
            if self._fault is not None:
                raise self._fault from None
            if not (exchange.is_used and can_repeat):
                raise
            # The server has closed a connection that was kept for it.
            exchange.connection.close()
            exchange = self._begin(can_repeat=False)
            exchange.read_head()
        return exchange

    def close(self) -> None:
        """Let go of all. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._pump is not None:
                self._pump.kill()  # it reads from the connection of the client
        finally:
            if self.exchange is not None:
                self.exchange.close()
            self.passing.on_end()

    def _begin(self, can_repeat: bool) -> Exchange:
        """Send the head, and begin to send the body."""
        self.exchange = exchange = self.passing.upstream.open(can_repeat)
        headers = [*self.passing.headers, *self._framing()]
        try:
            exchange.send_head(self._method, self.passing.target, headers, self._body or b"")
        except (BrokenPipeError, ConnectionResetError):
            return exchange  # it has hung up, and may have said why
        if self._pieces is None:
            exchange.is_sent = True
        elif monkey.is_module_patched("socket"):
            self._pump = gevent.spawn(self._send_body, exchange, self._pieces)
        else:
            self._send_body(exchange, self._pieces)
        return exchange

    def _framing(self) -> Headers:
        if self.is_websocket:
            return [("Connection", "Upgrade"), ("Upgrade", "websocket")]
        if self._body:
            return [("Content-Length", str(len(self._body)))]
        if self._length:
            return [("Content-Length", self._length)]
        return [] if self._pieces is None else [("Transfer-Encoding", "chunked")]

    def _find_body(self, environ: dict[str, Any]) -> None:
        source = environ.get("wsgi.input")
        if isinstance(source, io.BytesIO):
            self._body = source.read()
        elif isinstance(source, RequestBody):
            self._pieces = source.pieces()
        elif self._length:
            if self._length.strip("0"):
                self._pieces = _pieces(source, int(self._length))
        elif "HTTP_TRANSFER_ENCODING" in environ:
            if not environ.get("wsgi.input_terminated"):
                words = "this WSGI server does not accept a body without Content-Length"
                raise BadRequest(411, words)
            self._pieces = _pieces(source, None)

    def _send_body(self, exchange: Exchange, pieces: Iterator[bytes]) -> None:
        is_chunked = not self._length
        try:
            for piece in pieces:
                exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            if is_chunked:
                exchange.send(b"0\r\n\r\n")
            exchange.is_sent = True
        except (BadRequest, HungUp) as fault:
            self._fault = fault
            exchange.abort()
        except OSError:
            pass  # it has had enough, and may have said why


def wants_websocket(environ: dict[str, Any]) -> bool:
    """Whether a request asks for a WebSocket. Other protocols are not passed on."""
    if environ.get("HTTP_UPGRADE", "").lower() != "websocket":
        return False
    options = [each.strip().lower() for each in environ.get("HTTP_CONNECTION", "").split(",")]
    has_body = environ.get("CONTENT_LENGTH", "").strip("0") or "HTTP_TRANSFER_ENCODING" in environ
    has_body = has_body or isinstance(environ.get("wsgi.input"), RequestBody)
    is_plain = environ["REQUEST_METHOD"] == "GET" and not has_body
    return is_plain and "upgrade" in options and environ.get("SERVER_PROTOCOL") == "HTTP/1.1"


def _pieces(source: Any, length: int | None) -> Iterator[bytes]:
    """A body that another WSGI server reads; None: it knows where it ends."""
    left = length
    while left != 0 and (piece := source.read(_PIECE if left is None else min(left, _PIECE))):
        if left is not None:
            left -= len(piece)
        yield piece
    if left:
        raise HungUp
