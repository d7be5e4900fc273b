"""One HTTP request: head and body, read completely within size limits and deadlines.

What is refused ends the connection: nobody knows where the next request would begin.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from httptools import HttpParserError, HttpRequestParser

from shmooze.runtime.time_slices import TimeSlices
from shmooze.web.body import HungUp, RequestBody
from shmooze.web.head import MAX_HEADERS, BadRequest, Head, parse_head
from shmooze.web.limits import Limits
from shmooze.web.sockets import peek, wait_until

#: Bytes that are taken from the network at once.
_PIECE = 1 << 16
#: Bytes of a line that tells the size of a chunk, or of a line after the last chunk.
_MAX_CHUNK_LINE = 4096
#: What the parser is given ahead of a body in chunks.
_CHUNKED_HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"

_ORIGIN = re.compile(rb"\r\norigin:[ \t]*([!-~]+)[ \t]*(?=\r\n)", re.IGNORECASE)
_LONE_LF = re.compile(rb"(?<!\r)\n")


#: By when the next piece has to come, as of time.monotonic.
Deadline = Callable[[], float]


class Incoming:
    """What comes in on one connection, request by request."""

    def __init__(self, connection: Any, limits: Limits) -> None:
        self._connection = connection
        self._limits = limits
        self._buffer = bytearray()
        #: The head of the current request, once it is complete.
        self._head = b""
        self._slices = TimeSlices()

    def wait(self) -> None:
        """Wait for the first byte of a request. Raises HungUp.

        If the client's next request is always there already, other greenlets run first.
        """
        waits = not self._buffer and peek(self._connection) is None
        if not waits:
            self._slices.yield_if_over()
        self._connection.settimeout(self._limits.idle_timeout)
        try:
            while not self._buffer:
                self._receive()
        except (OSError, EOFError) as gone:
            raise HungUp from gone
        if waits:  # and others ran meanwhile
            self._slices.begin()

    def has_hung_up(self) -> bool:
        """Whether the client has closed its side, as far as that is known without waiting."""
        return peek(self._connection) == b""

    @property
    def origin(self) -> str | None:
        """The Origin of a request that is being refused, as far as its head has come."""
        found = _ORIGIN.findall((self._head or bytes(self._buffer)) + b"\r\n")
        return found[0].decode() if len(found) == 1 else None

    def read_some(self, seconds: float) -> None:
        """Read the beginning of a request, for `origin`. Waits at most `seconds` for it."""
        self._connection.settimeout(seconds)
        try:
            self._receive()
        except (OSError, EOFError):
            pass  # then the origin is not known

    def head(self) -> Head:
        """The head of the next request. Raises BadRequest, or HungUp in the middle of it."""
        limit, deadline = self._limits.max_header, time.monotonic() + self._limits.header_timeout
        searched = skipped = 0
        self._head = b""
        while True:
            while self._buffer.startswith(b"\r\n"):
                del self._buffer[:2]  # empty lines before a request are ignored
                searched, skipped = 0, skipped + 2
            end = self._buffer.find(b"\r\n\r\n", max(0, searched - 3))
            if 0 <= end <= limit:
                self._head = bytes(self._buffer[:end])
                del self._buffer[: end + 4]
                return parse_head(self._head, self._limits)
            if _LONE_LF.search(self._buffer, max(0, searched - 1)):
                raise BadRequest(400, "a header line does not end with CR LF")
            if skipped + len(self._buffer) > limit:
                raise self._header_too_large()
            searched = len(self._buffer)
            self._receive_by(deadline, "header", self._limits.header_timeout)

    def body(self, head: Head) -> bytes:
        """The body that belongs to a head. Raises BadRequest, or HungUp in the middle of it."""
        return self._whole_body(head, self._limits.max_body)

    def stream(
        self, head: Head, waiting: Callable[[], AbstractContextManager[Any]]
    ) -> bytes | RequestBody:
        """The same for a body of any size: a small one, or one to be read as it comes.

        That must not pause for long; each wait is in the context `waiting`.
        """
        if "transfer-encoding" not in head.headers:
            length = int(head.headers.get("content-length", "0"))
            if length <= _PIECE:
                return self._whole_body(head, None) if length else b""
        pieces = self._pieces(head, None, lambda: time.monotonic() + self._limits.body_timeout)
        return RequestBody(pieces, waiting)

    def _whole_body(self, head: Head, limit: int | None) -> bytes:
        deadline = time.monotonic() + self._limits.body_timeout
        return b"".join(self._pieces(head, limit, lambda: deadline))

    def take_rest(self) -> bytes:
        """What has come already of whatever follows the request."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _pieces(self, head: Head, limit: int | None, deadline: Deadline) -> Iterator[bytes]:
        headers = head.headers
        length = int(headers.get("content-length", "0"))
        if limit is not None and length > limit:
            raise self._body_too_large()
        if length or "transfer-encoding" in headers:
            self._ask_to_continue(head)
        if "transfer-encoding" in headers:
            yield from self._chunks(limit, deadline)
        while length:
            yield (piece := self._take_some(length, deadline()))
            length -= len(piece)

    def _ask_to_continue(self, head: Head) -> None:
        if "expect" in head.headers and head.version == "HTTP/1.1" and not self._buffer:
            self._connection.settimeout(self._limits.send_timeout)
            try:
                self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            except OSError as gone:
                raise HungUp from gone

    def _chunks(self, limit: int | None, deadline: Deadline) -> Iterator[bytes]:
        """A body in chunks.

        The parser gets it line by line and chunk by chunk: it cannot stop at the end of a request,
        nor say how large a chunk will be. A parser of its own, since that of the head would take
        what follows an `Upgrade` for another protocol.
        """
        body = _Body()
        parser = HttpRequestParser(body)
        parser.feed_data(_CHUNKED_HEAD)
        size, total = -1, 0
        while size != 0:
            self._slices.yield_if_over()  # a megabyte may come in a million chunks
            line = self._line(deadline())
            try:
                parser.feed_data(line)
            except HttpParserError as bad:
                raise BadRequest(400, "a chunk of the body does not begin with its size") from bad
            size = int(line.partition(b";")[0], 16)  # the parser has checked it
            total += size
            if limit is not None and total > limit:
                raise self._body_too_large()
            left = size + 2 if size else 0
            while left:
                piece = self._take_some(left, deadline())
                left -= len(piece)
                try:
                    parser.feed_data(piece)
                except HttpParserError as bad:
                    words = "a chunk of the body does not end where its size says"
                    raise BadRequest(400, words) from bad
                if body.received:
                    yield bytes(body.received)
                    body.received.clear()
        self._skip_trailer(parser, body, deadline())

    def _skip_trailer(self, parser: HttpRequestParser, body: _Body, deadline: float) -> None:
        """Read the headers after the last chunk, which are of no use to us, and the empty line."""
        for _ in range(MAX_HEADERS):
            try:
                parser.feed_data(self._line(deadline))
            except HttpParserError as bad:
                raise BadRequest(400, "a line after the last chunk is malformed") from bad
            if body.is_complete:
                return
        raise BadRequest(400, "too many lines follow the last chunk of the body")

    def _line(self, deadline: float) -> bytes:
        """A line between chunks, with its CR LF."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _MAX_CHUNK_LINE or b"\n" in self._buffer:
                break
            self._receive_by(deadline, "body", self._limits.body_timeout)
        if not 0 <= end <= _MAX_CHUNK_LINE:
            raise BadRequest(400, "a line between the chunks of the body is too long or malformed")
        line = bytes(self._buffer[: end + 2])
        del self._buffer[: end + 2]
        return line

    def _take_some(self, most: int, deadline: float) -> bytes:
        """At least one byte, and at most so many."""
        if not self._buffer:
            self._receive_by(deadline, "body", self._limits.body_timeout)
        taken = bytes(self._buffer[:most])
        del self._buffer[:most]
        return taken

    def _receive_by(self, deadline: float, part: str, allowed: float) -> None:
        try:
            # Also checked if there is always something to read, when nothing would time out.
            wait_until(deadline, self._connection)
            self._receive()
        except TimeoutError as late:
            words = f"the {part} of the request did not arrive within {allowed:g} s"
            raise BadRequest(408, words) from late
        except (OSError, EOFError) as gone:
            raise HungUp from gone

    def _receive(self) -> None:
        data = self._connection.recv(_PIECE)
        if not data:
            raise EOFError
        self._buffer += data

    def _header_too_large(self) -> BadRequest:
        line = self._buffer[: self._limits.max_url]
        if len(line) == self._limits.max_url and b"\r\n" not in line:
            return BadRequest(414, f"the URL is longer than {self._limits.max_url} bytes")
        return BadRequest(431, f"the header is larger than {self._limits.max_header} bytes")

    def _body_too_large(self) -> BadRequest:
        return BadRequest(413, f"the body is larger than {self._limits.max_body} bytes")


class _Body:
    """What the parser finds in a body in chunks."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.is_complete = False

    def on_body(self, piece: bytes) -> None:
        self.received += piece

    def on_message_complete(self) -> None:
        self.is_complete = True
