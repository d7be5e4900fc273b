"""The log of a program: standard error, written by a thread of its own.

Whoever reads it may be slow, or have stopped reading: a pager, a terminal on which somebody has
pressed Ctrl-S. What is written meanwhile waits in bounded memory, and nothing else waits for it.
Lines that do not fit are counted, and the log says how many as soon as there is room again.

Records may come from any thread, so all that is shared here is the system's own and not gevent's:
locks, the queue, the thread. That is why the other half is not the standard QueueListener, which
starts a `threading.Thread`: once gevent has patched, that is a greenlet.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from contextlib import suppress
from logging.handlers import QueueHandler
from queue import Empty
from typing import Any

from gevent import monkey

_start_thread: Any = monkey.get_original("_thread", "start_new_thread")
_new_lock: Any = monkey.get_original("_thread", "RLock")
_new_queue: Any = monkey.get_original("queue", "SimpleQueue")
_new_poll: Any = monkey.get_original("select", "poll")


class _ForAllThreads(logging.Handler):
    """A handler whose lock works between threads of the system."""

    def createLock(self) -> None:
        super().createLock()
        self.lock = _new_lock()


class StderrHandler(_ForAllThreads, QueueHandler):
    """Writes each record as a line, in order, and makes nobody wait for it."""

    #: Lines that wait at the most.
    max_lines = 10_000
    #: Seconds that `flush` waits for the reader.
    flush_timeout = 1.0
    #: Lines that are written at once at the most.
    batch = 1000

    queue: Any

    def __init__(self) -> None:
        # Holds lines; numbers of lines that were lost in this place; and those who wait for what
        # is before them to be written, which are queues themselves.
        super().__init__(_new_queue())
        self._out = _Output(wait=True)
        self._lost = 0
        #: For that number. Not the handler's own, which logging holds while it waits in `flush`.
        self._counting = _new_lock()
        self._has_thread = False
        os.register_at_fork(after_in_child=self._begin_anew)

    def prepare(self, record: logging.LogRecord) -> Any:
        return self.format(record) + "\n"

    def enqueue(self, line: Any) -> None:
        with self._counting:
            if self.queue.qsize() >= self.max_lines:
                self._lost += 1
                return
            self._tell_lost()
            self.queue.put(line)
        if not self._has_thread:
            with suppress(RuntimeError):  # no thread can be had now: with the next line, then
                _start_thread(self._write_all, ())
                self._has_thread = True

    def flush(self) -> None:
        if self._has_thread:
            written = _new_queue()
            self.queue.put(written)
            with suppress(Empty):
                written.get(timeout=self.flush_timeout)

    def _write_all(self) -> None:
        """The thread: write what is there, as much as there is."""
        while True:
            first = self.queue.get()
            # One by one, each would have to wait until a busy loop lets this thread have its turn.
            items = [first, *(self.queue.get() for _ in range(min(self.queue.qsize(), self.batch)))]
            lost = self._out.write([item for item in items if isinstance(item, (str, int))])
            with self._counting:
                self._lost += lost
                if not lost and self.queue.empty():
                    self._tell_lost()
            for item in items:
                if not isinstance(item, (str, int)):
                    item.put(None)

    def _tell_lost(self) -> None:
        if self._lost:
            self.queue.put(self._lost)
            self._lost = 0

    def _begin_anew(self) -> None:
        """This is a fork: the thread is not here, and what waits is written by our parent."""
        self.queue = _new_queue()
        self._counting = _new_lock()
        self._has_thread = False


class PlainStderrHandler(_ForAllThreads):
    """The same for a process that has neither loop nor thread: what cannot go out now is lost."""

    def __init__(self) -> None:
        super().__init__()
        self._out = _Output(wait=False)
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
        except Exception:  # somebody's arguments do not fit his message; logging says so itself
            self.handleError(record)
            return
        self._lost = self._out.write([self._lost, line] if self._lost else [line])


class _Output:
    """Standard error, whoever reads it, and even if somebody has set it not to block.

    `wait`: until all is written; else what cannot be written now is lost.
    """

    def __init__(self, wait: bool) -> None:
        # Another number than 2 where that was somebody else's before we could have it.
        self._number = sys.__stderr__.fileno() if sys.__stderr__ else 2
        self._timeout = None if wait else 0
        #: Bytes that are written at once: where nobody waits, what fits whenever anything does.
        self._piece = 1 << 16 if wait else select.PIPE_BUF
        #: What is left of a line that was begun.
        self._rest = b""

    def write(self, items: list[str | int]) -> int:
        """Write lines, each whole or not at all, and numbers of lost ones; those lost now."""
        data = [_line(item).encode("utf-8", "backslashreplace") for item in items]
        left = self._rest + b"".join(data)
        try:
            while left:
                left = left[self._write(left[: self._piece]) :]
        except OSError:
            pass  # nobody reads it now, or the disk is full
        lost = 0
        while data and len(left) >= len(data[-1]):
            left = left[: -len(data.pop())]
            item = items[len(data)]
            lost += item if isinstance(item, int) else 1
        self._rest = left
        return lost

    def _write(self, data: bytes) -> int:
        """Write some of it; how much. Raises OSError where that is impossible."""
        output = _new_poll()
        output.register(self._number, select.POLLOUT)
        if not output.poll(self._timeout):
            raise BlockingIOError
        try:
            return os.write(self._number, data)
        except BlockingIOError:
            return 0  # others have been quicker


def _line(item: str | int) -> str:
    return item if isinstance(item, str) else f"({item} lines of the log left out)\n"
