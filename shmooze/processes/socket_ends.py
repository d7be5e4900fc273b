"""The other end of a local TCP connection, as the kernel describes it: its inode, user and data."""

from __future__ import annotations

import socket
import struct
from typing import Any, NamedTuple

# From linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = 1
_ANY_STATE = 0xFFFFFFFF
_ANY_COOKIE = 0xFFFFFFFF
#: The state of a listening socket in /proc/net/tcp.
_LISTEN = b"0A"
#: Length, type, flags, sequence number, sender.
_HEADER = struct.Struct("=IHHII")
#: Offset of these fields in an inet_diag_msg: expiry, unread and unsent bytes, user, inode.
_FIELDS_OFFSET = 52

#: Host and port; for IPv6 also flow and scope.
_Address = tuple[Any, ...]


class SocketEnd(NamedTuple):
    """One end of a connection."""

    inode: int
    uid: int
    #: Bytes that have arrived there and have not been read yet.
    unread: int


#: An end that no process has open any more.
CLOSED = SocketEnd(0, -1, 0)


def find_other_end(connection: socket.socket) -> SocketEnd | None:
    """Return the other end of a connection, CLOSED, or None if this system cannot tell.

    Raises OSError if the connection is closed.
    """
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    ours, other = connection.getsockname(), connection.getpeername()
    if found := _ask_kernel(other, ours) or _search_tables(other, ours):
        return found
    # Either it does not exist, or nothing can be looked up here. Our own end does exist.
    return CLOSED if _ask_kernel(ours, other) else None


def find_listener(port: int) -> SocketEnd | None:
    """Return the socket that listens on a port of loopback, CLOSED, or None if this system cannot
    tell.
    """
    # The kernel finds the one that would get a connection from a port that nobody has.
    if found := _ask_kernel(("127.0.0.1", port), ("127.0.0.1", 0)):
        return found
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{table}", "rb") as lines:
                found = found or CLOSED
                for fields in map(bytes.split, lines):
                    if fields[3] == _LISTEN and fields[1].endswith(b":%04X" % port):
                        return SocketEnd(int(fields[9]), int(fields[7]), 0)
        except OSError:
            pass
    return found


def _ask_kernel(local: _Address, remote: _Address) -> SocketEnd | None:
    """Look up one socket with sock_diag(7). Returns None if the kernel does not find it."""
    family, hosts = _pack(local[0], remote[0])
    # Link-local addresses are only unique per interface.
    scope = local[3] if len(local) == 4 else 0
    ports = struct.pack("!HH", local[1], remote[1])
    query = struct.pack("=BBxxI", family, socket.IPPROTO_TCP, _ANY_STATE)
    interface = struct.pack("=III", scope, _ANY_COOKIE, _ANY_COOKIE)
    request = query + ports + b"".join(host.ljust(16, b"\0") for host in hosts) + interface
    length = _HEADER.size + len(request)
    header = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            kernel.send(header + request)
            answer = kernel.recv(1 << 12)
    except (OSError, AttributeError):  # AttributeError: no netlink on this system
        return None
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None  # no such socket, or not supported by this kernel
    _, unread, _, uid, inode = struct.unpack_from("=5I", answer, _HEADER.size + _FIELDS_OFFSET)
    return SocketEnd(inode, uid, unread) if inode else None


def _search_tables(local: _Address, remote: _Address) -> SocketEnd | None:
    """Search /proc/net for the socket, which is slow if there are many connections.

    Returns CLOSED if the tables are readable and do not contain it, None if they are not readable.
    """
    family, hosts = _pack(local[0], remote[0])
    # A program may use an IPv6 socket for an IPv4 address.
    tables = {"tcp": b"", "tcp6": _MAPPED} if family == socket.AF_INET else {"tcp6": b""}
    found = None
    for table, prefix in tables.items():
        ends = [
            b"%s:%04X" % (_hex(prefix + host), port)
            for host, port in zip(hosts, (local[1], remote[1]), strict=True)
        ]
        try:
            with open(f"/proc/net/{table}", "rb") as lines:
                found = CLOSED
                for fields in map(bytes.split, lines):
                    if fields[1:3] == ends:
                        unread = int(fields[4].partition(b":")[2], 16)
                        inode = int(fields[9])
                        return SocketEnd(inode, int(fields[7]), unread) if inode else CLOSED
        except OSError:
            pass
    return found


#: The prefix of an IPv4 address that is written as an IPv6 address.
_MAPPED = bytes(10) + b"\xff\xff"


def _pack(*hosts: str) -> tuple[int, list[bytes]]:
    """Return the family and the bytes of some addresses. IPv4 addresses always have 4 bytes."""
    family = socket.AF_INET6 if ":" in hosts[0] else socket.AF_INET
    packed = [socket.inet_pton(family, host.partition("%")[0]) for host in hosts]
    if all(host.startswith(_MAPPED) and len(host) == 16 for host in packed):
        return socket.AF_INET, [host[12:] for host in packed]
    return family, packed


def _hex(host: bytes) -> bytes:
    """Format an address as in /proc/net: four-byte words in the machine's byte order."""
    words = struct.unpack(f"={len(host) // 4}I", host)
    return b"".join(b"%08X" % word for word in words)
