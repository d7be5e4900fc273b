"""One request that is passed on, and its answer as it comes, on one connection."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from shmooze.web.reply import BrokenReply, NoReply
from shmooze.web.sockets import send_all

#: Bytes that are taken from the network at once.
_PIECE = 1 << 16
#: Bytes that the head of an answer may have.
_MAX_HEAD = 1 << 18

Headers = list[tuple[str, str]]


class Exchange:
    """One request and its answer.

    `keep` takes the connection when it can carry another request; None: it is closed.
    """

    def __init__(
        self,
        connection: Any,
        keep: Callable[[Any], None] | None = None,
        is_used: bool = False,
    ) -> None:
        self.connection = connection
        #: Whether the connection has carried another request before, so that it may be stale.
        self.is_used = is_used
        #: Whether the whole request has been sent. The caller says so.
        self.is_sent = False
        #: Whether the whole answer is there.
        self.is_complete = False
        self.status = 0
        self.reason = ""
        #: Names as they were sent; the last header of a name comes last.
        self.headers: Headers = []
        #: What came after the head of an answer that has switched protocols.
        self.surplus = b""
        self._keep = keep
        #: Whether the answer to a request of this method has a body.
        self.has_body = True
        self._last_sent = 0.0
        self._has_head = self._has_surplus = self._keeps_alive = False
        self._received = 0
        self._pieces: list[bytes] = []
        self._parser: Any = HttpResponseParser(self)

    def send_head(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b""
    ) -> None:
        """Send the head of the request, and what is known of its body. Raises OSError."""
        self.has_body = method != "HEAD"
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
        head = f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        self.send(head + body)

    def send(self, data: bytes) -> None:
        """Send a part of the request. Raises OSError."""
        send_all(self.connection, data)
        self._last_sent = time.monotonic()

    def read_head(self) -> None:
        """Read until status and headers are there. Raises BrokenReply, OSError."""
        while not self._has_head:
            data = self._receive()
            if not data:
                raise NoReply("the connection was closed")
            self._received += len(data)
            self._feed(data)
            if self._received > _MAX_HEAD and not self._has_head:
                raise BrokenReply(f"its headers are larger than {_MAX_HEAD} bytes")
        if not self.has_body or self.status in (204, 304):
            self._pieces.clear()
            self.is_complete = True

    def take(self) -> bytes:
        """What has come of the body and was not taken yet."""
        taken = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        return taken

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Raises BrokenReply, OSError."""
        while True:
            if piece := self.take():
                yield piece
            elif self.is_complete:
                return
            else:
                self._read_body()

    def values(self, name: str) -> list[str]:
        """The values of a header of the answer; `name` is in lower case."""
        return [value for each, value in self.headers if each.lower() == name]

    def abort(self) -> None:
        """End both directions: whoever waits for the answer gets an error."""
        self.is_used = False
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has gone

    def release(self) -> Any:
        """The connection, which is the caller's from now on."""
        self._parser = None  # it holds us, and both would wait for the garbage collector
        return self.connection

    def close(self) -> None:
        """Close the connection, or keep it for another request where that is possible."""
        self.release()
        is_over = self.is_sent and self.is_complete and self.has_body
        is_clean = not self._pieces and not self._has_surplus
        if self._keep is not None and self._keeps_alive and is_over and is_clean:
            self._keep(self.connection)
        else:
            self.connection.close()

    def _read_body(self) -> None:
        if data := self._receive():
            self._feed(data)
        elif self.values("content-length") or self.values("transfer-encoding"):
            raise BrokenReply("the connection was closed before the answer was complete")
        else:
            self.is_complete, self._keeps_alive = True, False

    def _receive(self) -> bytes:
        while True:
            begin = time.monotonic()
            try:
                data: bytes = self.connection.recv(_PIECE)
                return data
            except TimeoutError:
                if self._last_sent <= begin:  # else it waits for the rest of the request
                    raise

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as changed:
            self.surplus = data[changed.args[0] :]
        except HttpParserError as bad:
            raise BrokenReply("it is not valid HTTP") from bad

    # Called by the parser, which would only say which of them has raised something.

    def on_message_begin(self) -> None:
        self._has_surplus = self.is_complete

    def on_status(self, reason: bytes) -> None:
        if not self._has_head:
            self.reason += reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # those that come after the body are dropped
            self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if self._has_head:
            return  # of something that comes after the answer
        self.status = self._parser.get_status_code()
        # 101 is the last one; others below 200 announce the answer.
        if self.status >= 200 or self.status == 101:
            self._has_head = True
            self._keeps_alive = self._parser.should_keep_alive()
        else:
            self.headers.clear()
            self.reason = ""

    def on_body(self, piece: bytes) -> None:
        if not self.is_complete:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        self.is_complete = self.status >= 200
