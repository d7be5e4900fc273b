"""Limits where no cgroup is ours to use: by watching, niceness, and a resource limit.

Each round looks at the processes of the modules that have limits. Their resident memory is added
up. If that is above the limit, memory that they share is divided among them, which takes longer to
find out. A program that grows faster than it is looked at is stopped by the resource limit: the
kernel gives it no more.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterable

from shmooze.processes.limiter import FindPids, OnBreach
from shmooze.processes.limits import MIB, Limits, out_of_memory
from shmooze.processes.proc import shows_our_processes
from shmooze.processes.rounds import Rounds
from shmooze.processes.spawn_request import Entry

_PAGE = resource.getpagesize()


class Watched:
    """One module's processes, which are watched. See Confinement."""

    def __init__(self, limits: Limits, rounds: Rounds, entry: Entry) -> None:
        self._limits, self._rounds, self.entry = limits, rounds, entry
        self._breach: str | None = None

    def begin(self, find_pids: FindPids, on_breach: OnBreach) -> None:
        if self._limits.memory is not None or self._limits.pids is not None:
            self._rounds.add(self, lambda: self._look(find_pids, on_breach))

    def _look(self, find_pids: FindPids, on_breach: OnBreach) -> bool:
        """Look at them. Returns False once a limit is broken."""
        pids = find_pids()
        self._breach = self._too_many(len(pids)) or self._too_large(pids)
        if self._breach is not None:
            on_breach(self._breach)
        return self._breach is None

    def _too_many(self, processes: int) -> str | None:
        limit = self._limits.pids
        if limit is None or processes <= limit:
            return None
        return f"had too many processes: {processes} of {limit}"

    def _too_large(self, pids: Iterable[int]) -> str | None:
        limit = self._limits.memory
        if limit is None or _sum(resident, pids) <= limit:
            return None
        used = _sum(proportional, pids)
        return out_of_memory(used, limit) if used > limit else None

    def breach(self) -> str | None:
        return self._breach

    def kill(self) -> None:
        pass  # whoever ends it finds what there is

    def close(self) -> None:
        self._rounds.remove(self)


class Watching:
    """Enforces limits by watching. See Means."""

    name = "watching"
    #: Memory that one process may have beyond the limit before it is looked at: as much again, and
    #: at least so many bytes.
    least_spare = 512 * MIB

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        can_watch = sys.platform == "linux" and shows_our_processes()
        self.enforces = frozenset(("memory_mb", "pids") if can_watch else ())

    def confine(self, limits: Limits) -> Watched:
        """See Means."""
        most = limits.memory
        spare = None if most is None else max(most, self.least_spare)
        entry = Entry(max_data=None if most is None or spare is None else most + spare)
        return Watched(limits, self._rounds, entry)

    def sweep(self) -> None:
        """See Means."""


class Nice:
    """Lets processes have a lower priority. See Means."""

    name = "niceness"
    enforces = frozenset(("nice",))

    def confine(self, limits: Limits) -> Watched:
        """See Means."""
        return Watched(Limits(), Rounds(), Entry(nice=limits.nice or 0))

    def sweep(self) -> None:
        """See Means."""


def _sum(measure: Callable[[int], int], pids: Iterable[int]) -> int:
    total = 0
    for pid in pids:
        try:
            total += measure(pid)
        except (OSError, IndexError, KeyError, ValueError):
            continue  # it has ended meanwhile
    return total


def resident(pid: int) -> int:
    """The bytes of memory of a process, those included that it shares. Raises OSError."""
    fd = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(fd, 200).split()[1]) * _PAGE
    finally:
        os.close(fd)


def proportional(pid: int) -> int:
    """The same, with its part of what it shares, and what is swapped out. Raises OSError."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            fields = (line.split() for line in file)
            sizes = {words[0]: int(words[1]) for words in fields if words[-1] == b"kB"}
    except PermissionError:  # a program with other rights than ours
        return resident(pid)
    return (sizes[b"Pss:"] + sizes.get(b"SwapPss:", 0)) << 10
