"""Trusted proxies, whose headers give the client's address and scheme."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from shmooze.access.hosts import address_of

#: Addresses for which the result is cached, since most requests come from a few.
_CACHED = 1000

#: Headers of proxies, beside `X-Forwarded-For`.
_OF_PROXIES = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxies:
    """The networks whose `X-Forwarded-For` and `X-Forwarded-Proto` headers are believed."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = [*networks]
        self._is_proxy = lru_cache(_CACHED)(self._is_in_networks)

    def client_of(self, environ: dict[str, Any], is_proxy: bool = False) -> str:
        """The client's address: the last one that is not a trusted proxy's.

        `is_proxy`: whether the sender of the request has shown that it is one.
        """
        address = str(environ.get("REMOTE_ADDR", ""))
        for each in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            if not (is_proxy or self._is_proxy(address)) or address_of(each) is None:
                break
            address, is_proxy = each.strip(), False
        return address

    def scheme_of(self, environ: dict[str, Any]) -> str:
        """The scheme that the client speaks, `http` or `https`, as far as we can know."""
        self.drop_foreign(environ)
        return forwarded_scheme(environ)

    def drop_foreign(self, environ: dict[str, Any]) -> None:
        """Drop the headers that only proxies may send, unless a trusted one has sent them."""
        if not self._is_proxy(environ.get("REMOTE_ADDR", "")):
            for name in _OF_PROXIES:
                environ.pop(name, None)

    def _is_in_networks(self, address: str) -> bool:
        parsed = address_of(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def forwarded_scheme(environ: dict[str, Any]) -> str:
    """The scheme of a request whose headers of proxies can be trusted."""
    # The first of several is what the client speaks, the others are between proxies.
    forwarded = environ.get("HTTP_X_FORWARDED_PROTO", "").partition(",")[0].strip().lower()
    if forwarded in ("http", "https"):
        return str(forwarded)
    return str(environ.get("wsgi.url_scheme", "http"))
