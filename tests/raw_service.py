"""A service made of bytes, for what no real one would answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

from support import PATIENCE, wait_until


def ok(body: bytes, head: bytes = b"Content-Type: application/json\r\n") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)


class RawService:
    """A service made of bytes, which counts.

    `answer` gets the body of each request and gives back the bytes of a whole HTTP answer; None
    hangs up without one. As a context it listens at `port`, and has ended when that is left.
    """

    def __init__(
        self, port: int, answer: Callable[[bytes], bytes | None] = ok, host: str = "127.0.0.1"
    ) -> None:
        self.port, self._answer, self._host = port, answer, host
        self.accepted = 0
        self.bodies: list[bytes] = []

    def __enter__(self) -> RawService:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._listener = socket.create_server((self._host, self.port), family=family)
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._connections):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the gateway was faster
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        for each in (self._listener, *self._connections):
            each.close()

    def send(self, piece: bytes) -> None:
        """Send bytes over the connection that came last."""
        self._connections[-1].sendall(piece)

    def send_apart(self, piece: bytes) -> None:
        """The same, and wait until it has been read, so that what comes next comes alone."""
        self.send(piece)
        connection = self._connections[-1]
        ports = [f"{end[1]:04X}" for end in (connection.getpeername(), connection.getsockname())]

        def is_read() -> bool:
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
                _, local, remote, _, queues, *_ = line.split()
                if [local[-4:], remote[-4:]] == ports:
                    return int(queues.partition(":")[2], 16) == 0
            return False

        wait_until(is_read, "it has been read")

    def _accept(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                self.accepted += 1
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=[connection]))
                self._threads[-1].start()
        except OSError:
            pass  # the listener has been shut down

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as stream:
                while stream.readline():
                    length = 0
                    while (line := stream.readline().lower()).strip():
                        if line.startswith(b"content-length:"):
                            length = int(line.partition(b":")[2])
                    self.bodies.append(stream.read(length))
                    answer = self._answer(self.bodies[-1])
                    connection.sendall(answer or b"")
                    if answer is None:
                        break
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the gateway has hung up
