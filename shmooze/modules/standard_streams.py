"""Standard input and output as the connection to the parent, see the adapter `stdio`.

Loaded only by modules that are started without host and ports: standard library only, compatible
with Python 3.8.
"""

from __future__ import annotations

import os
import stat
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


def are_meant() -> bool:
    """Return whether a program without host and ports is spoken to over standard input and output:
    somebody has the other end of its input. By hand it is a terminal, or nothing.
    """
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False  # it is closed
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class StandardStreams:
    """Both streams, with what ParentConnection uses of a socket. Updates get no answers.

    Everything else that the program prints from now on goes to standard error, and it reads nothing
    from standard input.
    """

    def __init__(self) -> None:
        self._input, self._output = os.dup(0), os.dup(1)
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._lock = threading.Lock()
        self._is_closed = False

    def makefile(self, mode: str) -> BinaryIO:
        """Return what the parent writes."""
        return os.fdopen(self._input, "rb")

    def sendall(self, line: bytes) -> None:
        """Write a whole line, whoever else is writing. Raises OSError if the parent has left."""
        with self._lock:
            if self._is_closed:
                raise OSError("standard output is closed")
            while line:
                line = line[os.write(self._output, line) :]

    def setblocking(self, is_blocking: bool) -> None:
        """Do nothing: only answers to updates are read without waiting."""

    def recv(self, size: int) -> bytes:
        """Return an answer to an update. There is none."""
        raise BlockingIOError

    def shutdown(self, how: int) -> None:
        """Do nothing: when the parent reads the end of our output, it ends our input."""

    def close(self) -> None:
        """Hang up. May be called twice."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                os.close(self._output)
