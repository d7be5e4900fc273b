"""Whether the one who has connected to a stream's port is the child that we wait for.

A port stands in the child's argv, and anybody on this machine may connect to it. The kernel knows
which socket is the other end, and whose: it tells the socket's inode and user, and a process'
folder of open files tells who has it. Where that folder cannot be read, the user has to do.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from shmooze.processes.tree import shows_our_processes

log = logging.getLogger(__name__)

# From linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = 1
_ANY_STATE = 0xFFFFFFFF
#: The cookie that stands for any.
_ANY_COOKIE = 0xFFFFFFFF
#: Length, type, flags, number, sender.
_HEADER = struct.Struct("=IHHII")
#: Where the numbers stand in an inet_diag_msg: expiry, unread and unsent bytes, user, inode.
_NUMBERS_AT = 52


#: Host and port; of IPv6 also flow and scope.
_Address = tuple[Any, ...]


class _Socket(NamedTuple):
    """One end of a connection, as the kernel tells of it."""

    inode: int
    uid: int
    #: Bytes that have arrived there and were not read yet.
    unread: int


_CLOSED = _Socket(0, -1, 0)


def holds(pids: Iterable[int], connection: socket.socket) -> bool:
    """Whether one of `pids` has the other end of a connection within this machine open.

    Where neither the kernel nor /proc knows of sockets the answer is yes. Where only /proc tells
    nothing about processes, the other end has to belong to our own user.
    """
    end = _other_end(connection)
    if end is None:
        return True
    if end is _CLOSED:
        return False
    if shows_our_processes():
        return any(_has_open(pid, end) for pid in pids)
    if end.uid != os.geteuid():
        log.warning(
            "a process of user %d has connected; without /proc it cannot be told "
            "whether it is a module, so only processes of user %d are let in",
            end.uid,
            os.geteuid(),
        )
    return end.uid == os.geteuid()


def has_unread(connection: socket.socket) -> bool:
    """Whether the other end has something to read, and has not; False where nobody can tell."""
    end = _other_end(connection)
    return end is not None and end.unread > 0


def _other_end(connection: socket.socket) -> _Socket | None:
    """The socket of the other end; None where that cannot be known here."""
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    ours, other = connection.getsockname(), connection.getpeername()
    if found := _ask_kernel(other, ours) or _look_up(other, ours):
        return found
    # There is no such socket, or nothing that could tell: our own end is there for certain.
    return _CLOSED if _ask_kernel(ours, other) else None


def _ask_kernel(local: _Address, remote: _Address) -> _Socket | None:
    """One socket by sock_diag(7); None where the kernel has no answer."""
    family, hosts = _pack(local[0], remote[0])
    # Each interface has link-local addresses of its own.
    scope = local[3] if len(local) == 4 else 0
    ports = struct.pack("!HH", local[1], remote[1])
    which = struct.pack("=BBxxI", family, socket.IPPROTO_TCP, _ANY_STATE)
    interface = struct.pack("=III", scope, _ANY_COOKIE, _ANY_COOKIE)
    request = which + ports + b"".join(host.ljust(16, b"\0") for host in hosts) + interface
    length = _HEADER.size + len(request)
    header = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            kernel.send(header + request)
            answer = kernel.recv(1 << 12)
    except (OSError, AttributeError):  # the latter where there is no netlink
        return None
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None  # there is no such socket, or nothing in this kernel that could tell
    _, unread, _, uid, inode = struct.unpack_from("=5I", answer, _HEADER.size + _NUMBERS_AT)
    return _Socket(inode, uid, unread) if inode else None


def _look_up(local: _Address, remote: _Address) -> _Socket | None:
    """The same by the tables of all sockets, which takes long where there are many.

    _CLOSED where they can be read, and do not have it.
    """
    family, hosts = _pack(local[0], remote[0])
    # A program may use a socket of the newer kind for an address of the older one.
    tables = {"tcp": b"", "tcp6": _MAPPED} if family == socket.AF_INET else {"tcp6": b""}
    found = None
    for table, prefix in tables.items():
        ends = [
            b"%s:%04X" % (_hex(prefix + host), port)
            for host, port in zip(hosts, (local[1], remote[1]), strict=True)
        ]
        try:
            with open(f"/proc/net/{table}", "rb") as lines:
                found = _CLOSED
                for fields in map(bytes.split, lines):
                    if fields[1:3] == ends:
                        unread = int(fields[4].partition(b":")[2], 16)
                        inode = int(fields[9])
                        return _Socket(inode, int(fields[7]), unread) if inode else _CLOSED
        except OSError:
            pass
    return found


#: What stands before an IPv4 address in the place of an IPv6 one.
_MAPPED = bytes(10) + b"\xff\xff"


def _pack(*hosts: str) -> tuple[int, list[bytes]]:
    """The family of some addresses, and their bytes; an IPv4 address is always one of 4 bytes."""
    family = socket.AF_INET6 if ":" in hosts[0] else socket.AF_INET
    packed = [socket.inet_pton(family, host.partition("%")[0]) for host in hosts]
    if all(host.startswith(_MAPPED) and len(host) == 16 for host in packed):
        return socket.AF_INET, [host[12:] for host in packed]
    return family, packed


def _hex(host: bytes) -> bytes:
    """An address as the tables have it: words of four bytes in the machine's order."""
    words = struct.unpack(f"={len(host) // 4}I", host)
    return b"".join(b"%08X" % word for word in words)


def _has_open(pid: int, end: _Socket) -> bool:
    folder, link = f"/proc/{pid}/fd", f"socket:[{end.inode}]"
    try:
        return any(_leads_to(f"{folder}/{name}", link) for name in os.listdir(folder))
    except PermissionError:
        pass  # it has become another user, maybe after it had made the socket
    except OSError:
        if not _is_hidden(pid):
            return False  # it has ended
    return end.uid == os.geteuid() or end.uid in _users(pid)


def _is_hidden(pid: int) -> bool:
    """Whether a process that /proc does not show is there: the mount option hidepid hides some."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.path.exists(f"/proc/{pid}")


def _leads_to(path: str, target: str) -> bool:
    try:
        return os.readlink(path) == target
    except FileNotFoundError:
        return False  # closed in between


def _users(pid: int) -> Iterator[int]:
    """The users that a process has: real, effective, saved and that of its files."""
    try:
        with open(f"/proc/{pid}/status", "rb") as status:
            for line in status:
                if line.startswith(b"Uid:"):
                    yield from map(int, line.split()[1:])
    except OSError:
        pass  # hidden from us
