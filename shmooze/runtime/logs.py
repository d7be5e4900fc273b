"""The log of a program: lines on standard error, written without blocking anything.

Whoever reads standard error may be slow or stop reading, such as a pager, or a terminal on which
somebody has pressed Ctrl-S. Lines that are not written yet wait in bounded memory. Lines that do
not fit are counted, and the log says how many as soon as there is room again.

The standard QueueHandler and QueueListener carry the lines to a thread. Any thread may log, so all
that is shared here is native and not gevent's: locks, queue, thread. The standard classes lack
what this file adds:

- The listener starts a `threading.Thread`, which gevent has made a greenlet. Ours is native.
- Its `stop` waits for the thread, even if the reader blocks that for ever. Ours is never stopped:
  `flush` waits with a timeout, and the thread ends with the program.
- It handles one record at a time. The thread would wait for a busy event loop (the GIL) once for
  each line. Our queue returns all lines that are there.
- If the queue is full, the handler prints a traceback. Our queue counts the line.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener
from queue import Empty
from typing import Any

from gevent import monkey

_start_thread: Any = monkey.get_original("_thread", "start_new_thread")
_new_lock: Any = monkey.get_original("_thread", "RLock")
_new_queue: Any = monkey.get_original("queue", "SimpleQueue")
_new_poll: Any = monkey.get_original("select", "poll")


class NativeHandler(logging.Handler):
    """A handler with a native lock."""

    def createLock(self) -> None:
        super().createLock()
        self.lock = _new_lock()


class StderrHandler(NativeHandler, QueueHandler):
    """Writes each record to standard error as a line, in order, without blocking the caller."""

    #: Seconds for which `flush` waits for the reader.
    flush_timeout = 1.0

    queue: LineQueue
    listener: _Listener  # the name that Python 3.12 gives it

    def __init__(self) -> None:
        super().__init__(LineQueue())
        self.listener = _Listener(self.queue)
        os.register_at_fork(after_in_child=self._reset_after_fork)

    def prepare(self, record: logging.LogRecord) -> Any:
        return self.format(record) + "\n"

    def enqueue(self, line: Any) -> None:
        self.queue.put_nowait(line)
        self.listener.start()

    def flush(self) -> None:
        if self.listener.is_running:
            self.queue.wait_until_written(self.flush_timeout)

    def _reset_after_fork(self) -> None:
        """In a fork: the thread is not running here, and the parent writes the lines that wait."""
        self.queue = LineQueue()
        self.listener = _Listener(self.queue)


class LineQueue:
    """Lines on their way from QueueHandler to QueueListener: bounded, and taken in batches."""

    #: Lines that may wait.
    max_lines = 10_000
    #: Lines that are taken at once.
    max_batch = 1000

    def __init__(self) -> None:
        #: Holds lines; numbers of lines that were lost at that place; and, for each caller of
        #: `wait_until_written`, a queue to answer it.
        self._items = _new_queue()
        #: Lines that were lost, of which the log does not say so yet.
        self._lost = 0
        self._lock = _new_lock()

    def put_nowait(self, line: str) -> None:
        with self._lock:
            if self._items.qsize() >= self.max_lines:
                self._lost += 1
                return
            self._report_lost()
            self._items.put(line)

    def get(self, block: bool = True) -> list[Any]:
        """Wait for an item. Returns it with those behind it."""
        first = self._items.get(block)
        more = min(self._items.qsize(), self.max_batch)
        return [first, *(self._items.get() for _ in range(more))]

    def written(self, batch: list[Any], lost: int) -> None:
        """A batch was written, except for the last `lost` lines."""
        with self._lock:
            self._lost += lost
            if not lost and self._items.empty():
                self._report_lost()
        for item in batch:
            if not isinstance(item, (str, int)):
                item.put(None)

    def wait_until_written(self, timeout: float) -> None:
        """Wait until all lines that are in now were written, or lost."""
        done = _new_queue()
        self._items.put(done)
        with suppress(Empty):
            done.get(timeout=timeout)

    def _report_lost(self) -> None:
        if self._lost:
            self._items.put(self._lost)
            self._lost = 0


class _Listener(QueueListener):
    """Writes lines in a native thread, in batches."""

    def __init__(self, lines: LineQueue) -> None:
        super().__init__(lines)
        self._lines = lines
        self._output = _Output(wait=True)
        self.is_running = False

    def start(self) -> None:
        """Start the thread, if it is not running. If that fails now, the next call tries again."""
        if not self.is_running:
            with suppress(RuntimeError):
                _start_thread(self._run, ())
                self.is_running = True

    def _run(self) -> None:
        while True:
            self.handle(self.dequeue(True))

    def handle(self, batch: Any) -> None:
        lost = self._output.write([item for item in batch if isinstance(item, (str, int))])
        self._lines.written(batch, lost)


class PlainStderrHandler(NativeHandler):
    """The same for a process without event loop and threads: what does not fit now is lost."""

    def __init__(self) -> None:
        super().__init__()
        self._output = _Output(wait=False)
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
        except Exception:  # the arguments do not fit the message: logging reports it
            self.handleError(record)
            return
        self._lost = self._output.write([self._lost, line] if self._lost else [line])


class _Output:
    """Standard error, even if it was set not to block.

    With `wait`, a write waits for the reader; otherwise, what cannot be written now is lost.
    """

    def __init__(self, wait: bool) -> None:
        # Not 2 if that was another file's number before shmooze was imported.
        self._fd = sys.__stderr__.fileno() if sys.__stderr__ else 2
        self._timeout = None if wait else 0
        #: Bytes per write. A pipe that is ready takes at least PIPE_BUF bytes without blocking.
        self._piece = 1 << 16 if wait else select.PIPE_BUF
        #: The rest of a line that was written in part.
        self._rest = b""

    def write(self, items: list[str | int]) -> int:
        """Write lines, and numbers of lost lines. Returns how many lines were lost now.

        Each line is written as a whole or not at all.
        """
        data = [_line(item).encode("utf-8", "backslashreplace") for item in items]
        left = self._rest + b"".join(data)
        try:
            while left:
                left = left[self._write(left[: self._piece]) :]
        except OSError:
            pass  # it has no reader, or the disk is full
        lost = 0
        while data and len(left) >= len(data[-1]):
            left = left[: -len(data.pop())]
            item = items[len(data)]
            lost += item if isinstance(item, int) else 1
        self._rest = left
        return lost

    def _write(self, data: bytes) -> int:
        """Write some of it. Returns how much. Raises OSError if that is impossible."""
        output = _new_poll()
        output.register(self._fd, select.POLLOUT)
        if not output.poll(self._timeout):
            raise BlockingIOError
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0  # another process was faster


def _line(item: str | int) -> str:
    return item if isinstance(item, str) else f"({item} lines of the log were lost)\n"
