"""TLS on connections that the sockets of the `ssl` module do not suit.

Those cannot be peeked at, and have exceptions of their own for "would block" and timeouts. A
TlsSocket encrypts above any socket, and is used as that one is.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

from shmooze.runtime.connection_errors import words_of
from shmooze.web.body import HungUp
from shmooze.web.sockets import wait_until

log = logging.getLogger(__name__)

#: Bytes that a record of TLS takes at most, its head included.
_RECORD = (16 << 10) + 512
#: Bytes that are encrypted at once.
_PIECE = 1 << 16


def accept(connection: Any, context: ssl.SSLContext, seconds: float, client: str) -> TlsSocket:
    """Agree on TLS with a client, within so many seconds. Raises HungUp if that fails."""
    secured = TlsSocket(connection, context)
    try:
        secured.handshake(time.monotonic() + seconds)
    except OSError as bad:
        log.info("%s: TLS failed: %s", client, words_of(bad))
        raise HungUp from bad
    return secured


class TlsSocket:
    """Encrypts what is sent over `connection`; `name` is that of the server, None: we are it.

    One greenlet may read while another writes. Raises OSError, as sockets do.
    """

    def __init__(self, connection: Any, context: ssl.SSLContext, name: str | None = None) -> None:
        self._socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=name is None, server_hostname=name
        )
        #: What was encrypted and not sent yet, and how many bytes of a caller are in it.
        self._unsent, self._accepted = memoryview(b""), 0

    def handshake(self, deadline: float | None = None) -> None:
        """Agree with the other side, until a time of time.monotonic at most."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                wait_until(deadline, self._socket)
                self._fill(_PIECE)
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush()  # it says why to the other side
                raise
        self._flush()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """See socket.recv. With MSG_PEEK, a byte that is returned stands for any that has come.

        Nothing that has come stays behind if `size` is a few times that of a record, so the socket
        can be watched for more.
        """
        if flags & socket.MSG_PEEK:
            return bytes(self._socket.recv(size, flags))
        while True:
            pieces, left = [], size
            with suppress(ssl.SSLWantReadError):
                while left:
                    pieces.append(self._tls.read(left))
                    left -= len(pieces[-1])
                    if not pieces[-1]:
                        return b"".join(pieces)
            if pieces:
                return b"".join(pieces)
            # A part of a record may be there already.
            self._fill(max(size - _RECORD, 1024))

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """See socket.send. After a BlockingIOError, the next call must begin with the same data."""
        if not self._accepted:
            self._accepted = self._tls.write(memoryview(data)[:_PIECE])
        self._flush()
        accepted, self._accepted = self._accepted, 0
        return accepted

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """See socket.sendall. The timeout is for each 64 KiB."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.send(rest) :]

    def end(self) -> None:
        """Tell the other side that nothing more comes, if that takes no waiting. Never raises."""
        if self._unsent:
            return  # somebody is still sending
        # It also wants to hear the same from the other side.
        with suppress(OSError, ValueError):
            self._tls.unwrap()
        with suppress(OSError):
            self._socket.settimeout(0.0)
            self._flush()

    def shutdown(self, how: int) -> None:
        """See socket.shutdown."""
        if how == socket.SHUT_WR:
            self.end()
        self._socket.shutdown(how)

    def close(self) -> None:
        """See socket.close."""
        self.end()
        self._socket.close()

    def fileno(self) -> int:
        """See socket.fileno."""
        return int(self._socket.fileno())

    def settimeout(self, seconds: float | None) -> None:
        """See socket.settimeout."""
        self._socket.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """See socket.gettimeout."""
        seconds: float | None = self._socket.gettimeout()
        return seconds

    def getsockopt(self, *option: int) -> Any:
        """See socket.getsockopt."""
        return self._socket.getsockopt(*option)

    def setsockopt(self, *option: Any) -> None:
        """See socket.setsockopt."""
        self._socket.setsockopt(*option)

    def _fill(self, size: int) -> None:
        """Take what comes from the network."""
        data = self._socket.recv(size)
        if not data:
            raise ConnectionResetError("the connection was closed in the middle of TLS")
        self._incoming.write(data)

    def _flush(self) -> None:
        """Send what was encrypted."""
        while self._unsent or self._outgoing.pending:
            if not self._unsent:
                self._unsent = memoryview(self._outgoing.read())
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
