"""The sessions of one server: found by their ids, limited in number, and ended when unused."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator

from shmooze.adapters.mcp.session import Router, Session
from shmooze.runtime import clock


class Sessions:
    """All of one server. `on_end` is told of each that ends."""

    #: Sessions at the same time. For a new one, an unused one is ended.
    max_sessions = 1000
    #: Seconds without a request after which a session is over.
    lifetime = 1800.0

    def __init__(self, router: Router, on_end: Callable[[Session], None]) -> None:
        self._router, self._on_end = router, on_end
        self._sessions: dict[str, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter([*self._sessions.values()])

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, holder: str | None, version: str) -> Session | None:
        """A new session; None if there are too many, all of which are in use."""
        self._end_unused()
        if len(self._sessions) >= self.max_sessions and not self._make_room():
            return None
        id = secrets.token_urlsafe(24)
        session = self._sessions[id] = Session(id, holder, version, self._router)
        return session

    def find(self, id: str, holder: str | None) -> Session | None:
        """The session of this id, if it is this holder's."""
        session = self._sessions.get(id)
        if session is None or session.holder != holder:
            return None
        if self._is_unused(session):
            self.end(session)
            return None
        session.last_used = clock.now()
        return session

    def end(self, session: Session) -> None:
        """End a session. May be called twice."""
        if self._sessions.pop(session.id, None) is not None:
            session.close()
            self._on_end(session)

    def _is_unused(self, session: Session) -> bool:
        return not session.is_busy and session.last_used < clock.now() - self.lifetime

    def _end_unused(self) -> None:
        for session in self:
            if self._is_unused(session):
                self.end(session)

    def _make_room(self) -> bool:
        """End the session unused for longest, of whoever has most of them."""
        unused = [session for session in self if not session.is_busy]
        if not unused:
            return False
        counts = Counter(session.holder for session in unused)
        (holder, _), *_ = counts.most_common(1)
        theirs = [session for session in unused if session.holder == holder]
        self.end(min(theirs, key=lambda session: session.last_used))
        return True
