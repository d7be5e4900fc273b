"""Following a service: events and states, over connections that are made again when lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.service import Service
from shmooze.shmz.watch.events import Event, stream_events
from shmooze.shmz.watch.live import Live, apply_event


def follow(service: Service, url: str) -> Iterator[tuple[Event, Live]]:
    """Yield each event with the state after it; Event() if only the connection has changed.

    Reconnects whenever the connection is lost. Raises Stop if the first attempt fails, or if the
    server refuses.
    """
    first_delay, max_delay = 0.5, 10.0  # seconds between attempts
    live, last_id, connected_once, delay = Live(url), None, False, first_delay
    while True:
        reason = "closed by the server"
        try:
            for event in stream_events(service, last_id):
                if event.kind in ("snapshot", "change"):
                    last_id = None  # if it is invalid: start over
                    live, last_id = apply_event(live, event), event.id
                if live.lost is not None:
                    live = replace(live, lost=None)
                connected_once, delay = True, first_delay
                yield event, live
        except ValueError as error:
            reason = str(error)
            if not connected_once:
                raise Stop(Status.NO_ANSWER, f"{url}: {reason}") from error
        except Stop as stop:
            if stop.status == Status.REFUSED:
                raise Stop(stop.status, f"no events from {service.url}: {stop}") from stop
            if stop.status != Status.NO_ANSWER or not connected_once:
                raise
            cause = stop.__cause__
            reason = str(getattr(cause, "strerror", None) or cause or stop)
            if isinstance(cause, TimeoutError):
                reason = f"no data for {service.timeout:g} s"
        if not connected_once:
            raise Stop(Status.NO_ANSWER, f"no answer from {service.url}: {reason}")
        live = replace(live, lost=reason)
        yield Event(), live
        time.sleep(delay)
        delay = min(2 * delay, max_delay)
