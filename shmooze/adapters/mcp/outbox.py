"""What is sent to a server: written at once if it reads, and otherwise kept, within a limit."""

from __future__ import annotations

from collections import deque

import gevent

from shmooze.errors import CommandError
from shmooze.modules.channel.stream import StreamEnded
from shmooze.processes.contract import ByteStream


class Outbox:
    """Lines for the standard input of a server, each of which is written whole."""

    #: Bytes that may wait for a server that does not read.
    max_bytes = 8 << 20

    def __init__(self, stdio: ByteStream) -> None:
        self._stdio = stdio
        #: What the server has not read yet, and the greenlet that waits until it does.
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._writer: gevent.Greenlet | None = None

    def send(self, line: bytes) -> None:
        """Send a line. Raises StreamEnded, or CommandError if too much waits already."""
        if self._writer is not None:
            if self._bytes + len(line) > self.max_bytes:
                raise CommandError(f"is not reading its input ({self.max_bytes >> 20} MiB waiting)")
            self._keep(line)
            return
        try:
            sent = self._stdio.write(line)
        except OSError:
            raise StreamEnded("closed its standard input") from None
        if sent < len(line):
            self._keep(line[sent:])
            self._writer = gevent.spawn(self._write)

    def hang_up(self) -> None:
        """Let the server read an end of file, whatever waits."""
        self.close()
        self._stdio.end_writing()

    def close(self) -> None:
        """Write no more."""
        if self._writer is not None:
            self._writer.kill(block=False)

    def _keep(self, piece: bytes) -> None:
        self._waiting.append(piece)
        self._bytes += len(piece)

    def _write(self) -> None:
        try:
            while self._waiting:
                piece = self._waiting.popleft()
                self._stdio.write_all(piece)
                self._bytes -= len(piece)
        except OSError:
            pass  # the reader sees the end as well, and says so
        finally:
            self._writer = None
