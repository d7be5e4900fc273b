"""The log of a program: standard error, written by a thread of its own.

Whoever reads it may be slow, or have stopped reading: a pager, a terminal on which somebody has
pressed Ctrl-S. What is written meanwhile waits in bounded memory, and nothing else waits for it.
"""

from __future__ import annotations

import logging
import os
from collections import deque

import gevent
from gevent import monkey
from gevent.threadpool import ThreadPool


class StderrHandler(logging.Handler):
    """Writes each record as a line, in order. What does not fit any more is counted and said."""

    #: Lines that wait at the most.
    max_lines = 10_000
    #: Seconds that `flush` waits for the reader.
    flush_timeout = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[str] = deque()
        self._left_out = 0
        self._thread: ThreadPool | None = None
        self._writer: gevent.Greenlet | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # somebody's arguments do not fit his message; logging says so itself
            self.handleError(record)
            return
        if len(self._waiting) >= self.max_lines:
            self._left_out += 1
            return
        self._waiting.append(line + "\n")
        if not self._writer:
            self._writer = gevent.spawn(self._write_all)

    def flush(self) -> None:
        if self._writer:
            self._writer.join(self.flush_timeout)

    def _write_all(self) -> None:
        if self._thread is None:
            self._thread = ThreadPool(1)
        while self._waiting:
            if self._left_out:
                self._waiting.append(f"({self._left_out} lines of the log left out)\n")
                self._left_out = 0
            text = "".join(self._waiting)
            self._waiting.clear()
            # In the thread, since it may wait.
            self._thread.apply(_write, (text.encode("utf-8", "backslashreplace"),))


class PlainStderrHandler(logging.Handler):
    """The same for a process that has neither loop nor thread: what cannot go out now is lost."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            if monkey.get_original("select", "select")([], [2], [], 0)[1]:
                _write(line.encode("utf-8", "backslashreplace"))
        except Exception:  # no standard error at all, or arguments that do not fit
            self.handleError(record)


def _write(text: bytes) -> None:
    try:
        while text:
            text = text[os.write(2, text) :]
    except OSError:
        pass  # nobody reads it any more
