"""The throttle: a client that sends invalid tokens waits longer for each answer."""

from __future__ import annotations

import time
from collections import OrderedDict

from shmooze.runtime.backoff import Backoff


class Throttle:
    """Counts the failed attempts of each client."""

    #: How long each failed attempt of a client waits for its answer.
    backoff = Backoff(first=0.25, longest=8.0)
    #: Seconds after which a client's failures are forgotten.
    memory = 600.0
    #: Clients that are remembered; the one that failed longest ago is forgotten first.
    max_clients = 1000

    def __init__(self) -> None:
        #: Failures in a row and time of the last one, by client. The most recent client is last.
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def fail(self, client: str) -> float:
        """Count one more failure. Returns the seconds by which to delay the answer."""
        now = time.monotonic()
        count, last = self._failures.pop(client, (0, now))
        count = 1 if now - last > self.memory else count + 1
        self._failures[client] = count, now
        if len(self._failures) > self.max_clients:
            self._failures.popitem(last=False)
        return self.backoff.delay(count)
