"""Noticing that a client hangs up while a request of it is being answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent

from shmooze.web.sockets import has_peer_closed, peek

#: Seconds between two looks at a client that has sent more, behind which its end cannot be seen.
LOOK_INTERVAL = 0.5


@contextmanager
def ended_when_gone(connection: Any) -> Iterator[None]:
    """End this greenlet as soon as the client of a connection has left."""
    me, has_left = gevent.getcurrent(), False
    loop = gevent.get_hub().loop
    watcher = loop.io(connection.fileno(), 1)
    timer: Any = None

    def leave() -> None:
        nonlocal has_left
        has_left = True
        me.kill(block=False)

    def look() -> None:
        nonlocal timer
        watcher.stop()
        if peek(connection) == b"":
            leave()
            return
        # A body, or the next request. Whoever wants it reads it.
        timer = timer or loop.timer(LOOK_INTERVAL, LOOK_INTERVAL)
        timer.start(look_again)

    def look_again() -> None:
        if peek(connection) is None:  # that has been read
            timer.stop()
            watcher.start(look)
        elif has_peer_closed(connection):
            timer.stop()
            leave()

    watcher.start(look)
    try:
        yield
        if has_left:  # and the kill is still to come
            raise gevent.GreenletExit
    finally:
        for each in filter(None, (watcher, timer)):
            each.stop()
            each.close()
