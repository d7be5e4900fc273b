"""Reading ahead and sending on a socket, without waiting where that is possible."""

from __future__ import annotations

import socket
from typing import Any


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
