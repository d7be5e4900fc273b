"""TimeSlices: makes a greenlet that always has work yield to the others regularly."""

from __future__ import annotations

import time

import gevent


class TimeSlices:
    """The time slices of one greenlet that would otherwise keep the event loop to itself."""

    #: Seconds of work in one slice.
    length = 0.0005
    #: Seconds until the next slice at most, however busy the others are.
    max_wait = 0.1

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin a new slice, after waiting for something else."""
        self._ends = time.monotonic() + self.length

    def yield_if_over(self) -> None:
        """If this slice is over, wait until no other greenlet has anything to do."""
        if time.monotonic() > self._ends:
            with gevent.Timeout(self.max_wait, False):
                gevent.idle()
            self.begin()
