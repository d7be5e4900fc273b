"""The body of a POST: read within limits, and checked to be messages of a client."""

from __future__ import annotations

import http
from dataclasses import dataclass, field
from typing import Any

from shmooze.adapters.mcp.messages import INVALID_REQUEST, PARSE_ERROR
from shmooze.errors import PacketError
from shmooze.runtime import jsonsafe

#: Bytes of a body.
MAX_BODY = 4 << 20
#: Messages in one list.
MAX_BATCH = 50


class Refused(Exception):
    """A request that is refused as a whole, with the HTTP status for that."""

    def __init__(
        self, status: int, message: str, *headers: tuple[str, str], code: int = INVALID_REQUEST
    ) -> None:
        super().__init__(message)
        self.status, self.headers, self.code = status, headers, code

    @property
    def status_line(self) -> str:
        return f"{self.status} {http.HTTPStatus(self.status).phrase}"


@dataclass
class Received:
    """What a client has sent in one POST. Answers are left out: nobody has asked."""

    is_batch: bool
    #: The request that begins a session.
    initialize: dict[str, Any] | None = None
    #: Other requests.
    requests: list[dict[str, Any]] = field(default_factory=list)
    #: Methods and params.
    notifications: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def require_accepted(environ: dict[str, Any], *types: str) -> None:
    """Raise Refused unless the client accepts answers of all these types."""
    given = environ.get("HTTP_ACCEPT", "*/*").split(",")
    accepted = {each.partition(";")[0].strip().lower() for each in given}
    for wanted in types:
        if not accepted & {wanted, f"{wanted.partition('/')[0]}/*", "*/*"}:
            names = " and ".join(types)
            raise Refused(406, f"the header Accept must list {names}")


def receive(environ: dict[str, Any]) -> Received:
    """Read and check the body of a request. Raises Refused."""
    content_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise Refused(415, "the Content-Type must be application/json")
    body = environ["wsgi.input"].read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise Refused(413, f"the body is larger than {MAX_BODY} bytes", ("Connection", "close"))
    try:
        value = jsonsafe.decode(body)
    except PacketError as bad:
        raise Refused(400, f"the body cannot be decoded: {bad}", code=PARSE_ERROR) from bad
    is_batch = isinstance(value, list)
    given = value if is_batch else [value]
    if not 0 < len(given) <= MAX_BATCH:
        raise Refused(400, f"a list must have 1 to {MAX_BATCH} messages")
    received = Received(is_batch)
    for message in given:
        _take(message, received)
    return received


def _take(message: Any, received: Received) -> None:
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise Refused(400, 'a message is an object with `"jsonrpc": "2.0"`')
    if "method" not in message:
        if "result" not in message and "error" not in message:
            raise Refused(400, "a message needs a `method`, unless it is an answer")
        return
    method, params, id = message["method"], message.get("params"), message.get("id")
    if not isinstance(method, str):
        raise Refused(400, "a `method` is a string")
    if params is not None and not isinstance(params, dict):
        raise Refused(400, "`params` are an object")
    if "id" not in message:
        received.notifications.append((method, params or {}))
        return
    if isinstance(id, bool) or not isinstance(id, (int, str)):
        raise Refused(400, "an `id` is a string or a whole number")
    if method != "initialize":
        received.requests.append({"id": id, "method": method, "params": params})
    elif received.is_batch:
        raise Refused(400, "`initialize` must come alone")
    else:
        received.initialize = {"id": id, "params": params}
