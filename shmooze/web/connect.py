"""Connecting to a server: TCP, and TLS above it where the server speaks it."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl import SSLContext


class NotReached(ConnectionRefusedError):
    """There is no connection: nobody listens, the machine is away, or it is not trusted."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(*reason.args)
        #: Why there is none.
        self.reason = reason

    @property
    def is_refused(self) -> bool:
        """Whether the machine has said that nobody listens there."""
        return isinstance(self.reason, ConnectionRefusedError)


def connect(host: str, port: int, timeout: float | None, tls: SSLContext | None = None) -> Any:
    """A connection that was made within `timeout` seconds. Raises TimeoutError, NotReached."""
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        connection: Any = socket.create_connection((host, port), timeout)
    except TimeoutError:
        raise
    except OSError as bad:
        raise NotReached(bad) from bad
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            from shmooze.web.tls import TlsSocket  # nearly nobody needs it, and it loads OpenSSL

            connection = TlsSocket(connection, tls, host)
            connection.handshake(deadline)
        connection.settimeout(None)
    except TimeoutError:
        connection.close()
        raise
    except OSError as bad:
        connection.close()
        raise NotReached(bad) from bad
    except BaseException:
        connection.close()
        raise
    return connection
