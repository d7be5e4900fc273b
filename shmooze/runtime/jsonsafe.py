"""Decoding JSON from clients and children, refusing values that could not be sent on.

Every value that is accepted may later be part of an answer to someone else. So values are refused
here that can be decoded, but that an encoder or a client may fail on: integers beyond 64 bits and
deep nesting. The decoder itself refuses NaN, infinities and lone surrogates.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from shmooze.errors import PacketError

#: Deepest nesting of arrays and objects.
MAX_DEPTH = 64

_decode = msgspec.json.Decoder().decode

#: An integer beyond 64 bits has at least so many digits.
_LONG_NUMBER = re.compile(rb"\d{19}")
#: An escape of a surrogate, which is not a character by itself.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_INTEGERS = range(-(1 << 63), 1 << 63)

# For checking many lines at once, in a tenth of the time: tables that make all digits the same,
# and that leave only the opening brackets.
_SAME_DIGITS = bytes(ord("0") if chr(each).isdigit() else ord(" ") for each in range(256))
_SAME_BRACKETS = bytes.maketrans(b"{", b"[")
_NOT_BRACKETS = bytes(each for each in range(256) if each not in b"[{\n")


def decode(data: bytes) -> Any:
    """The JSON value of `data`. Raises PacketError that says what is wrong."""
    try:
        value = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise PacketError(explain(data, bad)) from bad
    if needs_check(data):
        verify(data, value)
    return value


def explain(data: bytes, bad: Exception) -> str:
    """Why `data` could not be decoded, in a message for its sender."""
    if isinstance(bad, RecursionError):
        return f"nested over {MAX_DEPTH} levels deep"
    if isinstance(bad, msgspec.DecodeError) and _SURROGATE.search(data):
        return f"half of a surrogate pair in a string, or {str(bad)[:1].lower()}{str(bad)[1:]}"
    return str(bad)


def needs_check(data: bytes) -> bool:
    """Whether `data` may hold a value to refuse. Fast, and never wrong if it says no."""
    brackets = data.count(b"[") + data.count(b"{")
    return brackets > MAX_DEPTH or not data.isascii() or _LONG_NUMBER.search(data) is not None


def block_needs_check(lines: bytes) -> bool:
    """Whether one of many lines may hold a value to refuse."""
    return (
        not lines.isascii()
        or b"0" * 19 in lines.translate(_SAME_DIGITS)
        or b"[" * (MAX_DEPTH + 1) in lines.translate(_SAME_BRACKETS, _NOT_BRACKETS)
    )


def verify(data: bytes, value: Any) -> None:
    """Raise PacketError for a value to refuse, UnicodeDecodeError for data that is not UTF-8.

    A typed decoder does not check what it skips, so `data` is checked as well.
    """
    data.decode()
    _check(value, 0)


def _check(value: Any, depth: int) -> None:
    if type(value) is int and value not in _INTEGERS:
        raise PacketError("an integer does not fit into 64 bits")
    if isinstance(value, (dict, list)):
        if depth == MAX_DEPTH:
            raise PacketError(f"nested over {MAX_DEPTH} levels deep")
        for each in value.values() if isinstance(value, dict) else value:
            _check(each, depth + 1)


def refuse_bytes(value: Any) -> None:
    """Raise TypeError for bytes in a value to send, which msgspec would encode as base64."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError("a packet cannot hold bytes: decode them to text first")
    if isinstance(value, dict):
        for key, each in value.items():
            refuse_bytes(key)
            refuse_bytes(each)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            refuse_bytes(each)
