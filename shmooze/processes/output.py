"""What a child writes to its standard output and error, line by line.

Always read, so that no child ever waits for us; kept only as far as a person wants to look back,
so that a gigabyte costs no more than a page. A line may be anything: what is no text is shown
escaped, what has no end is cut.

A line that has no end yet is shown as well: a prompt, a progress bar. As in a terminal, a carriage
return begins it anew. Those who ask see it as it is; the log gets it when nothing has been added
for a moment, or when that goes on for long, and later only what is new.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable

import gevent
from gevent.os import make_nonblocking

from shmooze.processes.contract import OutputLine
from shmooze.runtime.fd_reader import FdReader, close_now
from shmooze.runtime.printable import printable

log = logging.getLogger("shmooze.output")


class Output:
    """One pipe from a child.

    `on_line` gets each line once it is complete, `on_text` the same for the log: what of it has
    not been told before. Both get printable text.
    """

    #: Longest piece of a line that is kept, in bytes; the rest becomes further lines.
    max_line = 4096
    #: Bytes that are read at once.
    piece = 1 << 16
    #: Seconds without news after which a line without an end is told.
    quiet = 0.5
    #: Seconds after which it is told though there is always news.
    longest_wait = 2.0

    def __init__(self, on_line: Callable[[str], None], on_text: Callable[[str], None]) -> None:
        self._on_line, self._on_text = on_line, on_text
        self._read_end, self._write_end = os.pipe()
        make_nonblocking(self._read_end)
        #: The line that has no end yet, and what of it has been told.
        self._line = self._told = b""
        self._last_news = 0.0
        self._teller: gevent.Greenlet | None = None
        self._fd_reader = FdReader(self._read_end, self._take, self.piece)

    def fileno(self) -> int:
        """The end that the child writes to."""
        return self._write_end

    def launched(self) -> None:
        """The child has its end now: give ours up, so that its end is the end."""
        if self._write_end >= 0:
            close_now(self._write_end)
            self._write_end = -1

    def close(self, patience: float = 0.0) -> None:
        """Read what is there, for `patience` seconds at the most, and close."""
        self.launched()
        self._fd_reader.wait_end(patience)
        self._fd_reader.close()
        if self._teller is not None:
            self._teller.kill(block=False)
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1
        self._take(b"")  # the end, where somebody else holds the pipe open

    def unfinished(self) -> str:
        """The line that has no end yet; empty if there is none."""
        line = self._line.rstrip(b"\r")
        return _decode(line[: _whole(line)])

    def _take(self, data: bytes) -> None:
        *lines, rest = (self._line + data).split(b"\n")
        for line in lines:
            self._end_line(self._cut(line))
        self._line = self._cut(rest)
        if not data:  # the end
            if self._line:
                self._end_line(self._line)
            self._line = b""
        elif self._line:
            self._last_news = time.monotonic()
            if self._teller is None:
                self._teller = gevent.spawn(self._tell_soon)

    def _cut(self, line: bytes) -> bytes:
        """What is left of a line: less what was overwritten, and less what is too long for one."""
        if b"\r" in line:
            shown = line.rstrip(b"\r")
            overwritten = shown.rfind(b"\r") + 1
            if overwritten and shown[overwritten:] != self._told:
                self._told = b""
            end = b"\r" if len(shown) < len(line) else b""
            line = shown[overwritten:] + end
        while len(line) > self.max_line:
            end_of_piece = _whole(line[: self.max_line])
            self._end_line(line[:end_of_piece])
            line = line[end_of_piece:]
        return line

    def _end_line(self, line: bytes) -> None:
        line, told, self._told = line.rstrip(b"\r"), self._told, b""
        self._on_line(_decode(line))
        if not told:
            self._on_text(_decode(line))
        elif len(line) > len(told):
            self._on_text(_decode(line[len(told) :]))

    def _tell_soon(self) -> None:
        """Tell what has been added to a line without an end, until nothing is."""
        began = time.monotonic()
        while self._untold():
            gevent.sleep(self.quiet)
            now = time.monotonic()
            if now - self._last_news >= self.quiet or now - began >= self.longest_wait:
                if untold := self._untold():
                    self._on_text(_decode(untold))
                    self._told += untold
                began = now
        self._teller = None

    def _untold(self) -> bytes:
        line = self._line.rstrip(b"\r")
        return line[len(self._told) : _whole(line)]


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
        self._lines: deque[str] = deque(maxlen=self.kept)
        self._errors: deque[str] = deque(maxlen=self.kept_errors)
        self._second = 0
        self._this_second = 0
        self._left_out = 0
        #: Called with each complete line.
        self.listeners: list[Callable[[OutputLine], None]] = []
        self.stdout = Output(self._keep, self._log)
        try:
            self.stderr = Output(self._keep_error, self._log)
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

    @property
    def lines(self) -> list[str]:
        """The last lines of both; in the end those that have no end yet."""
        return [*self._lines, *filter(None, [self.stdout.unfinished(), self.stderr.unfinished()])][
            -self.kept :
        ]

    @property
    def errors(self) -> list[str]:
        """The last lines of standard error, likewise."""
        return [*self._errors, *filter(None, [self.stderr.unfinished()])][-self.kept_errors :]

    def _keep(self, line: str, is_error: bool = False) -> None:
        self._lines.append(line)
        for listener in self.listeners:
            listener(OutputLine(line, is_error))

    def _keep_error(self, line: str) -> None:
        self._errors.append(line)
        self._keep(line, is_error=True)

    def _log(self, line: str) -> None:
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


def _decode(line: bytes) -> str:
    """Text with nothing in it that a terminal would obey."""
    text = line.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "\t".join(map(printable, text.split("\t")))


def _whole(text: bytes) -> int:
    """How many bytes of a text there are without a letter at its end that is cut off."""
    for length in range(1, min(4, len(text) + 1)):
        byte = text[-length]
        if byte >= 0xC0:  # a letter begins here, of as many bytes as it has leading ones
            needed = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return len(text) - length if needed > length else len(text)
        if byte < 0x80:
            break
    return len(text)
