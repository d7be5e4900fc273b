"""Limits by cgroups of version 1, in which each controller has a hierarchy of its own.

The kernel kills single processes here, not the module. So whether one was killed is watched, as
`watching` does it for limits that nobody else enforces.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

from shmooze.processes.cgroup import Cgroup
from shmooze.processes.cgroup_means import PERIOD, InCgroups, Names, cpu_quota, written
from shmooze.processes.limiter import FindPids, OnBreach
from shmooze.processes.limits import Limits
from shmooze.processes.rounds import Rounds

#: Which controller enforces what.
CONTROLLERS = {"memory": "memory_mb", "cpu": "cpu", "pids": "pids"}


class _InCgroups1(InCgroups):
    peak, kills = "memory.max_usage_in_bytes", "memory.oom_control"

    def __init__(self, cgroups: Mapping[str, Cgroup], limits: Limits, rounds: Rounds) -> None:
        super().__init__(cgroups.values(), cgroups.get("memory"), limits.memory or 0)
        self._rounds = rounds

    def begin(self, find_pids: FindPids, on_breach: OnBreach) -> None:
        if self._memory is None:
            return

        def look() -> bool:
            if (words := self.breach()) is not None:
                on_breach(words)
            return words is None

        self._rounds.add(self, look)

    def close(self) -> None:
        self._rounds.remove(self)
        super().close()


class Cgroup1:
    """Enforces limits in cgroups below `bases`, one for each controller. See Means."""

    name = "cgroup v1"

    def __init__(self, bases: Mapping[str, Cgroup], names: Names, rounds: Rounds) -> None:
        self._bases = {key: base for key, base in bases.items() if key in CONTROLLERS}
        self._names, self._rounds = names, rounds
        self.enforces = frozenset(CONTROLLERS[each] for each in self._bases)

    def confine(self, limits: Limits) -> InCgroups:
        """See Means."""
        name = self._names.next()
        cgroups = {
            controller: type(base)(os.path.join(base.path, name))
            for controller, base in self._bases.items()
            if getattr(limits, CONTROLLERS[controller]) is not None
        }
        confinement = _InCgroups1(cgroups, limits, self._rounds)
        try:
            for controller, cgroup in cgroups.items():
                cgroup.make()
                _limit(cgroup, controller, limits)
        except BaseException:
            confinement.close()
            raise
        return confinement

    def sweep(self) -> None:
        """See Means."""
        for base in self._bases.values():
            self._names.sweep(base)


def _limit(cgroup: Cgroup, controller: str, limits: Limits) -> None:
    memory = None if limits.memory is None else str(limits.memory)
    quota = None if limits.cpu is None else str(cpu_quota(limits.cpu))
    pids = None if limits.pids is None else str(limits.pids)
    files: dict[str, dict[str, str | None]] = {
        "memory": {"memory.limit_in_bytes": memory},
        "cpu": {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": quota},
        "pids": {"pids.max": pids},
    }
    if controller == "memory":
        with suppress(OSError):  # old kernels count what is below only then
            cgroup.write("memory.use_hierarchy", "1")
    for name, value in written(files[controller]):
        cgroup.write(name, value)
    if controller == "memory":
        with suppress(OSError):  # this kernel does not limit swap
            cgroup.write("memory.memsw.limit_in_bytes", str(memory))
