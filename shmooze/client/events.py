"""Live events of a queue or pool, as an iterator that survives lost connections."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from typing import Any

from shmooze.client.connections import Stream
from shmooze.client.endpoint import Endpoint
from shmooze.client.errors import WaitTimeout
from shmooze.client.state import State, apply
from shmooze.errors import ServiceTimeout

#: Bytes that are read at once.
_PIECE = 1 << 16


class EventStream(Iterator[dict[str, Any]]):
    """Iterates over events: {"event": "snapshot" or "change", "id": text, "data": {...}}.

    `state` is what all events so far add up to. If the connection is lost, it is made again, with
    growing pauses, and the next event follows the last one, or is a snapshot again.

    It ends only by `close`, which any thread may call. The first connection must succeed: it
    raises Unreachable. CommandRefused is raised whenever the server refuses. With a `deadline`, in
    seconds of time.monotonic, WaitTimeout is raised then.
    """

    #: Seconds without data after which the connection counts as lost. Services send something
    #: every 15 seconds.
    silence = 45.0
    #: Seconds before the first and the last of several attempts to connect.
    first_pause, longest_pause = 0.5, 10.0

    def __init__(
        self, endpoint: Endpoint, last_id: str | None = None, deadline: float | None = None
    ) -> None:
        #: The modules in order and the background: {"modules": [...], "background": ...}.
        self.state: State = {"modules": [], "background": None}
        #: Why there is no connection, if it was lost.
        self.lost: str | None = None
        self._endpoint, self._last_id, self._deadline = endpoint, last_id, deadline
        self._stream: Stream | None = None
        self._events: Iterator[tuple[str, str | None, str]] = iter(())
        self._has_begun = False
        self._pause = self.first_pause
        self._closed = threading.Event()
        self._reading = threading.Lock()
        endpoint.connections.readers.add(self)

    def __next__(self) -> dict[str, Any]:
        with self._reading:
            try:
                while not self._closed.is_set():
                    if (event := self._next()) is not None:
                        return event
            finally:
                if self._closed.is_set():
                    self._disconnect()
        raise StopIteration

    def close(self) -> None:
        """End the iteration, in whatever thread it is."""
        self._closed.set()
        self._endpoint.connections.readers.discard(self)
        if (stream := self._stream) is not None:
            with suppress(OSError, ValueError):  # it has just ended
                # Not the method of a TLS socket, which would disturb a read in another thread.
                socket.socket.shutdown(stream.sock, socket.SHUT_RDWR)
        if self._reading.acquire(blocking=False):  # otherwise whoever reads disconnects
            self._disconnect()
            self._reading.release()

    def __del__(self) -> None:
        if hasattr(self, "_reading"):  # it has been made completely
            self.close()

    def start_over(self) -> None:
        """Drop the connection; the next event is a snapshot. Only for the thread that iterates."""
        self._disconnect()
        self._last_id = None

    def sleep(self, seconds: float) -> None:
        """Wait, until it is closed at most. Raises WaitTimeout."""
        self._closed.wait(seconds if self._deadline is None else min(seconds, self._patience()))
        self._check_deadline()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> dict[str, Any] | None:
        """The next event; None if there is none yet."""
        self._check_deadline()
        try:
            if self._stream is None:
                self._connect()
            kind, id, data = next(self._events)
            return self._take(kind, id, data) if kind in ("snapshot", "change") else None
        except (StopIteration, OSError, HTTPException, ValueError) as broken:
            self._lose(broken)
            return None

    def _connect(self) -> None:
        # A snapshot comes soon, but it may be large: the first data must come in time, no more.
        self._stream = self._endpoint.open_events(self._last_id, self._patience())
        self._events = read_events(self._pieces(self._stream))
        self._has_begun = True

    def _take(self, kind: str, id: str | None, data: str) -> dict[str, Any]:
        self._last_id = None  # if it is invalid: start over
        try:
            value = json.loads(data)
            self.state = apply(self.state, kind, value)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as bad:
            raise ValueError(f"the server has sent an invalid {kind}") from bad
        self._last_id, self.lost, self._pause = id, None, self.first_pause
        return {"event": kind, "id": id, "data": value}

    def _lose(self, broken: Exception) -> None:
        """Wait before the next attempt, or raise."""
        self._disconnect()
        if self._closed.is_set():
            return
        self._check_deadline(broken)
        if not self._has_begun:
            raise broken
        is_silent = isinstance(broken, TimeoutError) and not isinstance(broken, ServiceTimeout)
        reason = f"no data for {self.silence:g} s" if is_silent else str(broken)
        self.lost = reason or "closed by the server"
        pause, self._pause = self._pause, min(2 * self._pause, self.longest_pause)
        self.sleep(pause)

    def _disconnect(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def _pieces(self, stream: Stream) -> Iterator[bytes]:
        """The bytes of a stream as they come; its end is one of the connection."""
        while not self._closed.is_set():
            stream.sock.settimeout(self._patience())
            if not (piece := stream.response.read1(_PIECE)):
                break
            yield piece

    def _patience(self) -> float:
        """Seconds to wait for data."""
        if self._deadline is None:
            return self.silence
        return max(0.001, min(self.silence, self._deadline - time.monotonic()))

    def _check_deadline(self, cause: Exception | None = None) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise WaitTimeout("the time to wait is over") from cause


def read_events(pieces: Iterator[bytes]) -> Iterator[tuple[str, str | None, str]]:
    """The events of a `text/event-stream`: kind, id, data.

    An event without its final blank line is incomplete and ignored.
    """
    kind, last_id, data = "message", None, list[str]()
    for line in _lines(pieces):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "id":
            last_id = value
        elif name == "data":
            data.append(value)
        elif not line:
            if data:
                yield kind, last_id, "\n".join(data)
            kind, data = "message", []


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    """Lines that end with LF or CR LF. Long ones are not searched again with each piece."""
    begun: list[bytes] = []
    for piece in pieces:
        first, *others = piece.split(b"\n")
        begun.append(first)
        for other in others:
            yield b"".join(begun).decode(errors="replace").removesuffix("\r")
            begun = [other]
