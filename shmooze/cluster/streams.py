"""Streams of bytes over a link, with flow control: a slow one holds up no other.

Each side may send as many bytes of a stream as the other has room for. Whoever takes bytes out
gives credit for as many more.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import gevent
from gevent.event import Event

from shmooze.cluster.protocol import CloseStream, Content, Credit, EndOfStream, Piece
from shmooze.processes.contract import ByteStream
from shmooze.runtime.time_slices import TimeSlices

log = logging.getLogger(__name__)


class CarriedStream:
    """A ByteStream whose other end is at the other side of a link."""

    #: Bytes that may be on their way, in each direction.
    window = 1 << 18
    #: Bytes of one message at most: others get a turn in between.
    max_piece = 1 << 15
    #: Bytes that are read at once, which does not matter here.
    piece = 0

    def __init__(self, number: int, send: Callable[[Content], None]) -> None:
        self._number, self._send = number, send
        self._credit = self.window
        self._may_write = Event()
        self._is_closed = self._has_ended_writing = False
        #: What has come and nobody has taken; b"" is the end.
        self._arrived: deque[bytes] = deque()
        self._receive: Callable[[bytes], None] | None = None
        self._reader: gevent.Greenlet | None = None
        self._taken = 0
        #: Set when everything has been read, or nothing more will be.
        self._end = Event()

    # What its user does, see ByteStream.

    def read_with(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive
        self._read_soon()

    def write(self, data: bytes) -> int:
        if self._is_closed or self._has_ended_writing:
            raise BrokenPipeError("the stream is closed")
        size = min(len(data), self._credit)
        for begin in range(0, size, self.max_piece):
            end = min(size, begin + self.max_piece)
            self._send(Piece(self._number, bytes(data[begin:end])))
        self._credit -= size
        return size

    def write_all(self, data: bytes) -> None:
        while data := data[self.write(data) :]:
            self._may_write.clear()
            self._may_write.wait()

    def end_writing(self) -> None:
        if not (self._is_closed or self._has_ended_writing):
            self._has_ended_writing = True
            self._send(EndOfStream(self._number))
            self._may_write.set()  # whoever waits gets an error

    def has_unread(self) -> bool:
        """Whether the other side has not taken all that was written."""
        return not self._is_closed and self._credit < self.window

    def wait_end(self, timeout: float) -> None:
        if self._receive is not None:
            self._end.wait(timeout)

    def wait_read(self) -> None:
        """Wait until what has arrived by now was read."""
        if self._reader is not None:
            self._reader.join()

    def stop_reading(self) -> None:
        self._receive = None
        if self._reader is not None and self._reader is not gevent.getcurrent():
            self._reader.kill(block=False)
        self._end.set()

    def close(self) -> None:
        if not self._is_closed:
            self._send(CloseStream(self._number))
        self._close()

    # What comes over the link.

    def take(self, message: Piece | EndOfStream | Credit | CloseStream) -> None:
        """Take a message for this stream. Does not wait."""
        if isinstance(message, Credit):
            self._credit += message.size
            self._may_write.set()
        elif isinstance(message, CloseStream):
            self.lose()
        elif not self._is_closed:
            self._arrived.append(message.data if isinstance(message, Piece) else b"")
            self._read_soon()

    def lose(self) -> None:
        """Nothing more will come: its end is read after what has come."""
        if not self._is_closed:
            self._arrived.append(b"")
            self._read_soon()
            self._has_ended_writing = True
            self._may_write.set()

    def _close(self) -> None:
        self._is_closed = True
        self._arrived.clear()
        self.stop_reading()
        self._may_write.set()

    def _read_soon(self) -> None:
        if self._reader is None and self._receive is not None and self._arrived:
            self._reader = gevent.spawn(self._read)

    def _read(self) -> None:
        slices = TimeSlices()
        try:
            while self._arrived and (receive := self._receive) is not None:
                data = self._arrived.popleft()
                try:
                    receive(data)
                except Exception:  # a bug; keep reading, since nobody could handle it
                    log.exception("failed to process what came over a stream")
                if not data:
                    self._receive = None
                    self._end.set()
                    return
                self._give_credit(len(data))
                slices.yield_if_over()
        finally:
            self._reader = None

    def _give_credit(self, size: int) -> None:
        self._taken += size
        if self._taken >= self.window // 4 or not self._arrived:
            self._send(Credit(self._number, self._taken))
            self._taken = 0


def join(local: ByteStream, carried: CarriedStream) -> None:
    """Pass on what comes from either of two streams to the other one."""
    local.piece = 1 << 14
    local.read_with(lambda data: _pass_on(data, carried))
    carried.read_with(lambda data: _pass_on(data, local))


def _pass_on(data: bytes, to: ByteStream) -> None:
    with suppress(OSError):  # it was closed: whoever reads there knows
        if data:
            to.write_all(data)
        else:
            to.end_writing()
