"""TimeSlices: how work that does not end leaves the loop to others now and then."""

from __future__ import annotations

import time

import gevent


class TimeSlices:
    """Keeps a greenlet that always has something to do from starving all others."""

    #: Seconds that it may work before it lets all others have their turn.
    turn = 0.0005
    #: Seconds that it waits for its next turn at the most, however busy the others are.
    longest_wait = 0.1

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin a turn anew: it has waited for something until now."""
        self._ends = time.monotonic() + self.turn

    def yield_if_over(self) -> None:
        """Wait until nobody else has something to do, if this turn is over."""
        if time.monotonic() > self._ends:
            with gevent.Timeout(self.longest_wait, False):
                gevent.idle()
            self.begin()
