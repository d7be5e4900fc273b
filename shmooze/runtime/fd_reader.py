"""FdReader: reads a file descriptor whenever there is something to read.

An idle reader is only a watcher of the event loop. A greenlet exists only while there is data: five
greenlets for each of a thousand modules would take most of a service's memory.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import gevent
from gevent import monkey
from gevent.event import Event

from shmooze.runtime.time_slices import TimeSlices

log = logging.getLogger(__name__)

#: Closes a file descriptor that the event loop does not watch. gevent's own `os.close` waits
#: until the loop wakes up for another reason.
close_now: Callable[[int], None] = monkey.get_original("os", "close")


class FdReader:
    """Reads a nonblocking file descriptor until its end.

    `take` is called with each piece of data, and with an empty one at the end or when the
    connection breaks. It runs in a greenlet and may wait; nothing more is read meanwhile. The owner
    of the descriptor closes the reader first, then the descriptor.
    """

    __slots__ = ("_end", "_fd", "_reader", "_take", "_watcher", "piece")

    def __init__(self, fd: int, take: Callable[[bytes], None], piece: int) -> None:
        #: Bytes per read.
        self.piece = piece
        self._fd, self._take = fd, take
        self._reader: gevent.Greenlet | None = None
        self._end: Event | None = None
        self._watcher: Any = gevent.get_hub().loop.io(fd, 1)
        self._watcher.start(self._on_ready)

    def wait_end(self, timeout: float) -> None:
        """Wait until the end has been read, for at most `timeout` seconds."""
        if self._watcher is not None:
            self._end = Event()
            self._end.wait(timeout)

    def close(self) -> None:
        """Stop reading. A `take` that runs in another greenlet is interrupted."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._reader is not None and self._reader is not gevent.getcurrent():
            self._reader.kill(block=False)
        if self._end is not None:
            self._end.set()

    def _on_ready(self) -> None:
        self._watcher.stop()
        self._reader = gevent.spawn(self._read)

    def _read(self) -> None:
        slices = TimeSlices()
        while self._watcher is not None:
            try:
                data = os.read(self._fd, self.piece)
            except BlockingIOError:
                self._reader = None
                self._watcher.start(self._on_ready)
                return
            except OSError:  # reset by the other side
                data = b""
            try:
                self._take(data)
            except Exception:  # a bug; keep reading, since nobody could handle it
                log.exception("failed to process data from a child")
            if data:
                slices.yield_if_over()
            else:
                self.close()
        self._reader = None
