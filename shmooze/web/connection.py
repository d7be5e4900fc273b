"""One connection of the server: requests are read, answered by the application, or refused.

When there are as many connections as there may be, one that is evictable is closed for a new one.
Only when all are busy is a new client told to try again.
"""

from __future__ import annotations

import http
import logging
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

import gevent

from shmooze.lib import packet
from shmooze.web import access_log
from shmooze.web.answers import REFUSAL_HEADERS
from shmooze.web.body import HungUp, RequestBody
from shmooze.web.environ import HAS_LEFT, THROTTLE, WHILE_IT_WAITS, fill_environ
from shmooze.web.eviction import Connections, Wait
from shmooze.web.hang_up import ended_when_gone
from shmooze.web.head import BadRequest, Head
from shmooze.web.limits import Limits
from shmooze.web.request import Incoming
from shmooze.web.response import PIECE, Response
from shmooze.web.sockets import send_all

if TYPE_CHECKING:
    from ssl import SSLContext

log = logging.getLogger(__name__)


class Successor(Protocol):
    """An answer of an application that goes on with the connection instead of HTTP."""

    #: That it is one.
    takes_over: bool

    def run(self, client: Any, rest: bytes) -> None:
        """Use the socket, from which `rest` was read already, until it is over."""

    def close(self) -> None:
        """Let go of all else. Always called."""


class ServerState:
    """What the connections of a server share."""

    def __init__(
        self,
        limits: Limits,
        refusal_headers: Callable[[str | None], list[tuple[str, str]]],
        is_streamed: Callable[[str], bool] = lambda path: False,
        tls: SSLContext | None = None,
    ) -> None:
        self.limits = limits
        #: The certificate of the server; None: it does not speak TLS.
        self.tls = tls
        #: Whether the application reads the bodies of requests to a path as they come.
        self.is_streamed = is_streamed
        #: The headers of a refusal that the application never sees, for the request's Origin.
        #: Without those of CORS, a browser would not show it to a page of another site.
        self.refusal_headers = refusal_headers
        self.connections = Connections()
        #: Clients that are told to try again, as we are busy; that were told so; delayed answers.
        self.rejected = self.rejections = self.delays = 0
        self.is_stopping = False


class Connection:
    """One connection: a handler of gevent's WSGIServer, which closes the socket after `handle`."""

    #: Seconds that a client whose request was refused may go on sending before it is cut off, so
    #: that it can read why.
    linger = 1.0
    #: Clients that may do so at the same time after they were told that all connections are busy.
    max_rejected = 50

    def __init__(
        self, state: ServerState, connection: Any, address: tuple[Any, ...], server: Any
    ) -> None:
        self._state, self._server = state, server
        self._socket, self._address = connection, address
        self._incoming = Incoming(connection, state.limits)
        #: The body of the request, as long as it is read as it comes.
        self._upload: RequestBody | None = None

    def handle(self) -> None:
        """Answer requests until the connection is over."""
        connections = self._state.connections
        full = len(connections) >= self._state.limits.max_connections
        if full and not connections.evict_one():
            self._reject()
            return
        connections.add(self)
        try:
            if self._state.tls is not None:
                self._begin_tls(self._state.tls)
            while self._handle_request():
                pass
            self._drain()
        except HungUp:
            pass  # before TLS was agreed on
        finally:
            connections.remove(self)
            if self._state.tls is not None:
                self._socket.close()

    def _begin_tls(self, context: SSLContext) -> None:
        """Agree on TLS. Raises HungUp if that fails."""
        from shmooze.web.tls import accept  # nearly nobody needs it, and it loads OpenSSL

        limits = self._state.limits
        with self._evictable(Wait.REQUEST):
            client = self._address[0]
            self._socket = accept(self._socket, context, limits.header_timeout, client)
        self._incoming = Incoming(self._socket, limits)

    def _handle_request(self) -> bool:
        """Answer one request; whether there may be another one."""
        try:
            with self._evictable(Wait.REQUEST):
                self._incoming.wait()
                head = self._incoming.head()
                if self._state.is_streamed(head.path):
                    body = self._incoming.stream(head, self._waiting_for_upload)
                else:
                    body = self._incoming.body(head)
        except HungUp:
            return False
        except BadRequest as bad:
            self._refuse(bad)
            return False
        self._upload = body if isinstance(body, RequestBody) else None
        response, environ = Response(self, head), self._environ(head, body)
        if not access_log.is_on():
            return self._answer(response, head, environ)
        began = time.monotonic()
        try:
            return self._answer(response, head, environ)
        finally:
            access_log.write(environ, response, time.monotonic() - began)

    def _answer(self, response: Response, head: Head, environ: dict[str, Any]) -> bool:
        try:
            response.run(self._server.application, environ)
        except HungUp:
            self._break_off(response)
            return False
        except (Exception, gevent.Timeout):  # a Timeout of the application's own
            log.exception("%s %s failed", head.method, head.path)
            if not response.has_begun:
                self._refuse(BadRequest(500, "internal error; the server's log has details"))
            self._break_off(response)
            return False
        if response.successor is not None:
            self._hand_over(response.successor)
            return False
        if self._upload is not None and not self._upload.is_complete:
            with self._evictable(Wait.SENDING):
                self._end_sending(self.linger)
            return False
        return response.keeps_alive

    def _hand_over(self, successor: Successor) -> None:
        try:
            with self._evictable(Wait.STREAM), suppress(OSError):
                successor.run(self._socket, self._incoming.take_rest())
        finally:
            successor.close()

    def _break_off(self, response: Response) -> None:
        """Reset the connection if its end would be taken for the end of a whole answer."""
        if response.ends_with_connection:
            linger = struct.pack("ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._socket.close()

    def _environ(self, head: Head, body: bytes | RequestBody) -> dict[str, Any]:
        environ: dict[str, Any] = self._server.get_environ()
        fill_environ(environ, head, body, self._address)
        environ[THROTTLE] = self._throttle
        environ[HAS_LEFT] = self._incoming.has_hung_up
        environ[WHILE_IT_WAITS] = self.while_client_waits
        return environ

    def _evictable(self, wait: Wait) -> Any:
        return self._state.connections.evictable(self, wait)

    def _waiting_for_upload(self) -> Any:
        # Another greenlet may read it, while ours waits for the answer.
        return self._state.connections.evictable(self, Wait.REQUEST, self._upload)

    def _throttle(self, seconds: float) -> None:
        self._state.delays += 1
        with self._evictable(Wait.THROTTLE), self.while_client_waits():
            gevent.sleep(seconds)

    # What a Response needs.

    @property
    def is_stopping(self) -> bool:
        is_unread = self._upload is not None and not self._upload.is_complete
        return self._state.is_stopping or is_unread

    def send(self, data: bytes | memoryview) -> None:
        """Send a piece of an answer. Raises HungUp if the client does not take it in time."""
        self._socket.settimeout(self._state.limits.send_timeout)
        try:
            with self._evictable(Wait.SENDING):
                send_all(self._socket, data)
        except TimeoutError as late:
            log.info("%s does not read its answer and is cut off", self._address[0])
            raise HungUp from late
        except OSError as gone:
            raise HungUp from gone

    @contextmanager
    def while_streaming(self) -> Iterator[None]:
        """An answer without end is over when its client has left, is evicted, or we stop."""
        with self._evictable(Wait.STREAM), self.while_client_waits():
            yield

    def while_client_waits(self) -> AbstractContextManager[None]:
        """End this greenlet as soon as the client has left."""
        return ended_when_gone(self._socket)

    # Refusals and the end.

    def _reject(self) -> None:
        if self._state.tls is not None:
            return  # to agree on TLS first would take too long
        self._state.rejected += 1
        self._state.rejections += 1
        linger = self.linger if self._state.rejected <= self.max_rejected else 0
        try:
            if linger:
                self._incoming.read_some(linger)
            self._send_refusal(
                BadRequest(503, "too many connections; try again in a moment"), linger
            )
        finally:
            self._state.rejected -= 1

    def _refuse(self, bad: BadRequest) -> None:
        with self._evictable(Wait.SENDING):
            self._send_refusal(bad, self.linger)

    def _send_refusal(self, bad: BadRequest, linger: float) -> None:
        """Say why, and read on for a moment: unread input would make the system reset the
        connection, and the client would not see the answer."""
        level = logging.WARNING if bad.status >= 500 else logging.INFO
        log.log(level, "%s: refused with %d: %s", self._address[0], bad.status, bad)
        body = packet.encode(packet.error(str(bad)))
        phrase = http.HTTPStatus(bad.status).phrase
        origin = self._incoming.origin
        headers = [*REFUSAL_HEADERS.items(), *self._state.refusal_headers(origin)]
        if bad.status == 503:
            headers.append(("Retry-After", "1"))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = (
            f"HTTP/1.1 {bad.status} {phrase}\r\n{lines}"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._socket.settimeout(self.linger)
        try:
            self._socket.sendall(head.encode() + body)
        except OSError:
            return  # it has gone
        self._end_sending(linger)

    def _end_sending(self, linger: float) -> None:
        """Tell the client that nothing more comes, and read on until it has understood."""
        self._socket.settimeout(self.linger)
        deadline = time.monotonic() + linger
        try:
            self._socket.shutdown(socket.SHUT_WR)
            while time.monotonic() < deadline and self._socket.recv(PIECE):
                pass
        except OSError:
            pass  # it has gone

    def _drain(self) -> None:
        """Take what has come already, so that closing does not reset the connection."""
        self._socket.settimeout(0.0)
        try:
            self._socket.recv(PIECE)
        except OSError:
            pass
