"""What limits by cgroups of both versions share: names, and what an earlier run left."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from shmooze.processes.cgroup import Cgroup
from shmooze.processes.limiter import FindPids, OnBreach
from shmooze.processes.limits import out_of_memory
from shmooze.processes.spawn_request import Entry

#: Microseconds in which a module gets its share of the processors.
PERIOD = 100_000


class Names:
    """The names of a service's cgroups: its own, which no other service on this machine uses."""

    def __init__(self, service: str) -> None:
        self._prefix = f"shmooze-{service}-"
        self._count = 0

    def next(self) -> str:
        """A name that this life of the service has not used yet."""
        self._count += 1
        return f"{self._prefix}{self._count}"

    def sweep(self, base: Cgroup) -> None:
        """Remove what an earlier life has left below a cgroup, with all that still runs in it."""
        try:
            names = os.listdir(base.path)
        except OSError:
            return
        for name in names:
            if name.startswith(self._prefix):
                left = type(base)(os.path.join(base.path, name))
                left.kill()
                left.remove()


class InCgroups:
    """One module's processes in cgroups of their own. See Confinement.

    `memory` is the one that limits their memory, to `limit` bytes. `peak` is the file that tells
    how much they have used at most; `kills` the one that tells how many were killed.
    """

    def __init__(self, cgroups: Iterable[Cgroup], memory: Cgroup | None, limit: int) -> None:
        self._cgroups = [*cgroups]
        self._memory, self._limit = memory, limit
        self._breach: str | None = None
        self.entry = Entry(cgroups=tuple(each.procs for each in self._cgroups))

    #: The files of this version of cgroups.
    peak = kills = ""

    def begin(self, find_pids: FindPids, on_breach: OnBreach) -> None:
        pass  # the kernel ends it

    def breach(self) -> str | None:
        if self._breach is None and self._was_killed():
            assert self._memory is not None
            used = self._memory.read_number(self.peak) or self._limit
            self._breach = out_of_memory(used, self._limit)
        return self._breach

    def _was_killed(self) -> bool:
        return self._memory is not None and self._memory.read_number(self.kills, "oom_kill") > 0

    def kill(self) -> None:
        for each in self._cgroups:
            each.kill()

    def close(self) -> None:
        self.breach()  # which cannot be known afterwards
        for each in self._cgroups:
            each.remove()


def cpu_quota(cores: float) -> int:
    """Microseconds of each PERIOD for so many processor cores. The kernel wants 1 ms or more."""
    return max(1000, round(cores * PERIOD))


def written(values: dict[str, str | None]) -> Iterator[tuple[str, str]]:
    """The files to write, of those whose values are set."""
    for name, value in values.items():
        if value is not None:
            yield name, value
