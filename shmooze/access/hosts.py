"""Host names, addresses and origins in one normal form: what means the same compares as equal.

The normal form of a host has small letters, no dot at its end, and an address of IPv6 in brackets
and as short as it can be. That of an origin leaves out the port that its scheme implies.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_DEFAULT_PORTS = {"http": 80, "https": 443}

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/?#@\[\]]+)(?::(\d{0,5}))?", re.ASCII)
_ORIGIN = re.compile(r"(https?)://(.+)")

#: Texts of which the parsed form is remembered, since most requests come from and to a few.
_REMEMBERED = 1000
#: Characters that an address may have, so that nobody fills our memory with them.
_LONGEST_ADDRESS = 64
#: Characters that a name with its port may have: those of DNS, and some.
_LONGEST_AUTHORITY = 300


def address_of(text: str) -> Address | None:
    """The IP address that `text` is; None for anything else."""
    return _parse_address(text) if len(text) <= _LONGEST_ADDRESS and text.isprintable() else None


@lru_cache(_REMEMBERED)
def _parse_address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    # An IPv4 client of a server that listens on IPv6 as well is told as ::ffff:a.b.c.d.
    return getattr(found, "ipv4_mapped", None) or found


def normal_host(name: str) -> str:
    """The normal form of a name, or of an address with or without brackets; no port."""
    name = name.lower().removesuffix(".")
    address = address_of(name.removeprefix("[").removesuffix("]"))
    if address is None:
        return name
    return f"[{address}]" if address.version == 6 else str(address)


def split_authority(text: str) -> tuple[str, int | None] | None:
    """Host, in its normal form, and port of a Host header; None for what is neither."""
    return _split_authority(text.lower()) if len(text) <= _LONGEST_AUTHORITY else None


@lru_cache(_REMEMBERED)
def _split_authority(text: str) -> tuple[str, int | None] | None:
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    return normal_host(match[1]), int(match[2]) if match[2] else None


def origin_at(scheme: str, authority: str) -> str | None:
    """The origin of pages that were loaded by `scheme` with this Host header."""
    parts = split_authority(authority)
    if parts is None:
        return None
    host, port = parts
    shown = "" if port is None or port == _DEFAULT_PORTS.get(scheme) else f":{port}"
    return f"{scheme}://{host}{shown}"


def normal_origin(text: str) -> str | None:
    """The normal form of an origin of the web; None for what is none, such as "null"."""
    match = _ORIGIN.fullmatch(text.lower())
    return match and origin_at(match[1], match[2])


def is_loopback(host: str) -> bool:
    """Whether a host, in its normal form, is this machine as it speaks to itself."""
    address = address_of(host.strip("[]"))
    return host == "localhost" or (address is not None and address.is_loopback)
