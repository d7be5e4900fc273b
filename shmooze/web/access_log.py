"""The access log: a line for each request, if the settings enable it.

    127.0.0.1 kitchen "POST /queue" 200 57 bytes 3.1 ms

Client, name of the token or `-`, request, status, bytes that were sent, time until the last of
them. The query is left out, since some programs put secrets there.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from shmooze.runtime.printable import printable
from shmooze.web.environ import CLIENT, HOLDER

#: Off unless `access_log` is set: see runtime/program.py.
log = logging.getLogger("shmooze.access_log")


class Answered(Protocol):
    """An answer that was given, as far as it went."""

    #: The status; 0: there was none.
    code: int
    #: Bytes that were sent.
    sent: int
    successor: Any


def is_on() -> bool:
    """Whether there is an access log."""
    return log.isEnabledFor(logging.INFO)


def write(environ: dict[str, Any], response: Answered, seconds: float) -> None:
    """Write the line of one request, which took so long."""
    status = response.code or (500 if response.successor is None else 101)
    entry = {
        "client": environ.get(CLIENT) or environ.get("REMOTE_ADDR", "-"),
        "by": getattr(environ.get(HOLDER), "name", None),
        "method": environ["REQUEST_METHOD"],
        "path": printable(_utf_8(environ.get("PATH_INFO", ""))),
        "status": status,
        "bytes": response.sent,
        "ms": round(seconds * 1000, 1),
    }
    log.info(
        '%s %s "%s %s" %d %d bytes %.1f ms',
        entry["client"],
        printable(entry["by"] or "-"),
        *(entry[key] for key in ("method", "path", "status", "bytes", "ms")),
        extra={"fields": entry},
    )


def _utf_8(path: str) -> str:
    """A path of WSGI, whose characters are the bytes of UTF-8."""
    return path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")
