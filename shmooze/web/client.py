"""The HTTP client: sends requests to one server over persistent connections.

Requests are a few bytes that we know beforehand; answers are read by the parser of httptools. A
library's client would cost twice as much as all of that.

An idle connection is closed well before the server would do it. So a request does not meet a
connection that is just being closed, and after a burst nothing is held open for long.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import gevent
from gevent import socket as gevent_socket
from gevent.lock import BoundedSemaphore

from shmooze.web.idle import IdleConnections
from shmooze.web.limits import Limits
from shmooze.web.reply import Reply
from shmooze.web.sockets import send_all

#: A context around the wait for an answer; what is raised in it abandons the request.
Waiting = Callable[[], AbstractContextManager[Any]]


class Client:
    """Asks the server at `host` and `port`.

    `timeout` is the seconds that an answer may take; None: as long as it takes. `connections` is
    how many may be used at the same time: further requests wait. `idle_timeout` is the seconds
    after which the server closes an idle connection; ours are closed in half of that. `tls`:
    whether the server speaks TLS.
    """

    #: Seconds for which a connection is kept idle at most.
    longest_idle = 30.0
    #: Seconds that a server may take to accept a connection.
    connect_timeout: float | None = 5.0
    #: Seconds for which an answer without end may say nothing; services say something every 15.
    silence = 60.0

    def __init__(
        self,
        host: str,
        port: int,
        timeout: float | None,
        connections: int = 1,
        idle_timeout: float = Limits().idle_timeout,
        tls: bool = False,
    ) -> None:
        self.host, self.port, self.timeout = host, port, timeout
        self._tls = tls
        self._places = BoundedSemaphore(connections)
        self._idle = IdleConnections(min(self.longest_idle, idle_timeout / 2))
        self._host_line = f"Host: {f'[{host}]' if ':' in host else host}:{port}\r\n"

    def post(
        self,
        body: bytes,
        headers: Mapping[str, str],
        waiting: Waiting = nullcontext,
        path: str = "/",
    ) -> Reply:
        """Send JSON over an idle connection, or a new one, and read the whole answer.

        Raises TimeoutError if that takes too long, other OSErrors if there is no answer.
        """
        head = (
            f"POST {path} HTTP/1.1\r\n{self._host_line}Content-Type: application/json\r\n"
            f"{_lines(headers)}Content-Length: {len(body)}\r\n\r\n"
        )
        request = head.encode("latin-1") + body
        limit = gevent.Timeout(self.timeout)
        try:
            with limit, self._places:
                return self._converse(request, waiting)
        except gevent.Timeout as late:
            if late is not limit:
                raise
            raise TimeoutError(str(late)) from late

    def follow(self, path: str, headers: Mapping[str, str]) -> tuple[Reply, Iterator[bytes]]:
        """GET over a connection of its own: the answer with its headers, and its body as it comes.

        Raises OSError, and so do the pieces of the body.
        """
        # Of the standard library: patched where gevent runs, and else of the kind that threads
        # can use.
        connection = socket.create_connection((self.host, self.port), self.connect_timeout)
        try:
            connection.settimeout(self.silence)
            head = f"GET {path} HTTP/1.1\r\n{self._host_line}{_lines(headers)}\r\n"
            connection.sendall(head.encode("latin-1"))
            reply = Reply()
            reply.read_headers(connection)
        except BaseException:
            connection.close()
            raise
        return reply, reply.pieces(connection)

    def close(self) -> None:
        """Close the idle connections."""
        self._idle.close()

    def _converse(self, request: bytes, waiting: Waiting) -> Reply:
        connection = self._idle.take() or self._connect()
        reply = Reply()
        try:
            try:
                send_all(connection, request)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has hung up, and may have said why
            with waiting():
                reply.read(connection)
        except BaseException:
            connection.close()
            raise
        if reply.keeps_connection and not self._tls:
            self._idle.add(connection)
        else:
            connection.close()
        return reply

    def _connect(self) -> Any:
        connection = gevent_socket.create_connection((self.host, self.port), self.connect_timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls:
            from gevent import ssl  # nearly nobody needs it, and it takes a while to load

            connection = ssl.create_default_context().wrap_socket(
                connection, server_hostname=self.host
            )
        connection.settimeout(None)  # the whole has its time
        return connection


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
