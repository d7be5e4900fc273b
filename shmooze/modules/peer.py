"""Whether the one who has connected to a stream's port is the child that we wait for.

A port stands in the child's argv, and anybody on this machine may connect to it. The kernel knows
which process holds the other end: /proc/net/tcp tells the socket's inode, and a process' folder
of open files tells who has it.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Iterable

log = logging.getLogger(__name__)


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
    local, remote = (
        _hex(*address) for address in (connection.getpeername(), connection.getsockname())
    )
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
