"""Measuring what a process tree uses: CPU time and memory."""

from __future__ import annotations

import sys
from collections.abc import Callable

from shmooze.errors import CommandError
from shmooze.processes.contract import Usage
from shmooze.processes.proc import read_usage, shows_our_processes
from shmooze.runtime.time_slices import TimeSlices


def measure(find_pids: Callable[[], list[int]]) -> Usage:
    """Measure what the processes that `find_pids` returns use together.

    Raises CommandError if /proc does not describe them.
    """
    read = read_usage
    if sys.platform != "linux":
        read = _ask_psutil
    elif not shows_our_processes():
        raise CommandError("usage is not known here: /proc does not show this service")
    slices = TimeSlices()
    cpu, memory, processes = 0.0, 0, 0
    for pid in find_pids():
        slices.yield_if_over()
        if (used := read(pid)) is not None:
            cpu += used[0]
            memory += used[1]
            processes += 1
    return Usage(round(cpu, 2), memory, processes)


def _ask_psutil(pid: int) -> tuple[float, int] | None:
    import psutil  # few services are ever asked, and it takes as long to load as bottle

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times, resident = process.cpu_times(), process.memory_info().rss
    except psutil.Error:
        return None  # the process has ended, or changed its user
    cpu = times.user + times.system
    cpu += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return cpu, resident
