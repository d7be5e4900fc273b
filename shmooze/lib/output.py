"""What a child writes to its standard output and error, line by line.

Always read, so that no child ever waits for us; kept only as far as a person wants to look back,
so that a gigabyte costs no more than a page. A line may be anything: what is no text is shown
escaped, what has no end is cut.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable

from gevent.os import make_nonblocking

from shmooze.lib.inlet import Inlet

log = logging.getLogger("shmooze.output")


class Output:
    """One pipe from a child. `on_line` gets each line as printable text."""

    #: Longest piece of a line that is kept, in bytes; the rest becomes further lines.
    max_line = 4096
    #: Bytes that are read at once.
    piece = 1 << 16

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._read_end, self._write_end = os.pipe()
        make_nonblocking(self._read_end)
        self._tail = b""
        self._inlet = Inlet(self._read_end, self._take, self.piece)

    def fileno(self) -> int:
        """The end that the child writes to."""
        return self._write_end

    def launched(self) -> None:
        """The child has its end now: give ours up, so that its end is the end."""
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1

    def close(self, patience: float = 0.0) -> None:
        """Read what is there, for `patience` seconds at the most, and close."""
        self.launched()
        self._inlet.wait_end(patience)
        self._inlet.close()
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1

    def _take(self, data: bytes) -> None:
        *lines, tail = (self._tail + data).split(b"\n")
        while len(tail) > self.max_line:
            lines.append(tail[: self.max_line])
            tail = tail[self.max_line :]
        if not data and tail:  # the end
            lines.append(tail)
            tail = b""
        self._tail = tail
        for line in lines:
            for start in range(0, len(line) or 1, self.max_line):
                self._on_line(_printable(line[start : start + self.max_line]))


class Outputs:
    """Standard output and error of one child: logged under its `label`, the last lines kept."""

    #: Lines of both that are kept while it lives.
    kept = 200
    #: Lines of standard error that are kept when it has gone.
    kept_errors = 20
    #: Lines that are logged in one second at the most.
    rate = 1000

    def __init__(self, label: str) -> None:
        self._label = label
        self.lines: deque[str] = deque(maxlen=self.kept)
        self.errors: deque[str] = deque(maxlen=self.kept_errors)
        self._second = 0
        self._this_second = 0
        self._left_out = 0
        self.stdout = Output(self._take)
        try:
            self.stderr = Output(self._take_error)
        except OSError:
            self.stdout.close()
            raise

    def launched(self) -> None:
        """The child has its ends of the pipes now."""
        self.stdout.launched()
        self.stderr.launched()

    def close(self, patience: float) -> None:
        """Read what is left, for `patience` seconds each at the most, and close."""
        self.stdout.close(patience)
        self.stderr.close(patience)
        self._say_left_out()

    def _take_error(self, line: str) -> None:
        self.errors.append(line)
        self._take(line)

    def _take(self, line: str) -> None:
        self.lines.append(line)
        second = int(time.monotonic())
        if second != self._second:
            self._say_left_out()
            self._second, self._this_second = second, 0
        self._this_second += 1
        if self._this_second <= self.rate:
            log.info("%s: %s", self._label, line)
        else:
            self._left_out += 1

    def _say_left_out(self) -> None:
        if self._left_out:
            log.info("%s: (%d lines left out)", self._label, self._left_out)
            self._left_out = 0


def _printable(line: bytes) -> str:
    """Text with nothing in it that a terminal would obey."""
    text = line.rstrip(b"\r").decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter == "\t"
        else letter.encode("unicode_escape").decode()
        for letter in text
    )
