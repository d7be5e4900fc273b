"""What modules use of the machine: CPU time and memory of all their processes.

Nothing is measured before somebody asks. Those who ask within a second get the same answer, and
measuring takes turns with everything else.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.lock import Semaphore

from shmooze.errors import CommandError
from shmooze.modules.module import Module
from shmooze.processes.tree import shows_our_processes
from shmooze.runtime.time_slices import Turns


class Gauge:
    """Measures the modules that `living` gives."""

    #: Seconds for which an answer holds.
    interval = 1.0

    def __init__(self, living: Callable[[], Iterable[Module]]) -> None:
        self._living = living
        self._begun = float("-inf")
        self._last: dict[str, Any] = {}
        self._measuring = Semaphore()

    def read(self) -> dict[str, Any]:
        """{"at": seconds of a clock, "modules": {uid: {"cpu", "memory", "processes"}}}

        `cpu` is the seconds that the processes have used since they were started, those that have
        ended included as far as their parents have waited for them; `memory` is in bytes, what
        processes share counted for each.
        """
        if sys.platform == "linux" and not shows_our_processes():
            raise CommandError("usage is not known here: /proc does not show this service")
        asked = time.monotonic()
        with self._measuring:
            # Who has waited for a measurement that began after he asked, takes that.
            if asked - self._begun >= self.interval:
                self._begun = time.monotonic()
                self._last = self._measure()
        return self._last

    def _measure(self) -> dict[str, Any]:
        jobs = {module.uid: gevent.spawn(module.processes) for module in self._living()}
        gevent.joinall(list(jobs.values()))  # they look at the machine together
        at, turns = time.monotonic(), Turns()
        return {"at": at, "modules": {uid: _sum(job.get(), turns) for uid, job in jobs.items()}}


def _sum(pids: list[int], turns: Turns) -> dict[str, Any]:
    import psutil  # few services are ever asked, and it takes as long to load as bottle

    cpu, memory, processes = 0.0, 0, 0
    for pid in pids:
        turns.end_if_over()
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times, occupied = process.cpu_times(), process.memory_info().rss
        except psutil.Error:
            continue  # it has ended, or became another user's
        cpu += times.user + times.system
        cpu += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        memory += occupied
        processes += 1
    return {"cpu": round(cpu, 2), "memory": memory, "processes": processes}
