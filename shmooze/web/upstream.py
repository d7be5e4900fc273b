"""A request that is passed on: the connection to whoever answers it, and the answer as it comes."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from shmooze.web.idle import IdleConnections
from shmooze.web.reply import BrokenReply

#: Bytes that are taken from the network at once.
_PIECE = 1 << 16
#: Bytes that the head of an answer may have.
_MAX_HEAD = 1 << 18

Headers = list[tuple[str, str]]


class Upstream:
    """The server at `host` and `port`, to which requests are passed on.

    `silence` is the seconds for which it may say nothing; None: any time.
    """

    #: Seconds that it may take to accept a connection.
    connect_timeout = 5.0
    #: Seconds for which a connection is kept for the next request.
    longest_idle = 4.0

    def __init__(self, host: str, port: int, silence: float | None) -> None:
        self.host, self.port, self.silence = host, port, silence
        self._idle = IdleConnections(self.longest_idle)

    def open(self, can_repeat: bool) -> Exchange:
        """A connection for one request: one that was used before only if the request can be sent
        again on another one. Raises OSError.
        """
        connection = self._idle.take() if can_repeat else None
        is_used = connection is not None
        if connection is None:
            connection = socket.create_connection((self.host, self.port), self.connect_timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(self.silence)
        return Exchange(connection, self._idle, is_used)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._idle.close()


class Exchange:
    """One request and its answer on one connection."""

    def __init__(self, connection: Any, idle: IdleConnections, is_used: bool) -> None:
        self.connection = connection
        #: Whether the connection has carried another request before, so that it may be stale.
        self.is_used = is_used
        self._idle = idle
        self.status = 0
        self.reason = ""
        self.headers: Headers = []
        #: What came after the head of an answer that has switched protocols.
        self.surplus = b""
        self._body = bytearray()
        self._received = 0
        self._is_complete = self._has_head = self._is_upgraded = False
        self._is_head_request = False
        self._parser: Any = None

    def send_head(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> None:
        """Send the head of the request. Raises OSError."""
        self._is_head_request = method == "HEAD"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self.connection.sendall(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))

    def read_head(self) -> None:
        """Read until status and headers are there. Raises BrokenReply, OSError."""
        self._parser = HttpResponseParser(self)
        while not self._has_head:
            data = self.connection.recv(_PIECE)
            if not data:
                raise BrokenReply("the connection was closed without an answer")
            self._received += len(data)
            if self._received > _MAX_HEAD and not self._has_head:
                raise BrokenReply(f"the head of the answer is larger than {_MAX_HEAD} bytes")
            self._feed(data)

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Raises BrokenReply, OSError."""
        if self._is_head_request or self.status in (204, 304):
            self._is_complete = True
            return
        while True:
            if self._body:
                piece = bytes(self._body)
                self._body.clear()
                yield piece
            if self._is_complete:
                return
            self._take(self.connection.recv(_PIECE))

    def abort(self) -> None:
        """End the answer: whoever waits for it gets an error."""
        self.is_used = False
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has gone

    def close(self) -> None:
        """Close the connection, or keep it for another request where that is possible."""
        keeps_alive = self._is_complete and self._parser is not None
        keeps_alive = keeps_alive and not self._body and self._parser.should_keep_alive()
        self._parser = None  # it holds us, and both would wait for the garbage collector
        if keeps_alive and not self._is_head_request:
            self._idle.add(self.connection)
        else:
            self.connection.close()

    def _take(self, data: bytes) -> None:
        if data:
            self._feed(data)
            return
        names = {name for name, _ in self.headers}
        if names & {"content-length", "transfer-encoding"}:
            raise BrokenReply("the connection was closed within the answer")
        self._is_complete = True
        self._parser = None  # nothing more can be asked here

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as changed:
            self.surplus = data[changed.args[0] :]
        except HttpParserError as bad:
            raise BrokenReply(f"it is not HTTP: {bad}") from bad

    # Called by the parser, which would only say which of them has raised something.

    def on_status(self, reason: bytes) -> None:
        self.reason += reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # those that come after the body are dropped
            self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        # 101 is the last one; others below 200 announce the answer.
        if self.status >= 200 or self.status == 101:
            self._has_head = True
        else:
            self.headers.clear()
            self.reason = ""

    def on_body(self, piece: bytes) -> None:
        self._body += piece

    def on_message_complete(self) -> None:
        self._is_complete = self.status >= 200
