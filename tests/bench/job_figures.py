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


def rate(add: Add, wait: Wait, kind: str, count: int) -> float:
    """Jobs a second, from adding the first one until the last result has arrived."""
    begin = time.perf_counter()
    for job in [add(kind) for _ in range(count)]:
        wait(job)
    return count / (time.perf_counter() - begin)


def p50(add: Add, wait: Wait, kind: str, count: int) -> float:
    """The median milliseconds from adding a job until its result has arrived, one at a time."""
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        wait(add(kind))
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times)


def serve(add: Add, wait: Wait) -> None:
    """Print a figure for each line `FIGURE KIND COUNT` of standard input."""
    for line in sys.stdin:
        figure, kind, count = line.split()
        measure = {"rate": rate, "p50": p50}[figure]
        print(json.dumps(measure(add, wait, kind, int(count))), flush=True)
