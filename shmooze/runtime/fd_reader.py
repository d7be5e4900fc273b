"""FdReader: reads a file descriptor of a child as soon as there is something to read.

While nothing comes, a reader is a watcher of the event loop and nothing else. Only what has come is
worth a greenlet: five that wait for each of a thousand modules would be most of a service's memory.
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

#: Closes at once what the event loop does not watch. gevent's own `os.close` waits until the loop
#: wakes up for another reason.
close_now: Callable[[int], None] = monkey.get_original("os", "close")


class FdReader:
    """Reads a file descriptor, which does not block, until its end.

    `take` gets each piece that has come, and an empty one at the end, a broken connection's
    included. It runs in a greenlet and may wait; nothing more is read meanwhile. The descriptor
    remains its owner's, who closes the reader first.
    """

    __slots__ = ("_end", "_fd", "_reader", "_take", "_watcher", "piece")

    def __init__(self, fd: int, take: Callable[[bytes], None], piece: int) -> None:
        #: Bytes that are read at once.
        self.piece = piece
        self._fd, self._take = fd, take
        self._reader: gevent.Greenlet | None = None
        self._end: Event | None = None
        self._watcher: Any = gevent.get_hub().loop.io(fd, 1)
        self._watcher.start(self._on_ready)

    def wait_end(self, timeout: float) -> None:
        """Wait until the end has been read, for so many seconds at the most."""
        if self._watcher is not None:
            self._end = Event()
            self._end.wait(timeout)

    def close(self) -> None:
        """Read no more. What is being taken by another greenlet is given up."""
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
            except Exception:  # a bug; what comes next may be taken, and nobody is left to wait
                log.exception("what a child has sent was not taken")
            if data:
                slices.yield_if_over()
            else:
                self.close()
        self._reader = None
