"""JSON-RPC messages, as MCP has them.

What a server sends is decoded no further than is needed to pass it on.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

encode = msgspec.json.encode

#: The versions of the protocol that begin with `initialize`, oldest first.
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
LATEST = VERSIONS[-1]
#: The one version in which messages may come in lists.
WITH_BATCHES = "2025-03-26"
#: The version since which a stream may begin with an event that has no message.
WITH_FIRST_EVENT = "2025-11-25"

# Codes of errors.
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
#: For errors of ours.
SERVER_ERROR = -32000

Id = int | str
#: Tells requests apart, of which one may have the id 1 and another "1".
IdKey = tuple[type, Id]


class Message(msgspec.Struct, gc=False):
    """A message of a server."""

    id: Id | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_decode = msgspec.json.Decoder(Message | list[Message]).decode

#: What decoders raise.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RpcError(msgspec.Struct):
    """The part of an error that we read."""

    code: int = SERVER_ERROR
    message: str = "no reason given"


def decode(line: bytes) -> list[Message]:
    """The messages in a line. Raises what UNDECODABLE lists."""
    if not line.isascii():
        line.decode()  # what is passed on is not decoded, and must be UTF-8
    found = _decode(line)
    return found if isinstance(found, list) else [found]


def request(number: int, method: str, params: dict[str, Any] | None) -> dict[str, Any]:
    """A request. `params` may be left out."""
    return {"jsonrpc": "2.0", "id": number, "method": method, **_given(params)}


def notification(method: str, params: Any = None) -> dict[str, Any]:
    """A message that has no answer."""
    return {"jsonrpc": "2.0", "method": method, **_given(params)}


def result(id: Id | None, value: Any) -> dict[str, Any]:
    """The answer to a request."""
    return {"jsonrpc": "2.0", "id": id, "result": value}


def error(id: Id | None, code: int, message: str) -> dict[str, Any]:
    """The answer to a request that failed."""
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}


def words_of(raw: Raw) -> str:
    """The text of an error of a server."""
    try:
        return msgspec.json.decode(raw, type=RpcError).message
    except UNDECODABLE:
        return "the error that it answered has no message"


def as_line(message: Any) -> bytes:
    """A message as one line, without a line break at its end."""
    # A carriage return within a message that is passed on is a space between two of its parts.
    return encode(message).replace(b"\r", b" ")


def _given(params: Any) -> dict[str, Any]:
    return {} if params is None else {"params": params}


class _Progress(msgspec.Struct):
    progressToken: Any = None


def progress_token(params: Raw | None) -> int | None:
    """The token of a report on progress, if it is one of ours."""
    try:
        token = msgspec.json.decode(params or b"", type=_Progress).progressToken
    except UNDECODABLE:
        return None
    return token if type(token) is int else None  # and not true, which is equal to 1
