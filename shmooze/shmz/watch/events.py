"""The events of a service, read from its stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shmooze.shmz.service import Service


class Event(NamedTuple):
    """One server-sent event. Without a kind it is only a sign of life."""

    kind: str = ""
    id: str | None = None
    data: str = ""


def read_events(lines: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of a `text/event-stream`, and Event() for each comment.

    An event without its final blank line is incomplete and ignored.
    """
    kind, data, last_id = "message", [], None
    for line in lines:
        name, _, value = line.decode(errors="replace").rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "id":
            last_id = value
        elif name == "data":
            data.append(value)
        elif not name and line.startswith(b":"):
            yield Event()
        elif not name:
            if text := "\n".join(data):
                yield Event(kind, last_id, text)
            kind, data = "message", []


def stream_events(service: Service, last_id: str | None) -> Iterator[Event]:
    """Yield events from now on, or since the event with this id, as `read_events` does.

    Ends when the server ends the stream. Raises Stop if there is no stream, or if it breaks.
    """
    headers = {"Accept": "text/event-stream"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    with service.request("GET", None, headers) as response:
        if response.status != 200:
            service.parse(response.status, response.read())
        if response.status != 200 or response.headers.get_content_type() != headers["Accept"]:
            raise service.unexpected(response.status, "a stream of events")
        yield from read_events(response)
