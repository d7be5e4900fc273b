"""The open connections of a server, and which of them may be closed to make room for a new one.

A connection is *evictable* while it waits for its client: for a request, for an answer to be
taken, for the end of a delay that the client has earned by a wrong token, or for events. So
clients that do nothing cannot use a server up.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import gevent


class Wait(Enum):
    """What an evictable connection waits for."""

    REQUEST = auto()
    SENDING = auto()
    THROTTLE = auto()
    STREAM = auto()


class Connections:
    """The open connections, each with its greenlet; as keys, they may be any objects."""

    def __init__(self) -> None:
        self._greenlets: dict[object, Any] = {}
        #: Those that are evictable, with their greenlets; the one that has waited longest first.
        self._evictable: dict[object, tuple[Wait, Any]] = {}

    def __len__(self) -> int:
        return len(self._greenlets)

    def add(self, connection: object) -> None:
        """Add a connection, which the current greenlet handles."""
        self._greenlets[connection] = gevent.getcurrent()

    def remove(self, connection: object) -> None:
        del self._greenlets[connection]

    @property
    def greenlets(self) -> list[Any]:
        return list(self._greenlets.values())

    def evictable(self, connection: object, wait: Wait, part: object | None = None) -> Evictable:
        """A context in which the connection's greenlet may be ended by GreenletExit.

        Another greenlet that works for the connection has contexts of its own: its `part`.
        """
        entry = (wait, self._greenlets[connection])
        return Evictable(self._evictable, part or connection, entry)

    def evict_one(self) -> bool:
        """Close the connection that has waited longest; whether there was one."""
        for key in self._evictable:
            self._evict(key)
            return True
        return False

    def evict_idle(self) -> None:
        """Close all that are evictable, except those with an answer on its way."""
        for key, (wait, _) in list(self._evictable.items()):
            if wait is not Wait.SENDING:
                self._evict(key)

    def _evict(self, key: object) -> None:
        _, greenlet = self._evictable.pop(key)
        greenlet.kill(block=False)


class Evictable:
    """The context that `Connections.evictable` returns. Contexts may be nested."""

    __slots__ = ("_before", "_entry", "_key", "_line")

    def __init__(
        self, line: dict[object, tuple[Wait, Any]], key: object, entry: tuple[Wait, Any]
    ) -> None:
        self._line, self._key, self._entry = line, key, entry

    def __enter__(self) -> None:
        self._before = self._line.pop(self._key, None)
        self._line[self._key] = self._entry

    def __exit__(self, kind: object, *_: object) -> None:
        entry = self._line.pop(self._key, None)
        if self._before is not None:
            self._line[self._key] = self._before  # at its end again
        if entry is None and kind is None:
            # It was evicted at the moment when its client moved, and the kill is still to come.
            # That must not hit it later, in the middle of what the application does.
            raise gevent.GreenletExit
