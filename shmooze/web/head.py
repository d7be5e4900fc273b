"""The head of an HTTP request: parsed by httptools, then checked more strictly.

A head that two programs could read in two ways, such as one with both Content-Length and chunks,
is refused (RFC 9112; where it leaves a choice, the safe one). Every refusal is a `BadRequest` with
the status for the client.

What the parser has understood is compared with what was sent: the request line must be exactly
what it would be if written anew, and each line must have become one header. So nothing depends on
how lenient a release of the parser is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from httptools import (
    HttpParserError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from shmooze.web.limits import Limits

#: Headers that one request may have.
MAX_HEADERS = 100

_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OTHER_VERSION = re.compile(rb"\S+ \S+ HTTP/\d\.\d")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(:[0-9]{0,5})?")
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)

#: Headers of which a second one makes it unclear what is meant.
_ONCE = {
    *("host", "content-length", "transfer-encoding", "content-type"),
    *("authorization", "origin", "expect"),
}
#: Headers that the parser checks together; their errors are told by `_check`.
_FRAMING = (b"content-length", b"transfer-encoding")


class BadRequest(Exception):
    """A request that is refused before any application sees it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Head:
    """The first part of a request."""

    method: str
    #: Path and query, as they were sent.
    target: str
    #: "HTTP/1.0" or "HTTP/1.1".
    version: str
    #: Names in lower case; the values of headers with the same name are joined as HTTP says.
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
        options = {each.strip().lower() for each in self.headers.get("connection", "").split(",")}
        return "close" not in options and (self.version == "HTTP/1.1" or "keep-alive" in options)


class _Parsed:
    """What the parser finds in a head."""

    def __init__(self) -> None:
        self.url = b""
        self.version = ""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, piece: bytes) -> None:
        self.url += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))


def _parse(head: bytes) -> _Parsed:
    """Parse a head, up to its empty line. Raises HttpParserError."""
    parsed = _Parsed()
    parser = HttpRequestParser(parsed)
    try:
        parser.feed_data(head)
    except HttpParserUpgrade:
        pass  # a server may ignore it, and we do
    parsed.version = parser.get_http_version()
    return parsed


def parse_head(text: bytes, limits: Limits) -> Head:
    """The head of a request from its bytes, without the empty line. Raises BadRequest."""
    if text.count(b"\n") != (lines := text.count(b"\r\n")):
        raise BadRequest(400, "a header line does not end with CR LF")
    line = text.partition(b"\r\n")[0]
    if len(line) > limits.max_url:
        raise BadRequest(414, f"the URL is longer than {limits.max_url} bytes")
    if lines > MAX_HEADERS:
        raise BadRequest(431, f"the request has more than {MAX_HEADERS} headers")
    method = line.partition(b" ")[0]
    if method == b"CONNECT":
        raise BadRequest(501, "this server is not a proxy: it does not support CONNECT")
    if not _METHOD.fullmatch(method):
        raise _bad_request_line()
    # Any token is a method. The parser knows only those that are registered, and has rules of its
    # own for some, so it is given one that has none.
    try:
        parsed = _parse(b"GET%b\r\n\r\n" % text[len(method) :])
    except HttpParserError as bad:
        _explain(bad, text, method)
    if line != b"%b %b HTTP/%b" % (method, parsed.url, parsed.version.encode()):
        raise _bad_request_line()
    if parsed.version not in ("1.0", "1.1"):
        raise _other_version()
    if len(parsed.headers) != lines:
        raise BadRequest(400, "a header line is continued on the next line")
    version = f"HTTP/{parsed.version}"
    authority, target = _split_target(parsed.url.decode("latin-1"))
    headers = _collect(parsed.headers)
    if authority is not None:
        if version == "HTTP/1.1":
            _check_host(headers.get("host"))  # it must be there, though it does not count
        headers["host"] = authority
    _check(version, headers)
    return Head(method.decode(), target, version, headers)


def _explain(error: HttpParserError, text: bytes, method: bytes) -> NoReturn:
    """Raise a BadRequest that says what is wrong with a head that the parser has refused."""
    first, *lines = text.split(b"\r\n")
    try:
        _parse(b"GET%b\r\n\r\n" % first[len(method) :])
    except HttpParserInvalidURLError as bad:
        words = "the URL in the first line must be ASCII and begin with /, http:// or https://"
        raise BadRequest(400, words) from bad
    except HttpParserError as bad:
        raise (
            _other_version() if _OTHER_VERSION.fullmatch(first) else _bad_request_line()
        ) from bad
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name, value))
        try:
            if name.lower() not in _FRAMING:
                _parse(b"GET / HTTP/1.1\r\n%b\r\n\r\n" % line)
        except HttpParserError as bad:
            shown = line[:60].decode("latin-1")
            raise BadRequest(400, f"a header line is malformed: {shown!r}") from bad
    _check("HTTP/1.1", {"host": "localhost", **_collect(headers)})
    raise BadRequest(400, f"the header cannot be parsed: {error}") from error


def _collect(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names in lower case to values. Raises BadRequest for one that may be given only once."""
    collected: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
        if "_" in name:
            continue  # in WSGI it could pass for the one with a hyphen
        if name in collected:
            if name in _ONCE:
                raise BadRequest(400, f"the header {name.title()} appears more than once")
            value = f"{collected[name]}{'; ' if name == 'cookie' else ', '}{value}"
        collected[name] = value
    return collected


def _split_target(target: str) -> tuple[str | None, str]:
    """Host, where the target names one, and path with query (RFC 9112, section 3.2)."""
    if target.startswith("/"):
        return None, target
    if target == "*":
        raise BadRequest(400, "the URL in the first line must be a path: `*` is not supported")
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadRequest(400, "the URL in the first line must begin with /, http:// or https://")
    authority, rest = match.groups()
    if not _HOST.fullmatch(authority):
        raise BadRequest(400, "the URL in the first line must have one valid host and no user name")
    return authority, rest if rest.startswith("/") else f"/{rest}"


def _check(version: str, headers: dict[str, str]) -> None:
    _check_host(headers.get("host"))
    encoding = headers.get("transfer-encoding")
    length = headers.get("content-length")
    if encoding is not None:
        if length is not None:
            raise BadRequest(400, "a body is either chunked or has a Content-Length, not both")
        if version == "HTTP/1.0":
            raise BadRequest(400, "HTTP/1.0 has no Transfer-Encoding")
        if encoding.lower() != "chunked":
            raise BadRequest(501, f"the Transfer-Encoding {encoding[:40]!r} is not supported")
    if length is not None and not _LENGTH.fullmatch(length):
        raise BadRequest(400, f"the Content-Length {length[:40]!r} is not a number")
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise BadRequest(417, "no other Expect than 100-continue is supported")


def _check_host(host: str | None) -> None:
    if host is None or not _HOST.fullmatch(host):
        raise BadRequest(400, "the request needs one valid Host header")


def _bad_request_line() -> BadRequest:
    return BadRequest(400, "the first line is not `METHOD /PATH HTTP/1.1`")


def _other_version() -> BadRequest:
    return BadRequest(505, "only HTTP/1.0 and HTTP/1.1 are supported")
