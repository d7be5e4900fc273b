"""One HTTP request as it comes in: its head read and checked, its body read whole, in time.

Strict (RFC 9112 where it leaves a choice: the safe one). A request that two programs could read
in two ways, such as one with both Content-Length and chunks, is refused, and so is all that
follows on its connection. Every refusal is a `BadRequest` with the status for the client.
"""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from shmooze.runtime.time_slices import TimeSlices
from shmooze.web.limits import Limits
from shmooze.web.sockets import peek

#: Bytes that are taken from the network at once.
_PIECE = 1 << 16
#: Headers that one request may have.
_MAX_HEADERS = 100
#: Bytes of a line that tells the size of a chunk, or of a line after the last chunk.
_MAX_CHUNK_LINE = 4096

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([!-~]+) HTTP/(\d)\.(\d)")
_HEADER = re.compile(rf"({_TOKEN}):([\t -~\x80-\xff]*)")
_ORIGIN = re.compile(rb"\r\norigin:[ \t]*([!-~]+)[ \t]*(?=\r\n)", re.IGNORECASE)
_LONE_LF = re.compile(rb"(?<!\r)\n")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(:[0-9]{0,5})?")
_LENGTH = re.compile(r"\d{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?")

#: Headers of which a second one makes it unclear what is meant.
_ONCE = {
    *("host", "content-length", "transfer-encoding", "content-type"),
    *("authorization", "origin", "expect"),
}


class BadRequest(Exception):
    """A request that is refused before anybody has looked at what it wants."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class HungUp(Exception):
    """The client has gone, or was quiet for too long between two requests."""


@dataclass
class Head:
    """The first part of a request."""

    method: str
    #: Path and query, as they were sent.
    target: str
    #: "HTTP/1.0" or "HTTP/1.1".
    version: str
    #: Names in lower case; several of one name are joined as HTTP says.
    headers: dict[str, str]

    @property
    def path(self) -> str:
        """The path, unquoted; latin-1 for bytes, as WSGI has it."""
        return unquote_to_bytes(self.target.partition("?")[0]).decode("latin-1")

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants to use the connection again."""
        wishes = {each.strip().lower() for each in self.headers.get("connection", "").split(",")}
        return "close" not in wishes if self.version == "HTTP/1.1" else "keep-alive" in wishes


class Incoming:
    """What comes in on one connection, request by request."""

    def __init__(self, connection: socket.socket, limits: Limits) -> None:
        self._connection: Any = connection
        self._limits = limits
        self._buffer = bytearray()
        #: The head of the current request, once it is complete.
        self._head = b""
        self._slices = TimeSlices()

    def wait(self) -> None:
        """Wait for the first byte of a request. Raises HungUp.

        With a client whose next one is always there already, others have their turn first.
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
        if waits:  # and others had their turn meanwhile
            self._slices.begin()

    def has_hung_up(self) -> bool:
        """Whether the client has closed its side, as far as one can tell without waiting."""
        return peek(self._connection) == b""

    @property
    def origin(self) -> str | None:
        """The Origin of a request that is being refused, as far as its head has come."""
        found = _ORIGIN.findall((self._head or bytes(self._buffer)) + b"\r\n")
        return found[0].decode() if len(found) == 1 else None

    def glance(self, seconds: float) -> None:
        """Read what comes first, for `origin`; wait at most `seconds` for it."""
        self._connection.settimeout(seconds)
        try:
            self._receive()
        except (OSError, EOFError):
            pass  # then it is not known

    def head(self) -> Head:
        """The head of the next request. Raises BadRequest, or HungUp in the middle of it."""
        most, deadline = self._limits.max_header, time.monotonic() + self._limits.header_timeout
        searched = 0
        self._head = b""
        while True:
            if self._buffer.startswith(b"\r\n"):
                del self._buffer[:2]  # an empty line before a request is overlooked
            end = self._buffer.find(b"\r\n\r\n", max(0, searched - 3))
            if 0 <= end <= most:
                self._head = bytes(self._buffer[:end])
                del self._buffer[: end + 4]
                return parse_head(self._head, self._limits)
            if _LONE_LF.search(self._buffer, max(0, searched - 1)):
                raise BadRequest(400, "a line of the header does not end with CR LF")
            if len(self._buffer) > most:
                raise _too_long(bytes(self._buffer), self._limits)
            searched = len(self._buffer)
            self._receive_by(deadline, "header", self._limits.header_timeout)

    def body(self, head: Head) -> bytes:
        """The body that belongs to a head. Raises BadRequest, or HungUp in the middle of it."""
        headers = head.headers
        chunked = "transfer-encoding" in headers
        length = int(headers.get("content-length", "0"))
        if not length and not chunked:
            return b""
        if length > self._limits.max_body:
            raise self._too_large()
        self._ask_to_continue(head)
        deadline = time.monotonic() + self._limits.body_timeout
        return self._chunks(deadline) if chunked else self._take(length, deadline)

    def _ask_to_continue(self, head: Head) -> None:
        if "expect" in head.headers and head.version == "HTTP/1.1" and not self._buffer:
            self._connection.settimeout(self._limits.send_timeout)
            try:
                self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            except OSError as gone:
                raise HungUp from gone

    def _chunks(self, deadline: float) -> bytes:
        body = bytearray()
        while True:
            match = _CHUNK_SIZE.fullmatch(self._line(deadline))
            if match is None:
                raise BadRequest(400, "a chunk of the body does not begin with its size")
            size = int(match[1], 16)
            if size == 0:
                break
            if len(body) + size > self._limits.max_body:
                raise self._too_large()
            body += self._take(size, deadline)
            if self._take(2, deadline) != b"\r\n":
                raise BadRequest(400, "a chunk of the body does not end where its size says")
        for _ in range(_MAX_HEADERS):
            if not self._line(deadline):  # what else stands here is of no use to us
                return bytes(body)
        raise BadRequest(400, "too many lines follow the last chunk of the body")

    def _line(self, deadline: float) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _MAX_CHUNK_LINE or b"\n" in self._buffer:
                break
            self._receive_by(deadline, "body", self._limits.body_timeout)
        if not 0 <= end <= _MAX_CHUNK_LINE:
            raise BadRequest(400, "a line between the chunks of the body is too long or broken")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _take(self, size: int, deadline: float) -> bytes:
        while len(self._buffer) < size:
            self._receive_by(deadline, "body", self._limits.body_timeout)
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _receive_by(self, deadline: float, part: str, allowed: float) -> None:
        self._connection.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            self._receive()
        except TimeoutError as late:
            words = f"the {part} of the request did not come within {allowed:g} s"
            raise BadRequest(408, words) from late
        except (OSError, EOFError) as gone:
            raise HungUp from gone

    def _receive(self) -> None:
        data = self._connection.recv(_PIECE)
        if not data:
            raise EOFError
        self._buffer += data

    def _too_large(self) -> BadRequest:
        return BadRequest(413, f"the body is larger than {self._limits.max_body} bytes")


def parse_head(text: bytes, limits: Limits) -> Head:
    """The head of a request from its bytes, up to the empty line. Raises BadRequest."""
    if _LONE_LF.search(text):
        raise BadRequest(400, "a line of the header does not end with CR LF")
    first, *lines = text.decode("latin-1").split("\r\n")
    method, authority, target, version = _parse_request_line(first, limits)
    if len(lines) > _MAX_HEADERS:
        raise BadRequest(431, f"the request has more than {_MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise BadRequest(400, f"a line of the header is broken: {line[:60]!r}")
        name, value = match[1].lower(), match[2].strip(" \t")
        if "_" in name:
            continue  # in WSGI it could pass for the one with a hyphen
        if name in headers:
            if name in _ONCE:
                raise BadRequest(400, f"the header {match[1]} is there more than once")
            value = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}"
        headers[name] = value
    if authority is not None:
        if version == "HTTP/1.1":
            _check_host(headers.get("host"))  # it must be there, though it does not count
        headers["host"] = authority
    head = Head(method, target, version, headers)
    _check(head)
    return head


def _parse_request_line(line: str, limits: Limits) -> tuple[str, str | None, str, str]:
    """Method, host (None where the target does not name one), path with query, and version."""
    if len(line) > limits.max_url:
        raise BadRequest(414, f"the URL is longer than {limits.max_url} bytes")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadRequest(400, "the first line is not `METHOD /PATH HTTP/1.1`")
    method, target, major, minor = match.groups()
    if major != "1" or minor not in "01":
        raise BadRequest(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    authority, target = _split_target(method, target)
    return method, authority, target, f"HTTP/{major}.{minor}"


def _split_target(method: str, target: str) -> tuple[str | None, str]:
    """Host, where the target names one, and path with query (RFC 9112, section 3.2)."""
    if target.startswith("/"):
        return None, target
    if method == "CONNECT":
        raise BadRequest(501, "this server is not a proxy: it has no CONNECT")
    if target == "*":
        raise BadRequest(400, "the URL in the first line must be a path: `*` is not supported")
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadRequest(400, "the URL in the first line must begin with /, http:// or https://")
    authority, rest = match.groups()
    if not _HOST.fullmatch(authority):
        raise BadRequest(400, "the URL in the first line must have one valid host and no user name")
    return authority, rest if rest.startswith("/") else f"/{rest}"


def _check(head: Head) -> None:
    headers = head.headers
    _check_host(headers.get("host"))
    encoding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if encoding is not None:
        if length is not None:
            raise BadRequest(400, "a body is either chunked or has a Content-Length, not both")
        if head.version == "HTTP/1.0":
            raise BadRequest(400, "HTTP/1.0 knows no Transfer-Encoding")
        if encoding.lower() != "chunked":
            raise BadRequest(501, f"the Transfer-Encoding {encoding[:40]!r} is unknown here")
    if length is not None and not _LENGTH.fullmatch(length):
        raise BadRequest(400, f"the Content-Length {length[:40]!r} is no number")
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise BadRequest(417, "no other Expect than 100-continue is known here")


def _check_host(host: str | None) -> None:
    if host is None or not _HOST.fullmatch(host):
        raise BadRequest(400, "the request needs one valid Host header")


def _too_long(text: bytes, limits: Limits) -> BadRequest:
    if b"\r\n" not in text[: limits.max_url]:
        return BadRequest(414, f"the URL is longer than {limits.max_url} bytes")
    return BadRequest(431, f"the header is larger than {limits.max_header} bytes")
