"""What comes in from clients and children, decoded, with nothing in it that could not go out again.

Every value that enters is one day part of a reply to somebody else. JSON that decodes but that
some encoder or client chokes on (integers past 64 bits, nesting without end) is therefore
refused at the door; NaN, infinities and lone surrogates the decoder refuses itself.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from shmooze.errors import PacketError

#: Deepest nesting of arrays and objects.
MAX_DEPTH = 64

_decode = msgspec.json.Decoder().decode

#: An integer that may be past 64 bits has at least so many digits.
_LONG_NUMBER = re.compile(rb"\d{19}")
#: An escape that is no letter by itself.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_INTEGERS = range(-(1 << 63), 1 << 63)

# The same of many lines at once, for a tenth of the time: all digits alike, or only the brackets.
_DIGITS_ALIKE = bytes(ord("0") if chr(each).isdigit() else ord(" ") for each in range(256))
_OPENING_ALIKE = bytes.maketrans(b"{", b"[")
_NOT_OPENING = bytes(each for each in range(256) if each not in b"[{\n")


def decode(data: bytes) -> Any:
    """The JSON value of `data`. Raises PacketError that says what is wrong with it."""
    try:
        value = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise PacketError(explain(data, bad)) from bad
    if needs_check(data):
        verify(data, value)
    return value


def explain(data: bytes, bad: Exception) -> str:
    """What is wrong with `data`, which did not decode, in words for its sender."""
    if isinstance(bad, RecursionError):
        return f"nested over {MAX_DEPTH} levels deep"
    if isinstance(bad, msgspec.DecodeError) and _SURROGATE.search(data):
        return f"half of a surrogate pair in a string, or {str(bad)[:1].lower()}{str(bad)[1:]}"
    return str(bad)


def needs_check(data: bytes) -> bool:
    """Whether values in `data` have to be looked at: quick, and never wrong about a no."""
    brackets = data.count(b"[") + data.count(b"{")
    return brackets > MAX_DEPTH or not data.isascii() or _LONG_NUMBER.search(data) is not None


def block_needs_check(lines: bytes) -> bool:
    """Whether one of many lines may be suspicious."""
    return (
        not lines.isascii()
        or b"0" * 19 in lines.translate(_DIGITS_ALIKE)
        or b"[" * (MAX_DEPTH + 1) in lines.translate(_OPENING_ALIKE, _NOT_OPENING)
    )


def verify(data: bytes, value: Any) -> None:
    """Raise PacketError for a value that cannot be passed on, UnicodeDecodeError for no UTF-8.

    A typed decoder does not look into what it passes over, so `data` is looked at as well.
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
    """Raise TypeError for bytes in what a program wants to send; msgspec would make it base64."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError("a packet cannot hold bytes: decode them to text first")
    if isinstance(value, dict):
        for key, each in value.items():
            refuse_bytes(key)
            refuse_bytes(each)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            refuse_bytes(each)
