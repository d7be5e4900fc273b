"""Standard input and output of a child as a connection: two pipes."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event
from gevent.os import make_nonblocking

from shmooze.runtime.fd_reader import FdReader, close_now


class StdioPipes:
    """A ByteStream over a child's standard input and output. Raises OSError if there is no file
    descriptor left.
    """

    #: Bytes that are read at once.
    piece = 1 << 14

    def __init__(self) -> None:
        self._fd_reader: FdReader | None = None
        self._child_stdin, self._write_end = os.pipe()
        try:
            self._read_end, self._child_stdout = os.pipe()
        except OSError:
            close_now(self._child_stdin)
            close_now(self._write_end)
            raise
        make_nonblocking(self._read_end)
        make_nonblocking(self._write_end)
        #: Runs while somebody waits until the child has read some of what was written.
        self._watcher: Any = gevent.get_hub().loop.io(self._write_end, 2)
        self._is_writable = Event()

    @property
    def child_fds(self) -> tuple[int, int]:
        """The child's standard input and output."""
        return self._child_stdin, self._child_stdout

    def close_child_fds(self) -> None:
        """Close our copies of the child's ends. May be called twice."""
        for fd in (self._child_stdin, self._child_stdout):
            if fd >= 0:
                close_now(fd)
        self._child_stdin = self._child_stdout = -1

    def read_with(self, receive: Callable[[bytes], None]) -> None:
        self._fd_reader = FdReader(self._read_end, receive, self.piece)

    def write(self, data: bytes) -> int:
        if self._write_end < 0:
            raise BrokenPipeError("standard input is closed")
        try:
            return os.write(self._write_end, data)
        except BlockingIOError:
            return 0

    def write_all(self, data: bytes) -> None:
        while data := data[self.write(data) :]:
            self._is_writable.clear()
            self._watcher.start(self._is_writable.set)
            try:
                self._is_writable.wait()
            finally:
                self._watcher.stop()

    def end_writing(self) -> None:
        if self._write_end >= 0:
            fd, self._write_end = self._write_end, -1
            self._watcher.stop()
            self._watcher.close()
            close_now(fd)
            self._is_writable.set()  # whoever waits gets an error

    def has_unread(self) -> bool:
        """Return True if the child has not read all that was written. Raises OSError."""
        if self._write_end < 0:
            return False
        answer = fcntl.ioctl(self._write_end, termios.FIONREAD, b"\0" * 4)
        return struct.unpack("i", answer)[0] > 0

    def wait_end(self, timeout: float) -> None:
        if self._fd_reader is not None:
            self._fd_reader.wait_end(timeout)

    def stop_reading(self) -> None:
        if self._fd_reader is not None:
            self._fd_reader.close()

    def close(self) -> None:
        self.close_child_fds()
        self.stop_reading()
        self.end_writing()
        if self._read_end >= 0:
            close_now(self._read_end)
            self._read_end = -1
