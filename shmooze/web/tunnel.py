"""A tunnel: two sockets whose bytes go to each other, as they come, until one of them is closed.

Nothing but a watcher of the event loop for each direction: thousands of WebSockets are open at a
time, and nearly all of them are quiet.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

#: Bytes that are taken at once, and that wait at most in each direction.
_PIECE = 1 << 16


class Tunnel:
    """Connects two gevent sockets. `run` returns when it is over; the caller closes both.

    `is_open` is asked before bytes are passed on; once it returns False, the tunnel is over.
    """

    #: Seconds that one side may go on sending when the other has ended.
    linger = 10.0

    def __init__(self, one: Any, other: Any, is_open: Callable[[], bool] = lambda: True) -> None:
        self._changed = Event()
        self._is_half_over = self._is_over = False
        self._directions = (
            _Direction(one, other, is_open, self._on_end),
            _Direction(other, one, is_open, self._on_end),
        )

    def run(self, from_one: bytes = b"", from_other: bytes = b"") -> None:
        """Pass bytes on, first those that were read already."""
        there, back = self._directions
        try:
            there.start(from_one)
            back.start(from_other)
            self._changed.wait()
            if not self._is_over:
                self._changed.clear()
                self._changed.wait(self.linger)
        finally:
            there.close()
            back.close()

    def _on_end(self, is_broken: bool) -> None:
        self._is_over = self._is_over or is_broken or self._is_half_over
        self._is_half_over = True
        self._changed.set()


class _Direction:
    """From `source` to `target`."""

    __slots__ = ("_is_open", "_on_end", "_readable", "_rest", "_source", "_target", "_writable")

    def __init__(
        self,
        source: Any,
        target: Any,
        is_open: Callable[[], bool],
        on_end: Callable[[bool], None],
    ) -> None:
        self._source, self._target = source, target
        self._is_open, self._on_end = is_open, on_end
        #: What the target has not taken yet. Nothing more is read meanwhile.
        self._rest = b""
        self._readable: Any = gevent.get_hub().loop.io(source.fileno(), 1)
        #: Made when it is needed, which it rarely is.
        self._writable: Any = None

    def start(self, data: bytes) -> None:
        self._source.settimeout(0.0)
        self._target.settimeout(0.0)
        self._readable.start(self._read)
        if data:
            self._pass_on(data)

    def close(self) -> None:
        self._readable.stop()
        self._readable.close()
        if self._writable is not None:
            self._writable.stop()
            self._writable.close()

    def _read(self) -> None:
        try:
            data = self._source.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            self._end(is_broken=True)
            return
        if data:
            self._pass_on(data)
            return
        self._end(is_broken=False)
        try:
            self._target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has gone as well

    def _pass_on(self, data: bytes) -> None:
        if not self._is_open():
            self._end(is_broken=True)
        elif rest := self._send(data):
            self._rest = rest
            self._readable.stop()
            if self._writable is None:
                self._writable = gevent.get_hub().loop.io(self._target.fileno(), 2)
            self._writable.start(self._go_on)

    def _go_on(self) -> None:
        self._rest = self._send(self._rest)
        if not self._rest:
            self._writable.stop()
            self._readable.start(self._read)

    def _send(self, data: bytes) -> bytes:
        """Send what the target takes at once. Returns the rest; none if it is broken."""
        try:
            return data[self._target.send(data) :]
        except BlockingIOError:
            return data
        except OSError:
            self._end(is_broken=True)
            return b""

    def _end(self, is_broken: bool) -> None:
        self._readable.stop()
        if self._writable is not None:
            self._writable.stop()
        self._on_end(is_broken)
