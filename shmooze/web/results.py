"""The results of commands as JSON: limited in size, and encoded in time slices."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from shmooze.lib import packet
from shmooze.runtime.program import name_of
from shmooze.runtime.time_slices import TimeSlices

log = logging.getLogger(__name__)

#: Bytes that the result of one command may take as JSON.
MAX_RESULT = 64 << 20
#: Elements of a list that are encoded at once, if those before took fewer bytes than SMALL.
MOST_AT_ONCE, SMALL = 16, 1 << 16


class TooLong(Exception):
    """A result takes more than MAX_RESULT bytes."""


def encode(query: Any, answer: Any, service: object) -> bytes:
    """An answer as JSON, or a refusal if it is too long."""
    try:
        return encode_result(query, answer, service)
    except TooLong:
        return refuse_result(query)


def encode_result(query: Any, answer: Any, service: object) -> bytes:
    """An answer as JSON, or an internal error if the result cannot be encoded. Raises TooLong."""
    try:
        if isinstance(answer, dict) and isinstance(answer.get("result"), list):
            answer = {**answer, "result": _encode_list(answer["result"])}
        return msgspec.json.encode(answer)
    except (TypeError, ValueError, RecursionError):
        cmd = query["cmd"] if isinstance(query, dict) else "?"
        log.exception("the result of command %r cannot be encoded as JSON", cmd)
        return msgspec.json.encode(internal_error(cmd, service))


def _encode_list(result: list[Any]) -> msgspec.Raw:
    """A list as JSON, encoded in time slices. Raises TooLong before it takes more memory."""
    pieces: list[bytes] = []
    start, count, size, slices = 0, 1, 0, TimeSlices()
    while start < len(result):
        slices.yield_if_over()
        pieces.append(msgspec.json.encode(result[start : start + count])[1:-1])
        start += count
        size += len(pieces[-1]) + 1
        if size > MAX_RESULT:
            raise TooLong
        # Small elements take twice as long if they are encoded one by one.
        count = min(2 * count, MOST_AT_ONCE) if len(pieces[-1]) < SMALL else 1
    return msgspec.Raw(b"[%b]" % b",".join(pieces))


def refuse_result(query: dict[str, Any]) -> bytes:
    """The answer in place of a result that is too long."""
    words = f"{query['cmd']}: the result would be longer than {MAX_RESULT} bytes"
    hint = "ask for fewer parameters, or for one module at a time"
    return msgspec.json.encode(packet.error(f"{words}; {hint}"))


def internal_error(cmd: str, service: object) -> dict[str, Any]:
    """The answer after an error of ours: it says where to look, and no more."""
    return packet.error(f"internal error in `{cmd}`; the log of `{name_of(service)}` has details")
