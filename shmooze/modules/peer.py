"""Whether the one who has connected to a stream's port is the child that we wait for.

A port stands in the child's argv, and anybody on this machine may connect to it. The kernel knows
which process holds the other end: it tells the socket's inode, and a process' folder of open files
tells who has it.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Iterable

log = logging.getLogger(__name__)

Address = tuple[str, int]

# From linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = 1
_ANY_STATE = 0xFFFFFFFF
#: Interface 0, and the cookie that stands for any.
_ANY_INTERFACE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
#: Length, type, flags, number, sender.
_HEADER = struct.Struct("=IHHII")
#: Where the inode stands in an inet_diag_msg.
_INODE_AT = 68


def holds(pids: Iterable[int], connection: socket.socket) -> bool:
    """Whether one of `pids` has the other end of a loopback connection open.

    Where /proc does not tell, because of its kind or its permissions, the answer is yes.
    """
    inode = _inode_of_peer(connection)
    if inode is None:
        return True
    return any(_has_open(pid, f"socket:[{inode}]") for pid in pids)


def _inode_of_peer(connection: socket.socket) -> int | None:
    """The inode of the other end's socket; 0 where it is closed already, None if unknown."""
    if connection.family != socket.AF_INET:
        return None
    ends = connection.getpeername(), connection.getsockname()
    return _ask_kernel(*ends) or _look_up(*ends)


def _ask_kernel(local: Address, remote: Address) -> int | None:
    """The inode of one socket by sock_diag(7); None where the kernel has no answer."""
    hosts = socket.inet_aton(local[0]), socket.inet_aton(remote[0])
    ports = struct.pack("!HH16s16s", local[1], remote[1], *hosts)
    which = struct.pack("=BBxxI", socket.AF_INET, socket.IPPROTO_TCP, _ANY_STATE)
    request = which + ports + _ANY_INTERFACE
    length = _HEADER.size + len(request)
    header = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            kernel.send(header + request)
            answer = kernel.recv(1 << 12)
    except OSError:
        return None
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None  # there is no such socket, or nothing in this kernel that could tell
    (inode,) = struct.unpack_from("=I", answer, _HEADER.size + _INODE_AT)
    return int(inode)


def _look_up(*ends: Address) -> int | None:
    """The same by the table of all sockets, which takes long where there are many."""
    local, remote = (_hex(*end) for end in ends)
    try:
        with open("/proc/net/tcp", "rb") as table:
            for line in table:
                fields = line.split()
                if fields[1] == local and fields[2] == remote:
                    return int(fields[9])
    except OSError:
        return None
    return 0


def _hex(host: str, port: int) -> bytes:
    """An address as the kernel writes it: the four bytes in the machine's order."""
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return b"%08X:%04X" % (number, port)


def _has_open(pid: int, link: str) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except PermissionError:
        return True  # a child that has become another user; nobody else could be asked
    except OSError:
        return False  # it has ended
    for name in names:
        try:
            if os.readlink(f"{folder}/{name}") == link:
                return True
        except OSError:
            pass  # closed in between
    return False
