"""The contract of connections with processes, which is part of `contract`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class ByteStream(Protocol):
    """Bytes in both directions: a socket, or standard input and output of a process."""

    #: Bytes that are read at once; set before `read_with`.
    piece: int

    def read_with(self, receive: Callable[[bytes], None]) -> None:
        """Call `receive` with each piece that comes, and with no bytes at the end."""

    def write(self, data: bytes) -> int:
        """Write what can be written without waiting. Returns the number of bytes. OSError."""

    def write_all(self, data: bytes) -> None:
        """Write everything, as fast as the other side takes it. Raises OSError."""

    def end_writing(self) -> None:
        """Let the other side read an end of file."""

    def wait_end(self, timeout: float) -> None:
        """Wait until everything has been read that was sent before the other side hung up, for at
        most `timeout` seconds.
        """

    def stop_reading(self) -> None:
        """Read no more."""

    def close(self) -> None:
        """Hang up. May be called twice."""
