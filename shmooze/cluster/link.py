"""A link: messages in both directions, each once and in order, over connections that may break.

Strategy. Each message has a number, and is kept until the other side says that it has arrived. When
a connection breaks, another one takes its place, and both sides begin by saying what they have
received: the rest is sent again. What is kept is bounded by the flow control of the streams, since
all other messages are few and small.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

import gevent

from shmooze.cluster.protocol import (
    Content,
    Frame,
    FrameReader,
    Numbered,
    ProtocolError,
    Received,
    encode,
)

log = logging.getLogger(__name__)


class Connection:
    """A connected socket, as frames. Writing never waits."""

    #: Bytes that are read at once.
    piece = 1 << 16

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._unsent: deque[bytes] = deque()
        self._writer: gevent.Greenlet | None = None
        self.is_closed = False

    def write(self, data: bytes) -> None:
        """Send a frame when what was written before has been sent."""
        if self.is_closed:
            return
        self._unsent.append(data)
        if self._writer is None:
            self._writer = gevent.spawn(self._write)

    def _write(self) -> None:
        try:
            while self._unsent:
                data = b"".join(self._unsent)
                self._unsent.clear()
                self._socket.sendall(data)
        except OSError:
            self.close()
        finally:
            self._writer = None

    def flush(self, timeout: float) -> None:
        """Wait until everything is sent, for at most `timeout` seconds."""
        if self._writer is not None:
            self._writer.join(timeout)

    def frames(self, reader: FrameReader) -> Iterator[Frame]:
        """Yield the frames that come, until the connection ends. Raises ProtocolError."""
        while not self.is_closed:
            try:
                data = self._socket.recv(self.piece)
            except OSError:
                data = b""
            if not data:
                return
            yield from reader.take(data)

    def close(self) -> None:
        """Hang up. May be called twice."""
        if self.is_closed:
            return
        self.is_closed = True
        self._unsent.clear()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # which wakes whoever reads
        self._socket.close()


class Link:
    """One end. `receive` is called with each message; it must not wait."""

    #: Messages after which the other side is told that they have arrived.
    told_every = 16

    def __init__(self, receive: Callable[[Content], None]) -> None:
        self._receive = receive
        self._connection: Connection | None = None
        #: The number of the last message that was sent, and the frames that may have to be sent
        #: again.
        self._sent = 0
        self._kept: deque[tuple[int, bytes]] = deque()
        #: The number of the last message that has arrived.
        self.received = 0
        self._told = 0

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection that is not known to be broken."""
        return self._connection is not None and not self._connection.is_closed

    @property
    def unacknowledged(self) -> int:
        """How many messages are not known to have arrived."""
        return len(self._kept)

    def send(self, message: Content) -> None:
        """Send a message now, or when there is a connection. Does not wait."""
        self._sent += 1
        frame = encode(Numbered(self._sent, message))
        self._kept.append((self._sent, frame))
        self.write(frame)

    def write(self, frame: bytes) -> None:
        """Send a frame that need not arrive."""
        if self._connection is not None:
            self._connection.write(frame)

    def attach(self, connection: Connection, received: int) -> None:
        """Go on over another connection, whose other side has received so many messages.

        Raises ProtocolError if it cannot have.
        """
        if self._connection is not None:
            self._connection.close()
        oldest = self._kept[0][0] if self._kept else self._sent + 1
        if not oldest - 1 <= received <= self._sent:
            raise ProtocolError(f"received {received} of {self._sent} messages")
        self.acknowledge(received)
        self._connection = connection
        for _, frame in self._kept:
            connection.write(frame)

    def detach(self) -> None:
        """Hang up; messages wait for the next connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def flush(self, timeout: float) -> None:
        """Wait until everything is sent, for at most `timeout` seconds."""
        if self._connection is not None:
            self._connection.flush(timeout)

    def acknowledge(self, received: int) -> None:
        """The other side has received all up to this number."""
        while self._kept and self._kept[0][0] <= received:
            self._kept.popleft()

    def take(self, frame: Numbered) -> None:
        """A message has come, perhaps again. Raises ProtocolError if one before is missing."""
        if frame.number <= self.received:
            return
        if frame.number != self.received + 1:
            raise ProtocolError(f"message {frame.number} came after {self.received}")
        self.received = frame.number
        if self.received - self._told >= self.told_every:
            self.tell_received()
        self._receive(frame.content)

    def tell_received(self) -> None:
        """Tell the other side what has arrived, so that it need not keep it."""
        self._told = self.received
        self.write(encode(Received(self.received)))
