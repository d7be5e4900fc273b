"""The audience of a server: which of its clients a notification concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Raw

from shmooze.adapters.mcp import messages
from shmooze.adapters.mcp.server import LOG
from shmooze.adapters.mcp.session import Session
from shmooze.adapters.mcp.sessions import Sessions

UPDATED, LIST_CHANGED = "notifications/resources/updated", "/list_changed"
#: How important an entry of the log is, least important first.
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
#: For clients that have not said what they want, where others have.
_DEFAULT_LEVEL = "info"


class Audience:
    """The clients that have these sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        #: What the server was told to log; None: nobody has said so.
        self.level: str | None = None

    def tell(self, method: str, params: Raw | None, callers: Iterable[object]) -> None:
        """Hand a notification on. `callers` are those of the requests under way; None is nobody."""
        message = messages.as_line(messages.notification(method, params))
        if method == UPDATED:
            uri = _text_in(params, "uri")
            for session in self._sessions:
                if any(uri.startswith(each) for each in session.subscriptions):
                    session.general.put(message)
        elif method.endswith(LIST_CHANGED):
            for session in self._sessions:
                session.general.put_once(message)
        else:
            level = _text_in(params, "level") if method == LOG else ""
            self._tell_one_or_all(message, callers, lambda session: self._wants(session, level))

    def _wants(self, session: Session, level: str) -> bool:
        least = session.level or (LEVELS[0] if self.level is None else _DEFAULT_LEVEL)
        return level not in LEVELS or LEVELS.index(level) >= LEVELS.index(least)

    def _tell_one_or_all(
        self, message: bytes, callers: Iterable[object], wants: Callable[[Session], bool]
    ) -> None:
        """Tell the client for which the server works, or all while it works for none.

        While it works for several, nobody knows whom a message is for, and it may hold what others
        must not see.
        """
        working_for = {caller for caller in callers if caller is not None}
        if not working_for:
            for session in self._sessions:
                if wants(session):
                    session.general.put(message)
        elif len(working_for) == 1:
            (caller,) = working_for
            if isinstance(caller, Session) and wants(caller):
                caller.latest_stream.put(message)


def _text_in(params: Raw | None, key: str) -> str:
    """A text in the params of a notification; empty if there is none."""
    try:
        found = msgspec.json.decode(params or b"{}")
    except messages.UNDECODABLE:
        return ""
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""
