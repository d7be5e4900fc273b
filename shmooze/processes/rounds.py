"""Rounds: checks that are made again and again, and cost only a small share of the time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import gevent

log = logging.getLogger(__name__)


class Rounds:
    """Makes checks in rounds, as long as there are any. They are made at the same time, so that
    they can share what they look at.
    """

    #: Seconds between two rounds.
    interval = 0.2
    #: The part of a processor core that they may take; if it is more, they come less often.
    share = 0.02
    #: The longest time between two, in seconds.
    longest = 5.0

    def __init__(self) -> None:
        self._checks: dict[object, Callable[[], bool]] = {}
        self._greenlet: gevent.Greenlet | None = None

    def add(self, owner: object, check: Callable[[], bool]) -> None:
        """Make a check in each round until it returns False, or its owner is removed."""
        self._checks[owner] = check
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def remove(self, owner: object) -> None:
        """Make the check of an owner no more."""
        self._checks.pop(owner, None)
        if not self._checks and self._greenlet is not None:
            self._greenlet.kill(block=False)
            self._greenlet = None

    def _run(self) -> None:
        pause = self.interval
        while True:
            gevent.sleep(pause)
            begun = time.thread_time()
            checks = [gevent.spawn(self._make, owner) for owner in self._checks]
            gevent.joinall(checks)
            spent = time.thread_time() - begun
            pause = self.pause_after(spent)

    def pause_after(self, spent: float) -> float:
        """Seconds until the next round, after one that took so many seconds of a core."""
        return min(self.longest, max(self.interval, spent / self.share))

    def _make(self, owner: object) -> None:
        check = self._checks.get(owner)
        try:
            if check is not None and not check():
                self.remove(owner)
        except Exception:  # the others are checked all the same
            log.exception("a check of limits failed")
