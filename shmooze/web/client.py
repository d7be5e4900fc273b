"""The HTTP client: sends requests to one server over new or persistent connections.

Requests are a few bytes that we know beforehand; answers are read by the parser of httptools. A
library's client would cost twice as much as all of that.

Where gevent has patched the program, these sockets are gevent's. Elsewhere they work in any thread,
and in a fork, and leave nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from shmooze.web.connect import NotReached, connect
from shmooze.web.reply import Reply
from shmooze.web.sockets import send_all, wait_until

if TYPE_CHECKING:
    from ssl import SSLContext

    from shmooze.web.idle import IdleConnections

#: A context around the wait for an answer; what is raised in it abandons the request.
Waiting = Callable[[], AbstractContextManager[Any]]


class Client:
    """Asks the server at `host` and `port`.

    `timeout` is the seconds that an answer may take; None: as long as it takes. `idle` keeps
    connections for further requests; None: each request has a new one. `tls` is how the server's
    certificate is checked; None: it does not speak TLS. `max_answer` is the bytes that an answer to
    `post` may have.
    """

    #: Seconds that a server may take to accept a connection, where there is no other timeout.
    connect_timeout = 5.0
    #: Seconds for which an answer without end may say nothing; services say something every 15.
    silence = 60.0

    def __init__(
        self,
        host: str,
        port: int,
        timeout: float | None,
        idle: IdleConnections | None = None,
        tls: SSLContext | None = None,
        max_answer: int | None = None,
    ) -> None:
        self.host, self.port, self.timeout = host, port, timeout
        self._idle, self._tls, self._max_answer = idle, tls, max_answer
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
        return self._answer(head.encode("latin-1") + body, waiting)

    def get(self, path: str, headers: Mapping[str, str]) -> Reply:
        """GET, and read the whole answer. Raises as `post` does."""
        head = f"GET {path} HTTP/1.1\r\n{self._host_line}{_lines(headers)}\r\n"
        return self._answer(head.encode("latin-1"), nullcontext)

    def _answer(self, request: bytes, waiting: Waiting) -> Reply:
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        connection = (self._idle and self._idle.take()) or self._connect(deadline)
        reply = Reply(self._max_answer)
        try:
            try:
                wait_until(deadline, connection)
                send_all(connection, request)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has hung up, and may have said why
            with waiting():
                reply.read(connection, deadline)
        except BaseException:
            connection.close()
            raise
        if reply.keeps_connection and self._idle is not None:
            self._idle.add(connection)
        else:
            connection.close()
        return reply

    def follow(self, path: str, headers: Mapping[str, str]) -> tuple[Reply, Iterator[bytes]]:
        """GET over a connection of its own: the answer with its headers, and its body as it comes.

        Raises OSError, and so do the pieces of the body.
        """
        connection = self._connect(None)
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

    def _connect(self, deadline: float | None) -> Any:
        if deadline is not None:
            return connect(self.host, self.port, self.timeout, self._tls)
        try:
            return connect(self.host, self.port, self.connect_timeout, self._tls)
        except TimeoutError as late:  # the caller may wait for the answer, if there were one
            raise NotReached(late) from late


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries a token, if there is one. Raises ValueError for a malformed one."""
    if not token:
        return {}
    if not (token.isascii() and token.isprintable()):
        raise ValueError("a token is one line of printable ASCII characters")
    return {"Authorization": f"Bearer {token}"}


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
