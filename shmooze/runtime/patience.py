"""Patience: a timeout for waiting on a child that does not count pauses of this process.

A service may be stopped (SIGSTOP, a container's freezer, a debugger) while a child answers. When
it continues, the answer is in the socket, but the timer is due as well, and a plain timeout would
win. So a wait is made of short steps. A step that takes far too long was interrupted by a pause, in
which the child may have been stopped as well, and is not counted. After the last step the event
loop gets a moment to read what has arrived.
"""

from __future__ import annotations

from shmooze.runtime import clock
from shmooze.runtime.clock import Waitable


class Patience:
    """A number of seconds to wait, for one event or several in turn."""

    #: Seconds of one step.
    step = 0.5
    #: Seconds by which a step must be late to count as a pause. A busy loop is late by less.
    pause_threshold = 1.0
    #: Seconds in which the loop reads what has arrived when the time is over.
    grace = 0.05
    #: The same where there was no time at all, in which there can have been no pause.
    short_grace = 0.001

    def __init__(self, seconds: float) -> None:
        #: Seconds that are left.
        self.left = max(0.0, seconds)
        self._grace_left = self.grace if self.left > 0 else self.short_grace
        self._was_late = False

    def wait(self, event: Waitable) -> bool:
        """Wait for `event` until the time is over. Returns whether it has come."""
        while not event.ready() and (self.left > 0 or self._grace_left > 0):
            in_time = self.left > 0
            step = min(self.step, self.left) if in_time else self._grace_left
            begun = clock.now()
            clock.wait(event, step)
            # At least `step` if the event has not come, whatever the clock has rounded.
            took = clock.now() - begun if event.ready() else max(step, clock.now() - begun)
            late = took >= step + self.pause_threshold
            if not late or self._was_late:  # one late step is a pause, two in a row a slow loop
                if in_time:
                    self.left = max(0.0, self.left - took)
                else:
                    self._grace_left = max(0.0, self._grace_left - took)
            self._was_late = late
        return event.ready()
