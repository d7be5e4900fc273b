"""Reading ahead and sending on a socket, without waiting where that is possible."""

from __future__ import annotations

import socket
import time
from typing import Any

#: Asks Linux for the state of a TCP connection.
_STATE = (socket.IPPROTO_TCP, getattr(socket, "TCP_INFO", 0), 1)
#: States in which the peer has closed its side: TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, CLOSING.
_PEER_HAS_CLOSED = frozenset((6, 7, 8, 9, 11))


def peek(connection: Any) -> bytes | None:
    """The next byte, empty at the end; None if it has not come yet."""
    before = connection.gettimeout()
    connection.settimeout(0.0)
    try:
        return bytes(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return None
    except OSError:
        return b""
    finally:
        connection.settimeout(before)


def has_peer_closed(connection: Any) -> bool:
    """Whether the peer has closed its side, even if what it sent before is still unread.

    What is unread hides that where the system cannot tell the state of a connection.
    """
    if peek(connection) == b"":
        return True
    try:
        return connection.getsockopt(*_STATE)[0] in _PEER_HAS_CLOSED
    except OSError:
        return False


def wait_until(deadline: float | None, connection: Any) -> None:
    """Let the next wait on a connection end at a time of time.monotonic; None changes nothing.

    Raises TimeoutError if that is over.
    """
    if deadline is None:
        return
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError("timed out")
    connection.settimeout(left)


def send_all(connection: Any, data: bytes | bytearray | memoryview) -> None:
    """Send everything, as `sendall` does.

    Nearly always there is room for it, and then `sendall` of gevent would cost twice as much.
    Raises OSError, TimeoutError included.
    """
    before = connection.gettimeout()
    connection.settimeout(0.0)
    try:
        sent = connection.send(data)
    except BlockingIOError:
        sent = 0
    finally:
        connection.settimeout(before)
    if sent < len(data):
        connection.sendall(memoryview(data)[sent:])
