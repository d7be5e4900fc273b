"""Peer authentication: whether a connection was made by the processes of a module.

A stream's port is visible in the child's argv, and every process of this machine may connect to it.
The kernel knows the inode and the user of the socket at the other end; a process's folder of
open files shows whether it holds that inode. If the folder is not readable, the user decides.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator

from shmooze.processes.proc import shows_our_processes
from shmooze.processes.socket_ends import CLOSED, SocketEnd, find_listener, find_other_end

log = logging.getLogger(__name__)


def belongs_to(pids: Iterable[int], connection: socket.socket) -> bool:
    """Return True if one of `pids` holds the other end of a connection on this machine.

    Also returns True if this system has no information about sockets. If it has none about
    processes, the other end must belong to our own user.
    """
    end = find_other_end(connection)
    if end is None:
        return True
    if end is CLOSED:
        return False
    if shows_our_processes():
        return any(_has_open(pid, end) for pid in pids)
    if end.uid != os.geteuid():
        log.warning(
            "a process of user %d was refused: without /proc modules cannot be identified, so only "
            "processes of user %d may connect",
            end.uid,
            os.geteuid(),
        )
    return end.uid == os.geteuid()


def listen_on(pids: Iterable[int], port: int) -> bool:
    """Return True if one of `pids` listens on a port of this machine.

    Also returns True if this system cannot tell, or if a service of root listens there, as the
    engine does that runs a container for one of them.
    """
    listener = find_listener(port)
    if listener is None or not shows_our_processes():
        return True
    if listener.uid == 0 != os.geteuid():
        return True
    return any(_has_open(pid, listener) for pid in pids)


def has_unread(connection: socket.socket) -> bool:
    """Return True if the other end has received data that it has not read yet.

    Returns False if this system cannot tell. Raises OSError if the connection is closed.
    """
    end = find_other_end(connection)
    return end is not None and end.unread > 0


def _has_open(pid: int, end: SocketEnd) -> bool:
    folder, link = f"/proc/{pid}/fd", f"socket:[{end.inode}]"
    try:
        return any(_links_to(f"{folder}/{name}", link) for name in os.listdir(folder))
    except PermissionError:
        pass  # it has changed its user, perhaps after it connected
    except OSError:
        if not _is_hidden(pid):
            return False  # it has ended
    return end.uid == os.geteuid() or end.uid in _users(pid)


def _is_hidden(pid: int) -> bool:
    """Return True if a process exists but /proc does not show it (mount option hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.path.exists(f"/proc/{pid}")


def _links_to(path: str, target: str) -> bool:
    try:
        return os.readlink(path) == target
    except FileNotFoundError:
        return False  # closed meanwhile


def _users(pid: int) -> Iterator[int]:
    """Yield the users of a process: real, effective, saved and file system user."""
    try:
        with open(f"/proc/{pid}/status", "rb") as status:
            for line in status:
                if line.startswith(b"Uid:"):
                    yield from map(int, line.split()[1:])
    except OSError:
        pass  # hidden from us
