"""Tickets: what a guard needs to find its service, and to be let in."""

from __future__ import annotations

import msgspec

from shmooze.cluster.lease import Timing
from shmooze.errors import ShmoozeError


class Certificates(msgspec.Struct, frozen=True):
    """What one side of a TLS connection shows, and what it believes. All are PEM texts."""

    authority: str
    certificate: str
    key: str

    def __repr__(self) -> str:
        return "Certificates(…)"


class Ticket(msgspec.Struct, frozen=True):
    """One ticket is for one module. It is a secret."""

    #: Where the door is: "host:port", tried in this order.
    addresses: list[str]
    session: str
    secret: str
    timing: Timing
    #: None: the connection is not encrypted, since it does not leave the machine.
    tls: Certificates | None = None

    def __repr__(self) -> str:
        return f"Ticket({self.session})"


def write(ticket: Ticket) -> str:
    """A ticket as one line."""
    return msgspec.json.encode(ticket).decode()


def read(line: str | bytes) -> Ticket:
    """The ticket that a line holds. Raises ShmoozeError, without a word of what it holds."""
    try:
        return msgspec.json.decode(line, type=Ticket)
    except (msgspec.DecodeError, UnicodeDecodeError) as bad:
        raise ShmoozeError("the ticket cannot be read") from bad


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port"; an IPv6 address stands in brackets. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{address} is not HOST:PORT")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    """The reverse of split_address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
