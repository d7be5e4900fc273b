"""Packets: the format of all messages, and their encoding as lines of JSON.

Shapes:

    {"success": true, "result": VALUE}
    {"success": false, "error": "one line"}

Child processes import this file too, so it uses only light parts of the standard library.
"""

from __future__ import annotations

import json

from shmooze.errors import Failure, PacketError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def good(result: Any = None) -> dict[str, Any]:
    """A success packet."""
    return {"success": True, "result": result}


def error(message: str) -> dict[str, Any]:
    """A failure packet.

    Line breaks become spaces, and control characters are escaped.
    """
    text = " ".join(str(message).split())
    if not text.isprintable():
        # Imported here, since few messages need it and every child imports this file.
        from shmooze.runtime.printable import printable

        text = printable(text)
    return {"success": False, "error": text}


def assert_success(packet: Any) -> Any:
    """The result of a success packet.

    Raises Failure with the sender's message for a failure packet, PacketError for a value that is
    not a packet.
    """
    if not isinstance(packet, dict) or not isinstance(packet.get("success"), bool):
        raise PacketError("malformed answer: expected an object with `success` true or false")
    if packet["success"]:
        return packet.get("result")
    if "error" not in packet:
        raise PacketError("malformed answer: `success` is false and `error` is missing")
    raise Failure(str(packet["error"]))


def encode(packet: Any) -> bytes:
    """A packet as one line of UTF-8 JSON, newline included.

    Raises ValueError for NaN and infinities, TypeError for a value that JSON cannot represent.
    """
    return json.dumps(packet, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Any:
    """The value of one line. Raises PacketError if it is not JSON."""
    try:
        return json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as bad:
        raise PacketError(f"not JSON: {bad}") from bad


def _refuse_constant(name: str) -> Any:
    """Refuse NaN and infinities, which Python accepts although they are not JSON."""
    raise ValueError(f"{name} is not JSON")
