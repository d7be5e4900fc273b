"""One service as the gateway reaches it: whole answers, and those without end.

Requests are a few bytes that we know beforehand, sent over connections that are kept; answers are
read by the parser of httptools. A whole client would cost twice as much as all of that.

A kept connection that is not used is closed well before the service would do it. So a request does
not meet a connection that is just being closed, and after a burst nothing is held open for long.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

import gevent
from gevent import monkey, socket
from gevent.lock import BoundedSemaphore
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from shmooze.web.answers import Refused
from shmooze.web.limits import Limits
from shmooze.web.sockets import peek, send_all

log = logging.getLogger(__name__)

#: Bytes that are taken from the network at once.
_PIECE = 1 << 16

#: What `Backend.exchange` raises where there is no answer; a TimeoutError is among the first.
BROKEN = (OSError, HttpParserError)


#: A context around the wait for an answer; what is raised in it gives the request up.
Waiting = Callable[[], AbstractContextManager[Any]]


@dataclass
class Answer:
    """What a service has said."""

    status: int
    content_type: str
    #: Whole; or in pieces, as they come.
    body: bytes | Iterator[bytes]
    #: Seconds after which to ask again, as the service has put it.
    retry_after: str | None = None


class Backend:
    """Asks the service `name`, which listens at `host` and `port`.

    `timeout` is the seconds that an answer may take; `connections` is how many may be used at the
    same time: further requests wait. `idle_timeout` is the seconds after which the service closes
    a connection that is not used; ours are closed in half of that.
    """

    #: Seconds for which a connection is kept unused at the most.
    longest_idle = 30.0
    #: Seconds between two looks for connections that are unused for too long, or closed by the
    #: service.
    sweep_interval = 2.0
    #: Seconds that a service may take to accept a connection.
    connect_timeout = 5.0
    #: Seconds for which a stream of events may say nothing; services say something every 15.
    silence = 60.0

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        timeout: float,
        connections: int,
        idle_timeout: float = Limits.idle_timeout,
    ) -> None:
        self.name = name
        self._host, self._port = host, port
        self._timeout = timeout
        self._places = BoundedSemaphore(connections)
        self._longest_idle = min(self.longest_idle, idle_timeout / 2)
        #: Connections that are not used, each after the time since when; the one that was used
        #: last at the end. There are never more than `connections`.
        self._idle: deque[tuple[float, Any]] = deque()
        #: Calls `_sweep` again and again, as long as there are such connections.
        self._sweeper: Any = None
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._head = f"POST / HTTP/1.1\r\nHost: {at}\r\nContent-Type: application/json\r\n"

    def ask(
        self, body: bytes, headers: Mapping[str, str], waiting: Waiting = nullcontext
    ) -> Answer:
        """Send commands, and wait for the whole answer; both are not decoded.

        Raises Refused: 502 where there is no answer, 504 where it is late.
        """
        if monkey.is_module_patched("socket"):
            return self._ask(body, headers, waiting)
        # Another WSGI server, with threads perhaps: a connection belongs to the event loop of the
        # thread that made it, and neither must outlive the request.
        alone = Backend(self.name, self._host, self._port, self._timeout, 1)
        try:
            return alone._ask(body, headers, waiting)
        finally:
            alone.close()
            gevent.get_hub().destroy(destroy_loop=True)

    def _ask(self, body: bytes, headers: Mapping[str, str], waiting: Waiting) -> Answer:
        try:
            found = self.exchange(body, headers, waiting)
        except TimeoutError as late:
            log.warning("service %r did not answer within %g s", self.name, self._timeout)
            raise Refused(504, f"service {self.name!r} did not answer in time") from late
        except ConnectionRefusedError as refused:
            raise self._not_running() from refused
        except BROKEN as broken:
            # The request may have been carried out: only the client can know whether to ask again.
            log.warning("service %r broke off: %s", self.name, broken)
            raise Refused(502, f"service {self.name!r} broke off without an answer") from broken
        content_type = found.header("content-type") or "application/json"
        return Answer(
            found.status_code, content_type, bytes(found.body), found.header("retry-after")
        )

    def exchange(
        self, body: bytes, headers: Mapping[str, str], waiting: Waiting = nullcontext
    ) -> Reply:
        """Send a POST over a kept connection, or a new one, and read what is answered.

        Raises TimeoutError where that is late, and what BROKEN lists where there is no answer.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{self._head}{lines}Content-Length: {len(body)}\r\n\r\n"
        request = head.encode("latin-1") + body
        limit = gevent.Timeout(self._timeout)
        try:
            with limit, self._places:
                return self._converse(request, waiting)
        except gevent.Timeout as late:
            if late is not limit:
                raise
            raise TimeoutError(str(late)) from late

    def follow(self, headers: Mapping[str, str]) -> Answer:
        """What the service's stream of events answers. Raises Refused: 502 for no answer."""
        connection = HTTPConnection(self._host, self._port, timeout=self.connect_timeout)
        try:
            connection.connect()
            connection.sock.settimeout(self.silence)
            connection.request("GET", "/events", headers=dict(headers))
            found = connection.getresponse()
            content_type = found.getheader("Content-Type", "application/json")
            if found.status == 200:
                return Answer(200, content_type, _pieces(connection, found))
            answer = Answer(
                found.status, content_type, found.read(), found.getheader("Retry-After")
            )
        except (OSError, HTTPException) as broken:
            connection.close()
            raise self._not_running() from broken
        connection.close()
        return answer

    def close(self) -> None:
        """Close the connections that are not used."""
        while self._idle:
            self._idle.pop()[1].close()
        self._stop_sweeping()

    def _converse(self, request: bytes, waiting: Waiting) -> Reply:
        connection = self._take() or self._connect()
        found = Reply()
        try:
            try:
                send_all(connection, request)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has hung up, and may have said why
            with waiting():
                found.read(connection)
        except BaseException:
            connection.close()
            raise
        if found.keeps_connection:
            self._keep(connection)
        else:
            connection.close()
        return found

    def _keep(self, connection: Any) -> None:
        self._idle.append((time.monotonic(), connection))
        if self._sweeper is None:
            seconds = min(self.sweep_interval, self._longest_idle)
            self._sweeper = gevent.get_hub().loop.timer(seconds, seconds, ref=False)
            self._sweeper.start(self._sweep)

    def _sweep(self) -> None:
        """Close what has been unused for too long, and what the service has closed."""
        for _ in range(len(self._idle)):
            since, connection = self._idle.popleft()
            if self._is_good(since, connection):
                self._idle.append((since, connection))
            else:
                connection.close()
        if not self._idle:
            self._stop_sweeping()

    def _stop_sweeping(self) -> None:
        if self._sweeper is not None:
            self._sweeper.close()
            self._sweeper = None

    def _is_good(self, since: float, connection: Any) -> bool:
        return time.monotonic() - since < self._longest_idle and peek(connection) is None

    def _take(self) -> Any:
        """The connection that was used last of those that are good."""
        while self._idle:
            since, connection = self._idle.pop()
            if self._is_good(since, connection):
                return connection
            connection.close()
        return None

    def _connect(self) -> Any:
        connection = socket.create_connection((self._host, self._port), self.connect_timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(None)  # the whole has its time
        return connection

    def _not_running(self) -> Refused:
        return Refused(502, f"service {self.name!r} is not running")


class Reply:
    """An answer to a POST, put together from what comes over the connection.

    The methods `on_...` are called by the parser. They raise nothing: the parser would only say
    which of them did.
    """

    def __init__(self) -> None:
        #: Below 200 until all headers of the answer are there.
        self.status_code = 0
        self.body = bytearray()
        #: Whether nothing is to come any more.
        self.is_whole = False
        #: Whether the service takes another request over the connection.
        self.keeps_connection = False
        self._headers: dict[bytes, list[bytes]] = {}
        self._is_surplus = False

    def header(self, name: str) -> str | None:
        """A header that is there once; `name` is in small letters."""
        values = self._headers.get(name.encode(), [])
        return values[0].decode("latin-1") if len(values) == 1 else None

    def read(self, connection: Any) -> None:
        """Read until the answer is whole. Raises what BROKEN lists where it never will be."""
        self._parser = HttpResponseParser(self)
        try:
            while not self.is_whole:
                self._feed(connection.recv(_PIECE))
        finally:
            del self._parser  # it holds us, and both would wait for the garbage collector

    def _feed(self, data: bytes) -> None:
        """Take a piece; an empty one is the end of the connection, and that of some answers."""
        if not data:
            told = self._headers.keys() & {b"content-length", b"transfer-encoding"}
            if told or self.status_code < 200:
                raise HttpParserError("the connection was closed")
            self.is_whole = True
            return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as changed:
            raise HttpParserError("it went over to another protocol") from changed
        if self._is_surplus:
            raise HttpParserError("more was sent than was asked for")

    def on_message_begin(self) -> None:
        self._is_surplus = self.is_whole
        self._headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status_code < 200:  # those that come after the body are none of the answer's
            self._headers.setdefault(name.lower(), []).append(value)

    def on_headers_complete(self) -> None:
        self.status_code = self._parser.get_status_code()
        self.keeps_connection = self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.is_whole = self.status_code >= 200


def _pieces(connection: HTTPConnection, found: HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := found.read1(_PIECE):
            yield piece
    except (OSError, HTTPException):
        pass  # the service has gone: the client sees an end, and asks again
    finally:
        connection.close()
