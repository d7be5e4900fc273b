"""Static files over HTTP: the file of a path, its validators, conditional requests, ranges.

A browser may keep a file, but revalidates it each time (`no-cache`), so that a page and its scripts
always have the same version. Times are poor validators: an older version that is restored has older
ones, and packages may set all of them to the same second. So the ETag of a file is a hash of its
content. A file too large for that is identified by inode, size and times; the time at which the
inode was changed last cannot be set back.

Conditions and ranges are those of RFC 9110, sections 13 and 14. A request for several ranges gets
the whole file.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import mimetypes
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from email.utils import formatdate
from typing import IO, Any

from bottle import HTTPResponse, parse_date

from shmooze.web.answers import Refused

log = logging.getLogger(__name__)

_TAG = re.compile(r'(W/)?("[^"]*")')
_RANGE = re.compile(r"bytes=[ \t]*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))[ \t]*", re.I | re.A)

#: Errors of the system for a path with no file, or with one that we may not read.
_ABSENT = {
    *(errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.EACCES, errno.EPERM),
}

#: Types that must be right for a page to work; a system's own table may lack them.
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}


class StaticFiles:
    """Answers with the files of the folder `root`, and with nothing outside of it."""

    #: Bytes up to which a file's tag is a hash of its content.
    hashed = 1 << 20
    #: Bytes of a file that are in memory at a time while it is sent.
    piece = 1 << 16

    def __init__(self, root: str) -> None:
        self._root = root

    def answer(self, path: str, environ: Mapping[str, Any]) -> HTTPResponse | None:
        """The answer to a GET or HEAD of the file at `path`; None if there is no file.

        Raises Refused: 412 for a failed precondition, 416 for a range beyond the end.
        """
        with ExitStack() as opened:
            file = self._open(path)
            if file is None:
                return None
            opened.enter_context(file)
            found = os.fstat(file.fileno())
            size, modified = found.st_size, int(found.st_mtime)
            content = file.read(size) if size <= self.hashed else None
            if content is None:
                times = f"{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"
                tag = f'"{found.st_ino:x}-{size:x}-{times}"'
            else:
                size = len(content)  # it may just have been truncated
                tag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
            headers = {
                "Accept-Ranges": "bytes",
                "Cache-Control": "no-cache",
                "Content-Type": content_type(path),
                "ETag": tag,
                "Last-Modified": formatdate(modified, usegmt=True),
            }
            if not _has_changed(environ, tag, modified):
                return HTTPResponse("", 304, headers)
            is_head = environ["REQUEST_METHOD"] == "HEAD"
            part = None if is_head else _part(environ, tag, modified, size)
            start, end = part or (0, size)
            headers["Content-Length"] = str(end - start)
            if part:
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
            body: bytes | Iterator[bytes]
            if is_head:
                body = b""
            elif content is not None and end - start <= self.piece:
                body = content[start:end]
            else:
                body = self._pieces(file, path, start, end)
                opened.pop_all()  # it closes the file
            return HTTPResponse(body, 206 if part else 200, headers)

    def locate(self, path: str) -> str | None:
        """Where `path` leads, whether or not there is a file; None outside of the folder."""
        root = os.path.realpath(self._root)
        try:
            real = os.path.realpath(os.path.join(root, path.lstrip("/")))
        except ValueError:  # a path cannot have a NUL in it
            return None
        return real if os.path.commonpath([root, real]) == root else None  # a link may lead out

    def _open(self, path: str) -> IO[bytes] | None:
        real = self.locate(path)
        if real is None or path.endswith("/"):
            return None
        try:
            # Only regular files are opened: opening others may have effects, or block.
            return open(real, "rb", buffering=0) if stat.S_ISREG(os.stat(real).st_mode) else None
        except OSError as bad:
            if bad.errno in _ABSENT:
                return None
            raise

    def _pieces(self, file: IO[bytes], path: str, start: int, end: int) -> Iterator[bytes]:
        """The announced bytes of a file and no more, even if it grows."""
        with file:
            file.seek(start)
            while start < end:
                data = file.read(min(self.piece, end - start))
                if not data:
                    log.warning("%s was truncated while it was sent", path)
                    return  # less than was announced: the server closes the connection
                start += len(data)
                yield data


def content_type(path: str) -> str:
    """The content type of a file, from its name. Clients must not guess it from the content."""
    extension = os.path.splitext(path)[1].lower()
    # As a path it begins with a slash; else a colon in a name could make it pass for a URL.
    kind, encoding = mimetypes.guess_type(f"/{path}", strict=False)
    if encoding is not None:
        return "application/gzip" if encoding == "gzip" else f"application/x-{encoding}"
    kind = _TYPES.get(extension) or kind or "application/octet-stream"
    return f"{kind}; charset=UTF-8" if kind.startswith("text/") else kind


def _has_changed(environ: Mapping[str, Any], tag: str, modified: int) -> bool:
    """Whether a client needs the file; otherwise 304 tells it that it has the current version.

    A time counts only if no ETag is given, and only if it is exactly the one that we have sent:
    that of a restored older version is earlier.
    """
    if (wanted := environ.get("HTTP_IF_MATCH")) is not None:
        met = names_tag(wanted, tag, weakly=False)
    else:
        since = parse_date(environ.get("HTTP_IF_UNMODIFIED_SINCE"))
        met = since is None or modified <= since
    if not met:
        raise Refused(412, "the file has changed: the precondition of the request failed")
    if (known := environ.get("HTTP_IF_NONE_MATCH")) is not None:
        return not names_tag(known, tag)
    return parse_date(environ.get("HTTP_IF_MODIFIED_SINCE")) != modified


def names_tag(header: str, tag: str, weakly: bool = True) -> bool:
    """Whether a list of ETags contains this one, or is `*`. Weak ones match only weakly."""
    found = _TAG.findall(header)
    return header.strip() == "*" or any(
        each == tag and (weakly or not weak) for weak, each in found
    )


def _part(environ: Mapping[str, Any], tag: str, modified: int, size: int) -> tuple[int, int] | None:
    """Where the requested range begins and ends; None for the whole file. Raises Refused."""
    match = _RANGE.fullmatch(environ.get("HTTP_RANGE", ""))
    if match is None:
        return None
    same = environ.get("HTTP_IF_RANGE")
    if same is not None and same.strip() != tag and parse_date(same) != modified:
        return None
    first, last, count = match.groups()
    if count is not None:
        start, end = max(0, size - int(count)), size
        if not size and int(count):
            return None  # it can be satisfied, but not be written as a range
    else:
        start, end = int(first), min(size, int(last or size) + 1)
        if last and int(last) < int(first):
            return None  # not a range
    if start >= end:
        raise Refused(
            416, f"the file has only {size} bytes", **{"Content-Range": f"bytes */{size}"}
        )
    return start, end
