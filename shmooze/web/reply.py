"""The answer to a request of ours, parsed by httptools as it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from shmooze.web.sockets import wait_until

#: Bytes that are taken from the network at once.
_PIECE = 1 << 16


class BrokenReply(ConnectionError):
    """What came is not a whole answer, or it is more than one."""


class NoReply(BrokenReply):
    """The connection was closed before the headers of an answer were there."""


class Reply:
    """An answer, read from a connection with `read`, or with `read_headers` and then `pieces`.

    The methods `on_...` are called by the parser. They raise nothing: the parser would only say
    which of them did. `max_body` is the bytes that the body may have if it is read as a whole.
    """

    def __init__(self, max_body: int | None = None) -> None:
        self._max_body = max_body
        #: Below 200 until all headers of the answer are there.
        self.status_code = 0
        self.body = bytearray()
        self.is_complete = False
        #: Whether the server takes another request over the connection.
        self.keeps_connection = False
        self._headers: dict[bytes, list[bytes]] = {}
        self._has_surplus = False
        self._parser: Any = None

    def header(self, name: str) -> str | None:
        """A header that is there once; `name` is in lower case."""
        values = self._headers.get(name.encode(), [])
        return values[0].decode("latin-1") if len(values) == 1 else None

    def read(self, connection: Any, deadline: float | None = None) -> None:
        """Read until the answer is complete. Raises BrokenReply if it never will be, OSError.

        Raises TimeoutError at the `deadline` of time.monotonic.
        """
        self._parser = HttpResponseParser(self)
        try:
            while not self.is_complete:
                wait_until(deadline, connection)
                self._feed(connection.recv(_PIECE))
        finally:
            self._parser = None  # it holds us, and both would wait for the garbage collector

    def read_headers(self, connection: Any) -> None:
        """Read until the headers are there. Raises BrokenReply, OSError."""
        self._parser = HttpResponseParser(self)
        while self.status_code < 200:
            self._feed(connection.recv(_PIECE))

    def pieces(self, connection: Any) -> Iterator[bytes]:
        """The body as it comes. Raises BrokenReply, OSError. Closes the connection at the end."""
        try:
            while True:
                if self.body:
                    piece = bytes(self.body)
                    self.body.clear()
                    yield piece
                if self.is_complete:
                    return
                self._feed(connection.recv(_PIECE))
        finally:
            self._parser = None
            connection.close()

    def _feed(self, data: bytes) -> None:
        """Take a piece; an empty one is the end of the connection, and that of some answers."""
        if not data:
            announced = self._headers.keys() & {b"content-length", b"transfer-encoding"}
            if announced or self.status_code < 200:
                raise BrokenReply("the connection was closed")
            self.is_complete = True
            return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as changed:
            raise BrokenReply("the server switched to another protocol") from changed
        except HttpParserError as bad:
            raise BrokenReply(str(bad)) from bad
        if self._max_body is not None and len(self.body) > self._max_body:
            raise BrokenReply(f"it is longer than {self._max_body} bytes")
        if self._has_surplus:
            raise BrokenReply("more was sent than was asked for")

    def on_message_begin(self) -> None:
        self._has_surplus = self.is_complete
        self._headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status_code < 200:  # those that come after the body do not count
            self._headers.setdefault(name.lower(), []).append(value)

    def on_headers_complete(self) -> None:
        self.status_code = self._parser.get_status_code()
        self.keeps_connection = self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.is_complete = self.status_code >= 200
