"""Starting and stopping one program again and again, measured by a client. Standard library only,
as clients of others run this in environments of their own.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: The program; nothing else on the machine has these arguments.
PROGRAM = ["sleep", "98765.4321"]
_CMDLINE = "\0".join(PROGRAM).encode() + b"\0"


def medians(start: Callable[[], Any], stop: Callable[[], Any], count: int) -> list[float]:
    """The median milliseconds until `start` is answered, and until `stop` is answered and the
    program has ended.
    """
    starts, stops = [], []
    for _ in range(count):
        begin = time.perf_counter()
        start()
        starts.append(_ms(begin))
        program = os.pidfd_open(_find())
        begin = time.perf_counter()
        stop()
        assert select.select([program], [], [], 10)[0], "it has not ended"
        stops.append(_ms(begin))
        os.close(program)
    return [statistics.median(starts), statistics.median(stops)]


def serve(start: Callable[[], Any], stop: Callable[[], Any]) -> None:
    """Print the medians for each line `COUNT` of standard input."""
    for line in sys.stdin:
        print(json.dumps(medians(start, stop, int(line))), flush=True)


def _ms(begin: float) -> float:
    return (time.perf_counter() - begin) * 1000


def _find() -> int:
    """The pid of the program. It may not have been executed yet when the start is answered."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for entry in sorted(Path("/proc").iterdir(), key=lambda entry: entry.name):
            try:
                if entry.name.isdecimal() and (entry / "cmdline").read_bytes().endswith(_CMDLINE):
                    return int(entry.name)
            except OSError:
                pass  # it has just ended
    raise AssertionError("the program does not run")
