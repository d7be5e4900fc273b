"""What is tried with a socket of gevent at once, before its event loop has anything to do."""

from __future__ import annotations

import socket
from typing import Any


def peek(connection: Any) -> bytes | None:
    """The next byte, empty at the end; None where one would have to wait for it."""
    try:
        # The socket below gevent's, which would wait.
        return bytes(connection._sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return None
    except OSError:
        return b""


def send_all(connection: Any, data: bytes | bytearray | memoryview) -> None:
    """Send everything, as `sendall` does.

    Nearly always there is room for it, and then gevent's own way to it would cost twice as much.
    Raises OSError, TimeoutError included.
    """
    try:
        sent = connection._sock.send(data)
    except BlockingIOError:
        sent = 0
    if sent < len(data):
        connection.sendall(memoryview(data)[sent:])
