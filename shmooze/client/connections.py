"""The connections to one server: kept open for further requests, and shared by threads.

A request takes an idle connection, or makes one, and has it for itself until the whole answer has
been read. So any number of threads can send requests at the same time.
"""

from __future__ import annotations

import select
import socket
import string
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import quote, urlsplit
from weakref import WeakSet

from shmooze.client.errors import InvalidArgument, Unreachable
from shmooze.errors import ServiceTimeout
from shmooze.runtime.connection_errors import words_of
from shmooze.runtime.printable import printable

if TYPE_CHECKING:
    from ssl import SSLContext


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    headers: Message
    body: bytes


class Stream(NamedTuple):
    """An answer that has only begun. Closing is up to the caller."""

    connection: HTTPConnection
    response: HTTPResponse
    sock: socket.socket

    def close(self) -> None:
        self.response.close()
        self.connection.close()


class Closable(Protocol):
    def close(self) -> None: ...


class Connections:
    """`timeout` is the seconds to wait for data; `ssl_context` is for https, by default that of
    Python. Proxy settings of the environment are ignored.
    """

    #: Seconds after which an idle connection is not used again. Servers close them after 75.
    longest_idle = 30.0
    #: Idle connections that are kept.
    most_idle = 16

    def __init__(
        self, url: str, token: str | None, timeout: float, ssl_context: SSLContext | None = None
    ) -> None:
        self.url, self.timeout = url, timeout
        self._type, self._host, self._port, self.path = _parse(url)
        if ssl_context is not None and self._type is HTTPSConnection:
            self._type = partial(HTTPSConnection, context=ssl_context)
        self._headers = {"Authorization": f"Bearer {_checked(token)}"} if token else {}
        self._lock = threading.Lock()
        #: Idle connections, and since when; the last one was used last.
        self._idle: list[tuple[float, HTTPConnection]] = []
        self._closed = False
        #: What reads streams, and is closed with the connections.
        self.readers: WeakSet[Closable] = WeakSet()

    def post(self, path: str, body: bytes) -> Reply:
        """POST JSON. Returns the answer, whatever its status.

        Raises Unreachable if there is none, and ServiceTimeout if it does not come in time.
        """
        return self._ask("POST", path, body, {"Content-Type": "application/json"})

    def get(self, path: str) -> Reply:
        """GET; as `post`."""
        return self._ask("GET", path, None, {})

    def open(self, path: str, headers: dict[str, str], timeout: float) -> Stream:
        """GET an answer that is read as it comes, over a connection of its own."""
        connection = self._connect(timeout, path)
        with self._closed_if_broken(connection, path):
            sock = connection.sock
            connection.request("GET", _target(path), None, {**self._headers, **headers})
            return Stream(connection, connection.getresponse(), sock)

    def close(self) -> None:
        """Close streams and idle connections now, and the others after their requests."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()
        with suppress(KeyError):  # there are no more
            while True:
                self.readers.pop().close()

    def __del__(self) -> None:
        if hasattr(self, "readers"):  # it has been made completely
            self.close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        connection = self._take() or self._connect(self.timeout, path)
        with self._closed_if_broken(connection, path):
            try:
                connection.request(method, _target(path), body, {**self._headers, **headers})
            except (BrokenPipeError, ConnectionResetError):
                pass  # a server may refuse a large body before it has read all of it
            response = connection.getresponse()
            reply = Reply(response.status, response.headers, response.read())
        self._keep(connection)
        return reply

    def _connect(self, timeout: float, path: str) -> HTTPConnection:
        connection = self._type(self._host, self._port, timeout=timeout)
        try:
            connection.connect()
        except OSError as refused:
            raise Unreachable(self._words(refused, path)) from refused
        return connection

    def _take(self) -> HTTPConnection | None:
        """An idle connection that the server has not closed."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                since, connection = self._idle.pop()
            if time.monotonic() - since < self.longest_idle and not _is_readable(connection):
                return connection
            connection.close()

    def _keep(self, connection: HTTPConnection) -> None:
        """Keep a connection whose answer was read, unless the server closes it."""
        if connection.sock is None:
            return
        with self._lock:
            if not self._closed and len(self._idle) < self.most_idle:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()

    @contextmanager
    def _closed_if_broken(self, connection: HTTPConnection, path: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as late:
            connection.close()
            url = self.url_of(path)
            raise ServiceTimeout(f"no answer from {url} within {connection.timeout:g} s") from late
        except (OSError, HTTPException) as broken:
            connection.close()
            raise Unreachable(self._words(broken, path), may_have_run=True) from broken
        except BaseException:
            connection.close()
            raise

    def _words(self, broken: Exception, path: str) -> str:
        return printable(f"no answer from {self.url_of(path)}: {words_of(broken)}")

    def url_of(self, path: str) -> str:
        """The full URL of a path, for messages."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{path}"


def _parse(url: str) -> tuple[Callable[..., HTTPConnection], str, int | None, str]:
    """Connection type, host, port and path. Raises InvalidArgument."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
        host.encode("idna")
    except ValueError as bad:
        raise InvalidArgument(f"invalid URL {url!r}: {bad}") from bad
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise InvalidArgument(f"{url!r} is not a URL such as http://localhost:8080/")
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidArgument("the URL must have neither a user name nor a query")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind, host, port, parts.path or "/"


def _target(path: str) -> str:
    return quote(path, safe=string.punctuation)


def _checked(token: str) -> str:
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise InvalidArgument(
            "the token contains something other than letters, digits and punctuation"
        )
    return token


def _is_readable(connection: HTTPConnection) -> bool:
    """Whether there is something to read, which means for an idle connection: it was closed."""
    try:
        if hasattr(select, "poll"):  # knows no limit of open files
            poll = select.poll()
            poll.register(connection.sock, select.POLLIN)
            return bool(poll.poll(0))
        return bool(select.select([connection.sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True
