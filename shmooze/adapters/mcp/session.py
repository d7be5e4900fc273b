"""One client of a server: its requests, its streams, and what it has subscribed to."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol

import gevent
import msgspec
from msgspec import Raw

from shmooze.adapters.mcp import messages
from shmooze.adapters.mcp.calls import Reply
from shmooze.adapters.mcp.messages import Id, IdKey
from shmooze.adapters.mcp.stream import EventStream
from shmooze.errors import CommandError, ModuleError
from shmooze.runtime import clock

#: Takes reports on the progress of a request.
Report = Callable[[Raw], None]


class Router(Protocol):
    """What passes the requests of all clients on to their server."""

    def pass_on(
        self,
        session: Session,
        method: str,
        params: dict[str, Any] | None,
        on_reply: Callable[[Reply], None],
        report: Report | None,
    ) -> int | None:
        """Pass a request on. Returns its number at the server; None if it has been answered.

        Raises ModuleError, CommandError.
        """

    def cancel(self, number: int, reason: str) -> None:
        """Nobody wants the answer any more."""


class Session:
    """What begins with the `initialize` of a client. `holder` is the name of its token."""

    #: Requests that one client may have under way.
    max_requests = 100
    #: Resources that it may have subscribed to.
    max_subscriptions = 1000
    #: Seconds for which requests go on whose client has lost its stream, and may come back for it.
    grace = 10.0

    def __init__(self, id: str, holder: str | None, version: str, router: Router) -> None:
        self.id, self.holder, self.version = id, holder, version
        self._router = router
        self.last_used = clock.now()
        #: What concerns none of its requests.
        self.general = EventStream("0")
        #: All streams by their names.
        self.streams = {"0": self.general}
        self._names = itertools.count(1)
        #: For each request under way its number at the server, and its stream.
        self._requests: dict[IdKey, tuple[int, EventStream]] = {}
        self.subscriptions: set[str] = set()
        #: The least important entries of the log that it wants; None: it has not said so.
        self.level: str | None = None
        self.is_over = False

    @property
    def is_busy(self) -> bool:
        """Whether it has requests under way, or reads a stream."""
        return bool(self._requests) or any(each.is_read for each in self.streams.values())

    @property
    def latest_stream(self) -> EventStream:
        """The stream of its latest request under way."""
        streams = [stream for _, stream in self._requests.values()]
        return streams[-1] if streams else self.general

    def begin(self, requests: list[dict[str, Any]]) -> EventStream:
        """Pass requests on. Their answers, and what is reported of them before, come on the
        stream that is returned.
        """
        stream = EventStream(str(next(self._names)))
        self.streams[stream.name] = stream
        left = len(requests)

        def finish(message: dict[str, Any]) -> None:
            nonlocal left
            left -= 1
            stream.put(messages.as_line(message), is_answer=True)
            if not left:
                stream.end()

        for each in requests:
            self._begin(each, stream, finish)
        return stream

    def cancel(self, id: Id, reason: str) -> None:
        """End a request of the client, which wants no answer any more."""
        found = self._requests.pop((type(id), id), None)
        if found is not None:
            number, stream = found
            self._router.cancel(number, reason)
            if not any(each is stream for _, each in self._requests.values()):
                stream.end()

    def drop(self, stream: EventStream) -> None:
        """End the requests of a stream that nobody reads any more."""
        for _, id in [key for key, (_, each) in self._requests.items() if each is stream]:
            self.cancel(id, "the client has left")
        self.streams.pop(stream.name, None)

    def leave(self, stream: EventStream) -> None:
        """A client reads no more of a stream. If it has not got everything, it may come back."""
        self.last_used = clock.now()
        if stream is self.general or stream.is_read:
            return
        if stream.has_all or self.is_over or len(self.streams) > self.max_requests:
            self.drop(stream)
        else:
            gevent.spawn_later(self.grace, self._drop_unread, stream)

    def close(self) -> None:
        """End all streams and requests."""
        self.is_over = True
        for stream in [*self.streams.values()]:
            self.drop(stream)
            stream.end()

    def _drop_unread(self, stream: EventStream) -> None:
        if not stream.is_read:
            self.drop(stream)

    def _begin(
        self, request: dict[str, Any], stream: EventStream, finish: Callable[[Any], None]
    ) -> None:
        """Pass a request on. `finish` takes its answer."""
        id, method, params = request["id"], request["method"], request.get("params")
        key = type(id), id
        if problem := self._problem(key, method):
            finish(messages.error(id, messages.INVALID_REQUEST, problem))
            return

        def on_reply(reply: Reply) -> None:
            self._requests.pop(key, None)
            finish(_message_of(id, reply))

        try:
            report = self._report_to(stream, params)
            number = self._router.pass_on(self, method, params, on_reply, report)
        except (CommandError, ModuleError) as refusal:
            finish(messages.error(id, messages.SERVER_ERROR, f"the server {refusal}"))
            return
        if number is not None:
            self._requests[key] = number, stream

    def _problem(self, key: IdKey, method: str) -> str | None:
        if key in self._requests:
            return f"the id {key[1]!r} is already in use by another request"
        if len(self._requests) >= self.max_requests:
            return f"too many requests are under way ({self.max_requests})"
        if method == "initialize":
            return "the session has been initialized"
        return None

    def _report_to(self, stream: EventStream, params: Any) -> Report | None:
        """What takes reports on the progress of a request, if its client wants any."""
        meta = params.get("_meta") if isinstance(params, dict) else None
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        if token is None:
            return None

        def report(raw: Raw) -> None:
            try:
                found = {**msgspec.json.decode(raw), "progressToken": token}
            except messages.UNDECODABLE:
                return  # nested too deep
            stream.put(messages.as_line(messages.notification("notifications/progress", found)))

        return report


def _message_of(id: Id, reply: Reply) -> dict[str, Any]:
    if reply.lost is not None:
        return messages.error(id, messages.SERVER_ERROR, f"the server {reply.lost}")
    if reply.error is not None:
        return {"jsonrpc": "2.0", "id": id, "error": reply.error}
    return messages.result(id, reply.result)
