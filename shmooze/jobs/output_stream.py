"""The output of an item as server-sent events, as it comes, until the item has ended.

    id: 5a6b7c8d-12
    event: lines
    data: {"lines": ["…", …], "missed": 0}

    id: 5a6b7c8d-12-end
    event: end
    data: {"state": "done", …}

A browser comes back after the end, since it takes any end of a stream for an accident. The answer
is 204 then, which tells it not to.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import bottle
import msgspec

from shmooze.broker.events import HEARTBEAT
from shmooze.errors import CommandError
from shmooze.runtime import clock
from shmooze.web.answers import Refused

_encode = msgspec.json.encode


class OutputStream:
    """Serves streams. `follow` is that of Jobs."""

    #: Seconds after which a watcher hears something, be it nothing.
    heartbeat = 15.0
    #: Seconds between two events at the least.
    interval = 1 / 30

    def __init__(self, follow: Callable[[str, int, float], dict[str, Any]]) -> None:
        self._follow = follow
        #: Tells this life of the service from others: numbers of lines mean nothing here.
        self._instance = secrets.token_hex(4)

    def serve(self, uid: str) -> Iterator[bytes] | bottle.HTTPResponse:
        """Answer a request for the output of an item."""
        last_id = bottle.request.get_header("Last-Event-ID", "")
        if last_id.endswith("-end"):
            return bottle.HTTPResponse(status=204)
        try:
            first = self._follow(uid, self._line_after(last_id), 0.0)
        except CommandError as unknown:
            raise Refused(404, str(unknown)) from None
        bottle.response.content_type = "text/event-stream"
        bottle.response.set_header("Cache-Control", "no-store")
        return self.events(uid, first)

    def events(self, uid: str, news: dict[str, Any]) -> Iterator[bytes]:
        """Events as they go over the wire: this answer of `follow`, and what comes after it."""
        yield HEARTBEAT
        while True:
            id = f"{self._instance}-{news['next']}"
            if news["lines"] or news["missed"]:
                lines = {"lines": news["lines"], "missed": news["missed"]}
                yield _event("lines", lines, id)
                clock.sleep(self.interval)
            elif news["end"] is None:
                yield HEARTBEAT
            if news["end"] is not None:
                yield _event("end", news["end"], f"{id}-end")
                return
            try:
                news = self._follow(uid, news["next"], self.heartbeat)
            except CommandError:  # it was forgotten: the next request is told so
                return

    def _line_after(self, last_id: str) -> int:
        """The number of the line after the event with this id; 0 if that was another life's."""
        instance, _, number = last_id.partition("-")
        is_ours = instance == self._instance and re.fullmatch("[0-9]{1,18}", number)
        return int(number) if is_ours else 0


def _event(kind: str, data: dict[str, Any], id: str) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id.encode(), kind.encode(), _encode(data))
