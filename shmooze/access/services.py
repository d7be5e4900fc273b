"""Where the services of an application are, and how they are reached: address, TLS, secret.

An entry of `ports` is a port of this machine, or "host:port" of any machine. What is said between
machines goes over TLS. There, a service believes those who know the shared secret that they are
the gateway; without tokens, it answers nobody else.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shmooze.access.hosts import is_loopback, normal_host
from shmooze.runtime import declared, schema
from shmooze.runtime.listeners import own_address, reached_at
from shmooze.settings import Settings, split_address
from shmooze.web.route import SECRET_HEADER, Route

if TYPE_CHECKING:
    from ssl import SSLContext

#: Characters that it must have.
_SHORTEST_SECRET = 32


@dataclass(frozen=True)
class Listening:
    """Where a service listens, and to whom."""

    host: str
    port: int
    #: The host as the gateway calls it.
    name: str
    tls: SSLContext | None = None
    secret: str | None = None


def routes_of(source: Settings) -> dict[str, Route]:
    """The way to each service behind the gateway. Raises SettingsError."""
    own = schema.read(declared.Service, source.values, source.error)
    addresses = {name: source.address(name) for name in source.services}
    hosts = {host for host, _ in addresses.values() if host is not None}
    tls = _client_context(source, own) if any(speaks_tls(own, host) for host in hosts) else None
    headers = _secret_header(source, own) if hosts else {}
    local = reached_at(own.service_host)
    return {
        name: Route(local, port)
        if host is None
        else Route(host, port, tls if speaks_tls(own, host) else None, headers)
        for name, (host, port) in addresses.items()
    }


def route_of(source: Settings, entry: str) -> Route:
    """The way to a service, by an entry of `ports` that names a host.

    Raises SettingsError, and ValueError for another entry.
    """
    own = schema.read(declared.Service, source.values, source.error)
    host, port = split_address(entry)
    if host is None:
        raise ValueError(f"{entry!r} names no host")
    tls = _client_context(source, own) if speaks_tls(own, host) else None
    return Route(host, port, tls, _secret_header(source, own))


def listening(source: Settings, name: str, host: str | None = None) -> Listening:
    """Where the service `name` listens; `host` is its own choice of an address.

    Raises SettingsError, also if it belongs on another machine.
    """
    own = schema.read(declared.Service, source.values, source.error)
    named, port = source.address(name)
    if named is None:
        host = host or own.service_host
        return Listening(host, port, host)
    host = host or own_address(named)
    if host is None:
        raise source.error(
            f"ports.{name}",
            f"is on {named}, which is not an address of this machine: start it there",
        )
    if is_loopback(normal_host(host)) and not is_loopback(normal_host(named)):
        # As many systems have it in /etc/hosts.
        words = f"is on {named}, which is {host} for this machine itself: name an address"
        raise source.error(f"ports.{name}", words)
    tls = _server_context(source, own, name) if speaks_tls(own, named) else None
    return Listening(host, port, named, tls, _secret(source, own))


def speaks_tls(own: declared.Service, host: str) -> bool:
    """Whether a service whose host `ports` names speaks TLS."""
    return not is_loopback(normal_host(host)) if own.service_tls is None else own.service_tls


def _client_context(source: Settings, own: declared.Service) -> SSLContext:
    import ssl  # most applications have one machine

    if own.service_ca_path is None:
        return ssl.create_default_context()
    _check_readable(source, "service_ca_path", own.service_ca_path)
    try:
        return ssl.create_default_context(cafile=own.service_ca_path)
    except (ssl.SSLError, OSError) as bad:
        words = f"names {own.service_ca_path}, which has no certificate in PEM form"
        raise source.error("service_ca_path", words) from bad


def _server_context(source: Settings, own: declared.Service, name: str) -> SSLContext:
    import ssl  # most applications have one machine

    for key in ("service_certificate_path", "service_key_path"):
        if (path := getattr(own, key)) is None:
            words = f"is missing: `ports.{name}` names a host, and is reached over TLS"
            raise source.error(key, f"{words}; see `service_tls`")
        _check_readable(source, key, path, is_private=key == "service_key_path")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # one more handshake costs the gateway little
    certificate, key = str(own.service_certificate_path), str(own.service_key_path)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # or OpenSSL would ask
    except (ssl.SSLError, OSError, ValueError) as bad:
        words = f"names {certificate}, which does not fit the key in {key}, or is not in PEM form"
        raise source.error("service_certificate_path", words) from bad
    return context


def _secret_header(source: Settings, own: declared.Service) -> dict[str, str]:
    secret = _secret(source, own)
    return {} if secret is None else {SECRET_HEADER: secret}


def _secret(source: Settings, own: declared.Service) -> str | None:
    """The secret that gateway and services share, if there is one."""
    if own.service_secret_path is None:
        return None
    _check_readable(source, "service_secret_path", own.service_secret_path, is_private=True)
    words = f"names {own.service_secret_path}, which"
    try:
        secret = Path(own.service_secret_path).read_text("ascii").strip()
    except UnicodeDecodeError:
        secret = "\n"
    if not secret.isprintable() or " " in secret:
        raise source.error("service_secret_path", f"{words} must have one line without spaces")
    if len(secret) < _SHORTEST_SECRET:
        problem = f"{words} must have at least {_SHORTEST_SECRET} characters"
        raise source.error("service_secret_path", f"{problem}; `openssl rand -hex 32` makes some")
    return secret


def _check_readable(source: Settings, key: str, path: str, is_private: bool = False) -> None:
    """Raise SettingsError unless the file of a key can be read, and by whom it should be."""
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            file.read(1)
    except OSError as bad:
        raise source.error(key, f"names {path}, which cannot be read: {bad.strerror}") from bad
    if is_private and stat.S_IMODE(found.st_mode) & 0o077:
        raise source.error(key, f"names {path}, which is open to other users: `chmod 600` it")
