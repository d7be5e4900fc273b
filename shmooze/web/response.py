"""One response: what a WSGI application returns, written as HTTP.

Head and first bytes leave together, since each send costs more than all else in a small answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Protocol

from shmooze.web.head import Head

log = logging.getLogger(__name__)

#: Bytes that are sent at once: what a client must take within the time for sending.
PIECE = 1 << 16

#: Statuses whose answers have no body.
_NO_BODY = (204, 304)


class ApplicationError(Exception):
    """The application has broken a rule of WSGI or HTTP."""


class Transport(Protocol):
    """What an answer needs of the connection that it goes out on."""

    @property
    def is_stopping(self) -> bool:
        """Whether the server takes no further request."""

    def send(self, data: bytes | memoryview) -> None:
        """Send at most PIECE bytes, and what frames them."""

    def while_streaming(self) -> AbstractContextManager[Any]:
        """A context around an answer without end."""

    def while_client_waits(self) -> AbstractContextManager[Any]:
        """A context around an answer that is over when the client leaves."""


class Response:
    """Answers one request. `run` may be called once.

    A result with `is_streamed` comes in its own time: its head is sent at once, with what it has
    already, which `take` returns; and it is over when the client leaves. A result with `takes_over`
    is no answer: it is the `successor` of HTTP on this connection.
    """

    def __init__(self, transport: Transport, head: Head) -> None:
        self._transport = transport
        self._is_head = head.method == "HEAD"
        self._is_http_1_0 = head.version == "HTTP/1.0"
        #: Whether the connection can carry another request.
        self.keeps_alive = head.keeps_alive
        #: Whether something has been sent.
        self.has_begun = False
        self.successor: Any = None
        self._status: str | None = None
        #: The status; 0: the application has not said it.
        self.code = 0
        #: Bytes that were sent.
        self.sent = 0
        #: The application's headers, as they are sent.
        self._lines = b""
        #: Their names in lower case to their values.
        self._headers: dict[str, str] = {}
        self._result: Any = None
        self._is_chunked = False
        #: Bytes that the announced length leaves to be sent; None: no length is announced.
        self._left: int | None = None

    def run(self, application: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> None:
        """Call the application and send its answer. Raises what it raises, and what sending raises.

        An answer that is shorter than announced ends the connection: the client would take the
        next answer for the rest of it.
        """
        self._result = application(environ, self.start_response)
        if getattr(self._result, "takes_over", False):
            self.successor, self._result = self._result, None
            return
        try:
            if is_event_stream(self._headers.get("content-type", "")):
                with self._transport.while_streaming():
                    self._write_result()
            elif getattr(self._result, "is_streamed", False):
                with self._transport.while_client_waits():
                    self._write_result()
            else:
                self._write_result()
        finally:
            result, self._result = self._result, None
            if (close := getattr(result, "close", None)) is not None:
                close()
        if self._left and not self._is_head:
            log.error("the answer to %s is shorter than announced", environ.get("PATH_INFO"))
            self.keeps_alive = False

    @property
    def ends_with_connection(self) -> bool:
        """Whether a client takes the end of the connection for the end of the answer."""
        return self.has_begun and self._left is None and not self._is_chunked

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """What WSGI calls `start_response`. Raises ApplicationError for what cannot be sent."""
        if exc_info is not None:
            try:
                if self.has_begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # or it would hold this frame, and this frame it
        elif self._status is not None:
            raise ApplicationError("start_response was called twice")
        try:
            lines = "".join([name + ": " + value + "\r\n" for name, value in headers])
            whole = status + "\r\n" + lines
            self._lines = lines.encode("latin-1")
            self.code = int(status[:3])
        except (TypeError, ValueError) as bad:
            raise ApplicationError(f"status or headers cannot be sent: {bad}") from bad
        count = len(headers) + 1
        if whole.count("\r") != count or whole.count("\n") != count or "\0" in whole:
            raise ApplicationError("a line break or a NUL in the status or a header")
        names = [name.lower() for name, _ in headers]
        if "transfer-encoding" in names or names.count("content-length") > 1:
            raise ApplicationError("the server says where a body ends, or one Content-Length does")
        self._status = status
        self._headers = {name.lower(): value for name, value in headers}
        return self.write

    def write(self, data: bytes) -> None:
        """Send a part of the body, and the head ahead of the first one."""
        if not isinstance(data, (bytes, bytearray)):
            raise ApplicationError(f"a body is made of bytes, not of {type(data).__name__}")
        head = b"" if self.has_begun else self._begin()
        if self._is_head:
            data = b""
        elif self._left is not None:
            if len(data) > self._left:  # the client would take the rest for the next answer
                raise ApplicationError("the answer is longer than announced")
            self._left -= len(data)
        self.has_begun = True
        for start in range(0, max(1, len(data)), PIECE):
            frame = self._frame(memoryview(data)[start : start + PIECE])
            self._send(b"".join((head, frame)) if head else frame)
            head = b""

    def _write_result(self) -> None:
        if getattr(self._result, "is_streamed", False):
            self.write(self._result.take())
        for piece in self._result:
            if piece:
                self.write(piece)
        if not self.has_begun:
            self.write(b"")
        if self._is_chunked and not self._is_head:
            self._send(b"0\r\n\r\n")

    def _send(self, data: bytes | memoryview) -> None:
        if data:
            self._transport.send(data)
            self.sent += len(data)

    def _frame(self, data: memoryview) -> bytes | memoryview:
        if self._is_chunked and data:
            return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))
        return data

    def _begin(self) -> bytes:
        """The head, which also says how the end of the body is announced."""
        if self._status is None:
            raise ApplicationError("start_response was not called")
        lines = ["" if "date" in self._headers else f"Date: {_now()}\r\n", self._announce_length()]
        if self._headers.get("connection", "").lower() == "close" or self._transport.is_stopping:
            self.keeps_alive = False
        if "connection" not in self._headers:
            if not self.keeps_alive:
                lines.append("Connection: close\r\n")
            elif self._is_http_1_0:
                lines.append("Connection: keep-alive\r\n")
        status, more = self._status.encode("latin-1"), "".join(lines).encode()
        return b"HTTP/1.1 %b\r\n%b%b\r\n" % (status, self._lines, more)

    def _announce_length(self) -> str:
        """Determine the length of the body. Returns the header line for it, if it is missing."""
        announced = self._headers.get("content-length")
        if announced is not None:
            if not (announced.isascii() and announced.isdigit()):
                raise ApplicationError(f"the Content-Length {announced!r} is not a number")
            self._left = int(announced)
        if self.code in _NO_BODY:
            if self._left:
                raise ApplicationError(f"an answer with status {self.code} has no body")
            self._left = 0
        elif announced is None:
            if isinstance(self._result, (list, tuple)):
                self._left = sum(map(len, self._result))
                return f"Content-Length: {self._left}\r\n"
            if self._is_http_1_0:
                self.keeps_alive = False  # its end is that of the connection
            else:
                self._is_chunked = True
                return "Transfer-Encoding: chunked\r\n"
        return ""


def is_event_stream(content_type: str) -> bool:
    """Whether a Content-Type is that of an event stream, an answer without end."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


def _now() -> str:
    return _format_date(int(time.time()))


@lru_cache(1)
def _format_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
