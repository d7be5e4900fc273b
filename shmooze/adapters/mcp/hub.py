"""The hub: passes the requests of many clients on to one server, and its notifications to them.

Three requests are about a client alone, and the server has only one: us. So we keep for each client
which resources it has subscribed to, and how much of the log it wants; and `initialize` is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from shmooze.adapters.mcp.audience import LEVELS, Audience
from shmooze.adapters.mcp.calls import Reply
from shmooze.adapters.mcp.connection import Connection
from shmooze.adapters.mcp.server import McpServer
from shmooze.adapters.mcp.session import Report, Session
from shmooze.adapters.mcp.sessions import Sessions
from shmooze.errors import CommandError, ModuleError
from shmooze.modules.channel.stream import StreamEnded

SUBSCRIBE, UNSUBSCRIBE = "resources/subscribe", "resources/unsubscribe"
SET_LEVEL = "logging/setLevel"

_DONE = Reply(result=Raw(b"{}"))


class Hub:
    """The clients of one server."""

    def __init__(self) -> None:
        self.server: McpServer | None = None
        #: Whether the server is stopped for a while.
        self.is_paused = False
        self.sessions = Sessions(self, self._release)
        #: Hears what the server says of itself.
        self._audience = Audience(self.sessions)

    def open(self, server: McpServer) -> None:
        """From now on clients can reach this server."""
        self.server, self.is_paused, self._audience.level = server, False, None

    def pause(self) -> None:
        """The server is stopped; requests are refused until `resume`."""
        self.is_paused = True

    def resume(self) -> None:
        """The server runs again."""
        self.is_paused = False

    def close(self) -> None:
        """End all sessions. May be called twice."""
        for session in self.sessions:
            self.sessions.end(session)
        self.server = None

    # Requests of clients.

    def pass_on(
        self,
        session: Session,
        method: str,
        params: dict[str, Any] | None,
        on_reply: Callable[[Reply], None],
        report: Report | None,
    ) -> int | None:
        """See Router."""
        connection, given = self._connection(), params or {}
        if method.startswith("tasks/"):
            raise CommandError("does not support tasks through the gateway")
        if method == SET_LEVEL and given.get("level") in LEVELS:
            return self._set_level(connection, session, given["level"], on_reply)
        if method in (SUBSCRIBE, UNSUBSCRIBE) and isinstance(given.get("uri"), str):
            return self._subscribe(connection, session, method, given, on_reply)
        if "task" in given:
            params = {name: each for name, each in given.items() if name != "task"}
        return connection.begin(method, params, on_reply, session, report)

    def notify(self, method: str, params: Any) -> None:
        """Pass a notification of a client on."""
        if self.server is not None:
            self.server.connection.notify(method, params)

    def cancel(self, number: int, reason: str) -> None:
        """See Router."""
        if self.server is not None:
            self.server.connection.cancel(number, reason)

    def take_notification(self, method: str, params: Raw | None) -> None:
        """Hand a notification of the server on to the clients that it concerns."""
        calls = self.server.connection.calls if self.server is not None else {}
        self._audience.tell(method, params, [call.caller for call in calls.values()])

    def _connection(self) -> Connection:
        if self.server is None:
            raise StreamEnded("is not running")
        return self.server.connection

    def _set_level(
        self,
        connection: Connection,
        session: Session,
        level: str,
        on_reply: Callable[[Reply], None],
    ) -> int | None:
        others = [each.level for each in self.sessions if each is not session and each.level]
        lowest = min([level, *others], key=LEVELS.index)

        def note(reply: Reply) -> None:
            if reply.result is not None:
                session.level, self._audience.level = level, lowest
            on_reply(reply)

        if lowest == self._audience.level:
            note(_DONE)
            return None
        return connection.begin(SET_LEVEL, {"level": lowest}, note, session)

    def _subscribe(
        self,
        connection: Connection,
        session: Session,
        method: str,
        params: dict[str, Any],
        on_reply: Callable[[Reply], None],
    ) -> int | None:
        uri = params["uri"]
        if method == UNSUBSCRIBE:
            session.subscriptions.discard(uri)
            if self._is_wanted(uri):
                on_reply(_DONE)
                return None
            return connection.begin(method, params, on_reply, session)
        if len(session.subscriptions - {uri}) >= session.max_subscriptions:
            limit = f"({session.max_subscriptions} per client)"
            raise CommandError(f"has reached the subscription limit {limit}")

        def note(reply: Reply) -> None:
            if reply.result is not None:
                session.subscriptions.add(uri)
                if session.is_over:
                    self._release(session)
            on_reply(reply)

        return connection.begin(method, params, note, session)

    def _is_wanted(self, uri: str) -> bool:
        return any(uri in session.subscriptions for session in self.sessions)

    def _release(self, session: Session) -> None:
        """End the subscriptions of a session that has ended."""
        released, session.subscriptions = session.subscriptions, set()
        for uri in released:
            if not self._is_wanted(uri):
                try:
                    self._connection().begin(UNSUBSCRIBE, {"uri": uri}, lambda reply: None)
                except (CommandError, ModuleError):
                    return  # it gets to know of updates that nobody wants
