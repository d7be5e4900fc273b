"""Host names, addresses and origins in a normal form, so that equivalent ones compare as equal.

The normal form of a host is in lower case, without a final dot; an IPv6 address is compressed and
in brackets. The normal form of an origin leaves out the default port of its scheme.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_DEFAULT_PORTS = {"http": 80, "https": 443}

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/?#@\[\]]+)(?::(\d{0,5}))?", re.ASCII)
_ORIGIN = re.compile(r"(https?)://(.+)")

#: Texts for which the parsed form is cached, since most requests come from and to a few.
_CACHED = 1000
#: Characters that an address may have, so that long ones cannot fill the cache.
_MAX_ADDRESS = 64
#: Characters that a name with its port may have; DNS allows 253 for the name.
_MAX_AUTHORITY = 300


def address_of(text: str) -> Address | None:
    """The IP address in `text`; None for anything else."""
    return _parse_address(text) if len(text) <= _MAX_ADDRESS and text.isprintable() else None


@lru_cache(_CACHED)
def _parse_address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    # A server that listens on IPv6 sees an IPv4 client as ::ffff:a.b.c.d.
    return getattr(found, "ipv4_mapped", None) or found


def normal_host(name: str) -> str:
    """The normal form of a name or address, without port; brackets are optional."""
    name = name.lower().removesuffix(".")
    address = address_of(name.removeprefix("[").removesuffix("]"))
    if address is None:
        return name
    return f"[{address}]" if address.version == 6 else str(address)


def split_authority(text: str) -> tuple[str, int | None] | None:
    """Host (in normal form) and port of a Host header; None if it is malformed."""
    return _split_authority(text.lower()) if len(text) <= _MAX_AUTHORITY else None


@lru_cache(_CACHED)
def _split_authority(text: str) -> tuple[str, int | None] | None:
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    return normal_host(match[1]), int(match[2]) if match[2] else None


def origin_at(scheme: str, authority: str) -> str | None:
    """The origin of pages that were loaded over `scheme` with this Host header."""
    parts = split_authority(authority)
    if parts is None:
        return None
    host, port = parts
    suffix = "" if port is None or port == _DEFAULT_PORTS.get(scheme) else f":{port}"
    return f"{scheme}://{host}{suffix}"


def normal_origin(text: str) -> str | None:
    """The normal form of a web origin; None for anything else, such as "null"."""
    match = _ORIGIN.fullmatch(text.lower())
    return match and origin_at(match[1], match[2])


def is_loopback(host: str) -> bool:
    """Whether a host (in normal form) is a loopback address, or `localhost`."""
    address = address_of(host.strip("[]"))
    return host == "localhost" or (address is not None and address.is_loopback)
