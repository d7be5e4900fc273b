"""The hosts, origins and proxies that the settings allow, checked and in normal form."""

from __future__ import annotations

import ipaddress
import re

from shmooze.access.hosts import normal_host, normal_origin
from shmooze.access.proxies import Network
from shmooze.runtime.schema import shown
from shmooze.settings import Settings

_HOST_NAME = re.compile(r"[0-9a-z_-]+(\.[0-9a-z_-]+)*\.?|\[[0-9a-f:.]+\]")


def allowed_hosts(names: list[str], source: Settings) -> set[str]:
    """The host names of `allowed_hosts`. Raises SettingsError."""
    for name in names:
        if not _HOST_NAME.fullmatch(name.lower()):
            raise source.error("allowed_hosts", f"needs bare host names, not {shown(name)}")
    return {normal_host(name) for name in names}


def allowed_origins(texts: list[str], source: Settings) -> set[str]:
    """The origins of `allowed_origins`. Raises SettingsError."""
    origins = set()
    for text in texts:
        origin = normal_origin(text)
        if origin is None:
            raise source.error(
                "allowed_origins", f"needs scheme, host and port alone, not {shown(text)}"
            )
        origins.add(origin)
    return origins


def trusted_proxies(texts: list[str], source: Settings) -> list[Network]:
    """The networks of `trusted_proxies`. Raises SettingsError."""
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as bad:
            raise source.error(
                "trusted_proxies", f"has {shown(text)}, which {_why_not_a_network(text)}"
            ) from bad
    return networks


def _why_not_a_network(text: str) -> str:
    """An address inside a network, with its prefix length, is easily taken for the network."""
    try:
        network = ipaddress.ip_interface(text).network
    except ValueError:
        return "is not an address"
    return f"has host bits set: the network is {shown(str(network))}"
