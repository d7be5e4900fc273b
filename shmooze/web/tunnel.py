"""A tunnel: two sockets whose bytes go to each other, as they come, until one of them is closed.

Nothing but watchers of the event loop for each direction: thousands of WebSockets are open at a
time, and nearly all of them are quiet.
"""

from __future__ import annotations

import socket
from typing import Any

import gevent
from gevent.event import Event

#: Bytes that are taken at once, and that wait at most in each direction.
_PIECE = 1 << 16
#: Seconds that one side may go on sending when the other has ended.
_LINGER = 10.0


class Tunnel:
    """Connects two gevent sockets. `run` returns when it is over; the caller closes both."""

    def __init__(self, one: Any, other: Any) -> None:
        self._over = Event()
        self._is_half_over = False
        self._directions = (
            _Direction(one, other, self._on_end),
            _Direction(other, one, self._on_end),
        )

    def run(self, from_one: bytes = b"", from_other: bytes = b"") -> None:
        """Pass bytes on, first those that were read already."""
        there, back = self._directions
        try:
            there.start(from_one)
            back.start(from_other)
            self._over.wait()
        finally:
            there.close()
            back.close()

    def _on_end(self, is_broken: bool) -> None:
        if is_broken or self._is_half_over:
            self._over.set()
        else:
            self._is_half_over = True
            gevent.spawn_later(_LINGER, self._over.set)


class _Direction:
    """From `source` to `target`."""

    __slots__ = ("_is_at_end", "_on_end", "_readable", "_rest", "_source", "_target", "_writable")

    def __init__(self, source: Any, target: Any, on_end: Any) -> None:
        self._source, self._target, self._on_end = source, target, on_end
        #: What the target has not taken yet. Nothing more is read meanwhile.
        self._rest = b""
        self._is_at_end = False
        loop = gevent.get_hub().loop
        self._readable: Any = loop.io(source.fileno(), 1)
        self._writable: Any = loop.io(target.fileno(), 2)

    def start(self, data: bytes) -> None:
        for each in (self._source, self._target):
            each.settimeout(0.0)
        if data:
            self._send(data)
        else:
            self._readable.start(self._read)

    def close(self) -> None:
        for watcher in (self._readable, self._writable):
            watcher.stop()
            watcher.close()

    def _read(self) -> None:
        try:
            data = self._source.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            self._end(is_broken=True)
            return
        if data:
            self._send(data)
            return
        self._end(is_broken=False)
        try:
            self._target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has gone as well

    def _send(self, data: bytes) -> None:
        try:
            sent = self._target.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(is_broken=True)
            return
        self._rest = data[sent:]
        if self._rest:
            self._readable.stop()
            self._writable.start(self._go_on)
        else:
            self._writable.stop()
            self._readable.start(self._read)

    def _go_on(self) -> None:
        self._send(self._rest)

    def _end(self, is_broken: bool) -> None:
        self._readable.stop()
        self._writable.stop()
        if not self._is_at_end:
            self._is_at_end = True
            self._on_end(is_broken)
