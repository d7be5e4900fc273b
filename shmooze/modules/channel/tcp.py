"""The TCP channel: a child connects two streams, each to a port of its own.

Each port takes one connection, the child's, and is closed then.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gevent.server import StreamServer

from shmooze.modules.channel.contract import Owner
from shmooze.modules.channel.streams import StreamChannel
from shmooze.processes.contract import ByteStream, Process
from shmooze.runtime.fd_reader import FdReader
from shmooze.runtime.patience import Patience

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TcpEndpoint:
    """The host and the ports of command and update stream."""

    host: str
    ports: tuple[int, ...]
    #: Takes the connection of a stream that was made elsewhere.
    take: Callable[[int, ByteStream], None] = lambda number, connection: connection.close()

    @property
    def arguments(self) -> list[str]:
        return [self.host, *map(str, self.ports)]

    @property
    def streams(self) -> int:
        return len(self.ports)

    def attach(self, number: int, connection: ByteStream) -> None:
        self.take(number, connection)


class TcpChannel(StreamChannel):
    """Listens for one child."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._listeners: list[Listener] = []

    def connect(self, timeout: float) -> None:
        # Who connects waits until it is known which process is the child.
        host = self._owner.listen_host
        listeners = [Listener(host, stream) for stream in (self.commands, self.updates)]
        self._listeners += listeners
        endpoint = TcpEndpoint(
            host,
            tuple(each.port for each in listeners),
            lambda number, connection: listeners[number].attach(connection),
        )
        process = self._owner.launch(endpoint)
        for listener in self._listeners:
            listener.accept(process.authenticate)
        self._wait_connected(Patience(timeout))

    def has_unread(self, process: Process) -> bool:
        connection = self.commands.connection
        if isinstance(connection, TcpConnection):
            return process.has_unread(connection.socket)
        return connection is not None and process.has_unread(connection)

    def give_up(self, reason: str) -> None:
        while self._listeners:
            self._listeners.pop().close()
        super().give_up(reason)


class Taker(Protocol):
    """What uses the connection that comes to a port, such as a Stream."""

    name: str

    @property
    def is_taken(self) -> bool:
        """Whether no further connection is wanted."""

    def attach(self, connection: ByteStream) -> None:
        """Use this connection, which is the child's."""


class Listener:
    """A port for the connection of one stream."""

    __slots__ = ("_authenticate", "_server", "_stream", "port")

    def __init__(self, host: str, stream: Taker) -> None:
        self._stream = stream
        self._server: StreamServer | None = _Server((host, 0), self._serve)
        self._server.init_socket()
        self.port = int(self._server.server_port)

    def attach(self, connection: ByteStream) -> None:
        """Use a connection that was made elsewhere."""
        self.close()
        if self._stream.is_taken:
            connection.close()
        else:
            self._stream.attach(connection)

    def accept(self, authenticate: Callable[[socket.socket], bool]) -> None:
        self._authenticate = authenticate
        if self._server is not None:
            self._server.start()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _serve(self, connection: socket.socket, _address: object) -> None:
        if not self._accepts(connection):
            connection.close()
            return
        self.close()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream.attach(TcpConnection(connection))

    def _accepts(self, connection: socket.socket) -> bool:
        if self._stream.is_taken:
            return False  # too late
        try:
            is_child = self._authenticate(connection)
        except OSError as bad:  # it has left already, or there is no file descriptor to look
            log.warning("%s: cannot tell who has connected: %s", self._stream.name, bad.strerror)
            return False
        if not is_child:
            log.warning("%s: refused a connection from a foreign process", self._stream.name)
        return is_child and not self._stream.is_taken  # by another meanwhile


class _Server(StreamServer):
    """Leaves connections to those who have accepted them."""

    def do_close(self, *_args: object) -> None:
        pass


class TcpConnection:
    """A connected socket as a ByteStream."""

    __slots__ = ("_fd_reader", "piece", "socket")

    #: Bytes that are read at once.
    piece: int

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._fd_reader: FdReader | None = None

    def read_with(self, receive: Callable[[bytes], None]) -> None:
        self._fd_reader = FdReader(self.socket.fileno(), receive, self.piece)

    def write(self, data: bytes) -> int:
        try:
            return os.write(self.socket.fileno(), data)
        except BlockingIOError:
            return 0

    def write_all(self, data: bytes) -> None:
        self.socket.sendall(data)

    def end_writing(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the child was faster

    def wait_end(self, timeout: float) -> None:
        if self._fd_reader is not None:
            self._fd_reader.wait_end(timeout)

    def stop_reading(self) -> None:
        if self._fd_reader is not None:
            self._fd_reader.close()

    def close(self) -> None:
        self.stop_reading()
        self.socket.close()
