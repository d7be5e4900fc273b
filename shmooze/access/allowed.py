"""The hosts, origins and proxies that the settings allow, checked and in normal form."""

from __future__ import annotations

import ipaddress
import re

from shmooze.access.hosts import normal_host, normal_origin
from shmooze.access.proxies import Network
from shmooze.settings import Settings

_HOST_NAME = re.compile(r"[0-9a-z_-]+(\.[0-9a-z_-]+)*\.?|\[[0-9a-f:.]+\]")


def allowed_hosts(source: Settings) -> set[str]:
    """The host names of `allowed_hosts`. Raises SettingsError."""
    names = _strings(source, "allowed_hosts", "host names")
    for name in names:
        if not _HOST_NAME.fullmatch(name.lower()):
            raise source.error("allowed_hosts", f"needs bare host names, not {name!r}")
    return {normal_host(name) for name in names}


def allowed_origins(source: Settings) -> set[str]:
    """The origins of `allowed_origins`. Raises SettingsError."""
    origins = set()
    for text in _strings(source, "allowed_origins", 'origins such as "https://example.org"'):
        origin = normal_origin(text)
        if origin is None:
            raise source.error(
                "allowed_origins", f"needs scheme, host and port alone, not {text!r}"
            )
        origins.add(origin)
    return origins


def trusted_proxies(source: Settings) -> list[Network]:
    """The networks of `trusted_proxies`. Raises SettingsError."""
    networks = []
    for text in _strings(source, "trusted_proxies", "addresses or networks"):
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as bad:
            raise source.error(
                "trusted_proxies", f"has {text!r}, which {_why_not_a_network(text)}"
            ) from bad
    return networks


def _strings(source: Settings, key: str, kind: str) -> list[str]:
    value = source.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise source.error(key, f"must be a list of {kind}")
    return value


def _why_not_a_network(text: str) -> str:
    """An address inside a network, with its prefix length, is easily taken for the network."""
    try:
        network = ipaddress.ip_interface(text).network
    except ValueError:
        return "is not an address"
    return f"has host bits set: the network is {str(network)!r}"
