"""What modules use: CPU time and memory of all their processes, measured together.

Nothing is measured before somebody asks. Those who ask within a second get the same answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.lock import Semaphore

from shmooze.errors import CommandError
from shmooze.modules.module import Module


class UsageSampler:
    """Measures the modules that `living` returns."""

    #: Seconds for which an answer holds.
    interval = 1.0

    def __init__(self, living: Callable[[], Iterable[Module]]) -> None:
        self._living = living
        self._begun = float("-inf")
        self._last: dict[str, Any] = {}
        self._measuring = Semaphore()

    def read(self) -> dict[str, Any]:
        """{"at": seconds of a clock, "modules": {uid: {"cpu", "memory", "processes", "host"?}}}

        `cpu` is the seconds that the processes have used since they were started, those that have
        ended included as far as their parents have waited for them; `memory` is in bytes, what
        processes share counted for each. Raises CommandError where this cannot be known.
        """
        asked = time.monotonic()
        with self._measuring:
            # Whoever has waited for a measurement that began after he asked, takes that.
            if asked - self._begun >= self.interval:
                self._begun = time.monotonic()
                self._last = self._measure()
        return self._last

    def _measure(self) -> dict[str, Any]:
        # At the same time, so that launchers can look at their machine once for all.
        jobs = {module.uid: gevent.spawn(_usage_of, module) for module in self._living()}
        gevent.joinall(list(jobs.values()))
        measured = {uid: job.get() for uid, job in jobs.items()}
        for result in measured.values():
            if isinstance(result, CommandError):
                raise result
        return {"at": time.monotonic(), "modules": measured}


def _usage_of(module: Module) -> dict[str, Any] | CommandError:
    """As a value, since what is raised in a greenlet is printed."""
    try:
        used = module.usage()._asdict()
        return used if module.host is None else {**used, "host": module.host}
    except CommandError as unknown:
        return unknown
