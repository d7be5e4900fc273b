"""The door: MCP over streamable HTTP, at the path `mcp` of a module.

POST passes requests on. A quick answer is JSON; one that takes longer, or reports on its progress,
is an event stream. GET is the stream of what concerns no request, or with `Last-Event-ID` goes on
with a stream that has broken off. DELETE ends a session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

from shmooze.access.gate import HOLDER
from shmooze.adapters.mcp import messages
from shmooze.adapters.mcp.answers import (
    EVENTS,
    JSON,
    StartResponse,
    answer_json,
    answer_refusal,
    answer_stream,
)
from shmooze.adapters.mcp.hub import Hub
from shmooze.adapters.mcp.intake import Received, Refused, receive, require_accepted
from shmooze.adapters.mcp.messages import VERSIONS, WITH_FIRST_EVENT
from shmooze.adapters.mcp.session import Session
from shmooze.web.environ import WHILE_IT_WAITS

SESSION, VERSION = "HTTP_MCP_SESSION_ID", "HTTP_MCP_PROTOCOL_VERSION"
#: Of requests of clients. What they are about is ours, or of no use to a server without such
#: requests of its own.
_OURS = {
    *("notifications/initialized", "notifications/cancelled", "notifications/progress"),
    "notifications/roots/list_changed",
}
#: Without it, a page of another site cannot read the id of its session.
_EXPOSED = ("Access-Control-Expose-Headers", "Mcp-Session-Id")
_EVENT_ID = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")


class Door:
    """A WSGI application for the clients of one server, also given the path within the module."""

    #: Seconds after which an answer that has not come becomes an event stream.
    patience = 5.0

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def __call__(
        self, environ: dict[str, Any], start_response: StartResponse, target: str
    ) -> Iterable[bytes]:
        try:
            return self._answer(environ, start_response, target.partition("?")[0])
        except Refused as refusal:
            return answer_refusal(start_response, refusal)

    def _answer(
        self, environ: dict[str, Any], start_response: StartResponse, path: str
    ) -> Iterable[bytes]:
        if path.rstrip("/") != "/mcp":
            raise Refused(404, "not found: the only path here is `mcp`")
        methods = {"POST": self._post, "GET": self._get, "DELETE": self._delete}
        answer = methods.get(environ["REQUEST_METHOD"])
        if answer is None:
            raise Refused(405, "use POST, GET or DELETE", ("Allow", ", ".join(methods)))
        if self._hub.server is None or self._hub.is_paused:
            raise Refused(503, "the server is suspended", ("Retry-After", "5"))
        version = environ.get(VERSION)
        if version is not None and version not in VERSIONS:
            known = ", ".join(VERSIONS)
            raise Refused(400, f"unknown MCP-Protocol-Version {version[:40]!r}; known: {known}")
        return answer(environ, start_response)

    # Methods.

    def _post(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        require_accepted(environ, JSON, EVENTS)
        received = receive(environ)
        if received.initialize is not None:
            return self._initialize(environ, start_response, received.initialize)
        session = self._session(environ)
        if received.is_batch and session.version != messages.WITH_BATCHES:
            raise Refused(400, f"version {session.version} does not support batches")
        for method, params in received.notifications:
            self._take_notification(session, method, params)
        if not received.requests:
            start_response("202 Accepted", [("Content-Length", "0")])
            return []
        return self._pass_on(session, received, environ, start_response)

    def _get(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        require_accepted(environ, EVENTS)
        session = self._session(environ)
        last = environ.get("HTTP_LAST_EVENT_ID")
        if last is None:
            general = session.general
            return answer_stream(start_response, session, general, general.delivered)
        found = _EVENT_ID.fullmatch(last)
        stream = session.streams.get(found[1]) if found else None
        if stream is None or found is None:
            raise Refused(400, "the stream of this Last-Event-ID is not known any more")
        return answer_stream(start_response, session, stream, int(found[2]))

    def _delete(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        self._hub.sessions.end(self._session(environ))
        start_response("204 No Content", [])
        return []

    # Parts of POST.

    def _initialize(
        self, environ: dict[str, Any], start_response: StartResponse, request: dict[str, Any]
    ) -> list[bytes]:
        server = self._hub.server
        assert server is not None and server.introduction is not None
        params = request.get("params") or {}
        wanted = params.get("protocolVersion")
        answer = server.introduction.as_result(wanted if isinstance(wanted, str) else "")
        session = self._hub.sessions.add(environ[HOLDER].name, answer["protocolVersion"])
        if session is None:
            raise Refused(503, "too many sessions are in use", ("Retry-After", "10"))
        body = messages.as_line(messages.result(request["id"], answer))
        return answer_json(start_response, body, ("Mcp-Session-Id", session.id), _EXPOSED)

    def _pass_on(
        self,
        session: Session,
        received: Received,
        environ: dict[str, Any],
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        stream = session.begin(received.requests)
        is_complete = None
        try:
            with environ.get(WHILE_IT_WAITS, nullcontext)():
                is_complete = stream.wait_complete(self.patience)
        finally:
            if is_complete is not False:  # or the client has left
                session.drop(stream)
        if not is_complete:
            begins = session.version >= WITH_FIRST_EVENT
            return answer_stream(start_response, session, stream, 0, begins)
        body = b",".join(stream.messages)
        return answer_json(start_response, b"[%b]" % body if received.is_batch else body)

    def _take_notification(self, session: Session, method: str, params: Any) -> None:
        if method == "notifications/cancelled":
            id = params.get("requestId")
            if isinstance(id, (int, str)):
                session.cancel(id, str(params.get("reason") or "the client wants no answer"))
        elif method not in _OURS:
            self._hub.notify(method, params or None)

    def _session(self, environ: dict[str, Any]) -> Session:
        id = environ.get(SESSION)
        if id is None:
            raise Refused(400, "the header Mcp-Session-Id is missing: begin with `initialize`")
        session = self._hub.sessions.find(id, environ[HOLDER].name)
        if session is None:
            raise Refused(404, "unknown or expired session")
        return session
