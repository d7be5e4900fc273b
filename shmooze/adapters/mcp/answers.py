"""The answers of the door: JSON, a stream of events, or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from shmooze.adapters.mcp import messages
from shmooze.adapters.mcp.intake import Refused
from shmooze.adapters.mcp.session import Session
from shmooze.adapters.mcp.stream import EventStream

JSON, EVENTS = "application/json", "text/event-stream"
#: The last one is for nginx, which would collect events before it sends them on.
_EVENT_HEADERS = [
    ("Content-Type", EVENTS),
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),
]

StartResponse = Callable[..., Any]


class _Streaming:
    """An event stream as the body of an answer."""

    def __init__(self, session: Session, stream: EventStream, events: Iterator[bytes]) -> None:
        self._session, self._stream, self._events = session, stream, events

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        close = getattr(self._events, "close", None)
        if close is not None:
            close()
        self._session.leave(self._stream)


def answer_stream(
    start_response: StartResponse,
    session: Session,
    stream: EventStream,
    after: int,
    begins: bool = False,
) -> _Streaming:
    """The events of a stream after the one with this number; see EventStream.read."""
    start_response("200 OK", [*_EVENT_HEADERS])
    return _Streaming(session, stream, stream.read(after, begins))


def answer_json(start_response: StartResponse, body: bytes, *more: tuple[str, str]) -> list[bytes]:
    """JSON, which is encoded already."""
    headers = [("Content-Type", JSON), ("Content-Length", str(len(body))), *more]
    start_response("200 OK", headers)
    return [body]


def answer_refusal(start_response: StartResponse, refusal: Refused) -> list[bytes]:
    """A refusal of the whole request."""
    body = messages.as_line(messages.error(None, refusal.code, str(refusal)))
    headers = [("Content-Type", JSON), ("Content-Length", str(len(body))), *refusal.headers]
    start_response(refusal.status_line, headers)
    return [body]
