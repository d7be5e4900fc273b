"""The WSGI environment of a request, and the keys that our server adds to it."""

from __future__ import annotations

import io
from typing import Any

from shmooze.web.body import RequestBody
from shmooze.web.head import Head

#: A function that delays a refusal by some seconds. Meanwhile the connection is evictable.
THROTTLE = "shmooze.throttle"

#: A function that tells whether the client has closed its side.
HAS_LEFT = "shmooze.has_left"

#: A context in which the request is abandoned when its client leaves.
WHILE_IT_WAITS = "shmooze.while_it_waits"

#: Whether an application may answer with a Successor; see connection.py.
SWITCHES = "shmooze.switches"

#: A function that tells whether the token of a request is still valid; missing without tokens.
IS_VALID = "shmooze.is_valid"

#: Who has sent the request, where the access gate has let it in: the holder of its token, and its
#: client's address, even behind a trusted proxy.
HOLDER, CLIENT = "shmooze.holder", "shmooze.client"

#: The headers of the request, names in lower case to values.
HEADERS = "shmooze.headers"

#: The target of the request, path and query as they were sent.
TARGET = "shmooze.target"


def fill_environ(
    environ: dict[str, Any], head: Head, body: bytes | RequestBody, address: tuple[Any, ...]
) -> None:
    """Add the request and its client's address to the environment of the server."""
    for name, value in head.headers.items():
        environ["HTTP_" + name.replace("-", "_").upper()] = value
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if (value := environ.pop(f"HTTP_{name}", None)) is not None:
            environ[name] = value
    is_chunked = environ.pop("HTTP_TRANSFER_ENCODING", None) is not None
    if is_chunked and isinstance(body, bytes):
        environ["CONTENT_LENGTH"] = str(len(body))  # its chunks are joined
    environ |= {
        "REQUEST_METHOD": head.method,
        "PATH_INFO": head.path,
        "QUERY_STRING": head.query,
        "SERVER_PROTOCOL": head.version,
        "REMOTE_ADDR": address[0],
        "REMOTE_PORT": str(address[1]),
        "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else body,
        TARGET: head.target,
        HEADERS: head.headers,
        SWITCHES: True,
        "wsgi.input_terminated": True,
    }
