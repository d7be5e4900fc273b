"""Packets, the one form of every message: success, failure, and the line that carries them.

Shapes:

    {"success": true, "result": VALUE}
    {"success": false, "error": "one line"}

Used in child processes too: standard library only, and light.
"""

from __future__ import annotations

import json

from shmooze.errors import Failure, PacketError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def good(result: Any = None) -> dict[str, Any]:
    """The packet that says: done, and this is the result."""
    return {"success": True, "result": result}


def error(message: str) -> dict[str, Any]:
    """The packet that says: not done, and why.

    Line breaks become spaces, and what a terminal would obey is shown escaped.
    """
    text = " ".join(str(message).split())
    if not text.isprintable():
        # Few messages need it, and each child would load it.
        from shmooze.runtime.printable import printable

        text = printable(text)
    return {"success": False, "error": text}


def assert_success(packet: Any) -> Any:
    """The result of a success packet.

    Raises Failure with the other side's words for a failure packet, PacketError for a value
    that is neither.
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

    Raises ValueError for what JSON has no word for (NaN, infinities), TypeError for what is no
    JSON value.
    """
    return json.dumps(packet, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Any:
    """The value of one line. Raises PacketError where it is not JSON."""
    try:
        return json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as bad:
        raise PacketError(f"not JSON: {bad}") from bad


def _refuse_constant(name: str) -> Any:
    """NaN and the infinities, which Python takes for JSON and nobody else does."""
    raise ValueError(f"{name} is no JSON")
