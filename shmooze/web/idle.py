"""Idle connections to a server, kept for the next request."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import gevent

from shmooze.web.sockets import peek


class IdleConnections:
    """Idle connections, the one that was used last at the end. Each is closed after `longest_idle`
    seconds, or when the server has closed it."""

    #: Seconds between two checks for those that have to be closed.
    sweep_interval = 2.0

    def __init__(self, longest_idle: float) -> None:
        self._longest_idle = longest_idle
        #: Each after the time since when it is idle.
        self._idle: deque[tuple[float, Any]] = deque()
        #: Calls `_sweep` again and again, as long as there are any.
        self._sweeper: Any = None

    def add(self, connection: Any) -> None:
        self._idle.append((time.monotonic(), connection))
        if self._sweeper is None:
            seconds = min(self.sweep_interval, self._longest_idle)
            self._sweeper = gevent.get_hub().loop.timer(seconds, seconds, ref=False)
            self._sweeper.start(self._sweep)

    def take(self) -> Any:
        """The one that was used last and can be used again; None: there is none."""
        while self._idle:
            since, connection = self._idle.pop()
            if self._is_usable(since, connection):
                return connection
            connection.close()
        return None

    def close(self) -> None:
        """Close all of them."""
        while self._idle:
            self._idle.pop()[1].close()
        self._stop_sweeping()

    def _sweep(self) -> None:
        for _ in range(len(self._idle)):
            since, connection = self._idle.popleft()
            if self._is_usable(since, connection):
                self._idle.append((since, connection))
            else:
                connection.close()
        if not self._idle:
            self._stop_sweeping()

    def _stop_sweeping(self) -> None:
        if self._sweeper is not None:
            self._sweeper.close()
            self._sweeper = None

    def _is_usable(self, since: float, connection: Any) -> bool:
        return time.monotonic() - since < self._longest_idle and peek(connection) is None
