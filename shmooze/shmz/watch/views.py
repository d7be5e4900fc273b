"""Views of a watched service: lines of text, and lines of JSON."""

from __future__ import annotations

import time

from shmooze.shmz.json_text import from_json
from shmooze.shmz.output import print_error, show, show_json
from shmooze.shmz.watch.changes import describe_changes, describe_loss
from shmooze.shmz.watch.events import Event
from shmooze.shmz.watch.live import Live


class View:
    """Shows the state to a person or a program."""

    def __init__(self, url: str) -> None:
        self.live = Live(url)

    @property
    def refresh_delay(self) -> float:
        """Seconds until `refresh` should be called even if there is no event."""
        return 1.0

    def take(self, event: Event, live: Live) -> bool:
        """Process an event. Returns False if nobody reads the output any more."""
        raise NotImplementedError

    def refresh(self) -> bool:
        """Update the display if it is due. Returns False if nobody reads it any more."""
        return True

    def close(self) -> None:
        """Restore the terminal."""


class Lines(View):
    """Prints each change as a line."""

    def take(self, event: Event, live: Live) -> bool:
        before, self.live = self.live, live
        now = time.strftime("%H:%M:%S")
        lines = [f"{now} {line}" for line in describe_changes(before, live)]
        return not lines or show("\n".join(lines))


class JSONLines(View):
    """Prints each event as JSON, and connection problems on standard error."""

    def take(self, event: Event, live: Live) -> bool:
        before, self.live = self.live, live
        if live.lost and live.lost != before.lost:
            print_error(describe_loss(live))
        if event.kind not in ("snapshot", "change"):
            return True
        return show_json({"event": event.kind, "id": event.id, "data": from_json(event.data)})
