"""Static files over HTTP: which file a path means, what a client has of it already, what it wants.

A browser may keep a file, but asks each time whether it is still good (`no-cache`), so that a page
and its scripts are always of one version. Times say little about that: those of an older version
that is put back are older, and packages may set all of them to the same second. So the tag of a
file is a hash of its bytes. Only one that is too large for that is told by its inode, size and
times; the time at which the inode was changed last cannot be set back.

Conditions and ranges are those of RFC 9110, sections 13 and 14. Of several ranges, the whole file
is sent.
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

#: What the system says of a path at which there is no file, or none that we may read.
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
        """What a GET or HEAD of the file at `path` gets; None where no file is.

        Raises Refused: 412 for a condition that does not hold, 416 for a range beyond the end.
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
                size = len(content)  # it may just have been cut
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
        """Where `path` leads, be there a file or not; None outside of the folder."""
        root = os.path.realpath(self._root)
        try:
            real = os.path.realpath(os.path.join(root, path.lstrip("/")))
        except ValueError:  # no path: it has a NUL in it
            return None
        return real if os.path.commonpath([root, real]) == root else None  # a link may lead out

    def _open(self, path: str) -> IO[bytes] | None:
        real = self.locate(path)
        if real is None or path.endswith("/"):
            return None
        try:
            # Anything but a file is not even opened: that may do something, or wait.
            return open(real, "rb", buffering=0) if stat.S_ISREG(os.stat(real).st_mode) else None
        except OSError as bad:
            if bad.errno in _ABSENT:
                return None
            raise

    def _pieces(self, file: IO[bytes], path: str, start: int, end: int) -> Iterator[bytes]:
        """The announced bytes of a file and no more, though it may grow."""
        with file:
            file.seek(start)
            while start < end:
                data = file.read(min(self.piece, end - start))
                if not data:
                    log.warning("%s has become shorter while it was sent", path)
                    return  # less than was announced: the server closes the connection
                start += len(data)
                yield data


def content_type(path: str) -> str:
    """The type of a file by its name; nobody has to guess it from what is in the file."""
    extension = os.path.splitext(path)[1].lower()
    # As a path it begins with a slash; else a colon in a name could make it pass for a URL.
    kind, encoding = mimetypes.guess_type(f"/{path}", strict=False)
    if encoding is not None:
        return "application/gzip" if encoding == "gzip" else f"application/x-{encoding}"
    kind = _TYPES.get(extension) or kind or "application/octet-stream"
    return f"{kind}; charset=UTF-8" if kind.startswith("text/") else kind


def _has_changed(environ: Mapping[str, Any], tag: str, modified: int) -> bool:
    """Whether a client needs more than the word that it has the file already.

    A time counts only where no tag is told, and only as the very one that we have said: that of an
    older version is earlier, and not what the client has.
    """
    if (wanted := environ.get("HTTP_IF_MATCH")) is not None:
        met = _names(wanted, tag, weakly=False)
    else:
        since = parse_date(environ.get("HTTP_IF_UNMODIFIED_SINCE"))
        met = since is None or modified <= since
    if not met:
        raise Refused(412, "the file has changed: the request's condition does not hold")
    if (known := environ.get("HTTP_IF_NONE_MATCH")) is not None:
        return not _names(known, tag, weakly=True)
    return parse_date(environ.get("HTTP_IF_MODIFIED_SINCE")) != modified


def _names(header: str, tag: str, weakly: bool) -> bool:
    """Whether a list of tags has this one, or is `*`. A weak tag is only weakly the same."""
    found = _TAG.findall(header)
    return header.strip() == "*" or any(
        each == tag and (weakly or not weak) for weak, each in found
    )


def _part(environ: Mapping[str, Any], tag: str, modified: int, size: int) -> tuple[int, int] | None:
    """Where the wanted range begins and ends; None for the whole. Raises Refused."""
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
            return None  # satisfied, but nothing could be told as a range
    else:
        start, end = int(first), min(size, int(last or size) + 1)
        if last and int(last) < int(first):
            return None  # no range at all
    if start >= end:
        raise Refused(
            416, f"the file has {size} bytes only", **{"Content-Range": f"bytes */{size}"}
        )
    return start, end
