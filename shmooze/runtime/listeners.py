"""Listening sockets of servers and of the supervisor of workers."""

from __future__ import annotations

import os
from typing import Any

from gevent import monkey, socket

from shmooze.errors import ShmoozeError

#: Connections that may wait to be accepted.
BACKLOG = 1024


def own_address(host: str) -> str | None:
    """The address of this machine that a host name or address stands for; None for another's.

    That is one of loopback only if there is no other one.
    """
    loopback = None
    plain_socket = monkey.get_original("socket", "socket")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    for family, kind, _, _, address in found:
        with plain_socket(family, kind) as probe:
            try:
                probe.bind((address[0], 0, *address[2:]))
            except OSError:
                continue
        if not address[0].startswith(("127.", "::1")):
            return str(address[0])
        loopback = loopback or str(address[0])
    return loopback


def reached_at(host: str) -> str:
    """Where a program of this machine is reached that listens at `host`, such as all addresses."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def listen(host: str, port: int, shared: bool = False) -> Any:
    """A plain listening socket: one of gevent belongs to an event loop and does not survive a fork.

    `shared`: other processes of this user may listen on the same port. Raises ShmoozeError.
    """
    listener = monkey.get_original("socket", "socket")(
        socket.AF_INET6 if ":" in host else socket.AF_INET
    )
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Before `listen`, so that even the first connections inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as bad:
        listener.close()
        problem = os.strerror(bad.errno) if bad.errno and bad.errno > 0 else bad.args[-1]
        raise ShmoozeError(f"cannot listen on {host}:{port}: {problem}") from bad
    return listener
