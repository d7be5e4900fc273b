"""Figures of a job queue, measured by a client. Standard library only, as clients of others run
this in environments of their own.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

#: Adds a job of a kind, `process` or `nothing`, and returns what its result is asked with.
Add = Callable[[str], Any]
#: Waits until such a job is done.
Wait = Callable[[Any], Any]
#: The same for many jobs, in the best way that there is.
AddMany = Callable[[str, int], "list[Any]"]
WaitMany = Callable[["list[Any]"], Any]


class Figures:
    """A figure of jobs of a kind: `rate` or `p50`, with the number of jobs."""

    def __init__(
        self,
        add: Add,
        wait: Wait,
        add_many: AddMany | None = None,
        wait_many: WaitMany | None = None,
    ) -> None:
        self._add, self._wait = add, wait
        self._add_many = add_many or (lambda kind, count: [add(kind) for _ in range(count)])
        self._wait_many = wait_many or (lambda jobs: [wait(job) for job in jobs])

    def __call__(self, figure: str, kind: str, count: int) -> float:
        return {"rate": self.rate, "p50": self.p50}[figure](kind, count)

    def rate(self, kind: str, count: int) -> float:
        """Jobs a second, from adding the first one until the last result has arrived."""
        begin = time.perf_counter()
        self._wait_many(self._add_many(kind, count))
        return count / (time.perf_counter() - begin)

    def p50(self, kind: str, count: int) -> float:
        """The median milliseconds from adding a job until its result has arrived, one at a time."""
        times = []
        for _ in range(count):
            begin = time.perf_counter()
            self._wait(self._add(kind))
            times.append((time.perf_counter() - begin) * 1000)
        return statistics.median(times)


def serve(figures: Figures) -> None:
    """Print a figure for each line `FIGURE KIND COUNT` of standard input."""
    for line in sys.stdin:
        figure, kind, count = line.split()
        print(json.dumps(figures(figure, kind, int(count))), flush=True)
