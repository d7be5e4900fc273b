"""One output pipe of a child, which is read as long as it lives."""

from __future__ import annotations

import os
from collections.abc import Callable

from gevent.os import make_nonblocking

from shmooze.processes.output_text import OutputText
from shmooze.runtime.fd_reader import FdReader, close_now


class OutputPipe(OutputText):
    """The output that comes through a pipe. See OutputText."""

    #: Bytes per read.
    piece = 1 << 16
    #: Reads at the end of a part, after which a child is not waited for that prints all the time.
    max_pieces = 16
    #: Bytes per read while somebody watches: each line takes more time then.
    watched_piece = 1 << 14

    def __init__(self, on_line: Callable[[str], None], on_text: Callable[[str], None]) -> None:
        super().__init__(on_line, on_text)
        self._read_end, self._write_end = os.pipe()
        make_nonblocking(self._read_end)
        self._fd_reader = FdReader(self._read_end, self.take, self.piece)

    def fileno(self) -> int:
        """Return the end that the child writes to."""
        return self._write_end

    def close_write_end(self) -> None:
        """Close our copy of the child's end, so that the pipe ends when the child closes it."""
        if self._write_end >= 0:
            close_now(self._write_end)
            self._write_end = -1

    def watch(self, on_shown: Callable[[list[str]], None]) -> None:
        super().watch(on_shown)
        self._fd_reader.piece = self.watched_piece

    def close(self, patience: float = 0.0) -> None:
        """Read what is left, for at most `patience` seconds, and close the pipe."""
        self.close_write_end()
        self._fd_reader.wait_end(patience)
        self._fd_reader.close()
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1
        super().close()  # even if another process holds the pipe open

    def end_part(self) -> None:
        """Read what is there by now, and let a new line begin. Nobody watches any more."""
        for _ in range(self.max_pieces):
            try:
                data = os.read(self._read_end, self.piece)
            except OSError:  # nothing is left
                break
            if not data:
                break  # the reader finds the end as well
            self.take(data)
        super().end_part()
