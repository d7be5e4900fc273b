"""Limits by cgroups of version 2.

A cgroup with processes of its own cannot divide what it has among cgroups below it. So whatever
runs in the cgroup that is ours moves into one below, `shmooze.main`: this service, and those that
were started with it.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from shmooze.processes.cgroup import Cgroup
from shmooze.processes.cgroup_means import PERIOD, InCgroups, Names, cpu_quota, written
from shmooze.processes.limits import Limits

#: Which controller enforces what.
CONTROLLERS = {"memory": "memory_mb", "cpu": "cpu", "pids": "pids"}
#: The cgroup in which we run ourselves.
MAIN = "shmooze.main"


class _InCgroup2(InCgroups):
    peak, kills = "memory.peak", "memory.events"


class Cgroup2:
    """Enforces limits in cgroups below `base`. See Means."""

    name = "cgroup v2"
    #: Attempts to move everything out of the way, while new processes are started there.
    move_attempts = 20

    def __init__(self, base: Cgroup, names: Names) -> None:
        self._base, self._names = base, names
        self.enforces: frozenset[str] = frozenset()

    def prepare(self) -> None:
        """Let cgroups below `base` have limits, as far as it may. Raises OSError if none can."""
        offered = self._base.read("cgroup.controllers").split()
        problem: OSError | None = None
        for controller in [each for each in CONTROLLERS if each in offered]:
            try:
                self._enable(controller)
            except OSError as bad:
                problem = bad
        enabled = self._base.read("cgroup.subtree_control").split()
        self.enforces = frozenset(CONTROLLERS[each] for each in CONTROLLERS if each in enabled)
        if not self.enforces and problem is not None:
            raise problem

    def _enable(self, controller: str) -> None:
        for attempt in range(self.move_attempts):
            if controller in self._base.read("cgroup.subtree_control").split():
                return
            try:
                self._base.write("cgroup.subtree_control", f"+{controller}")
                return
            except OSError as bad:
                if bad.errno != errno.EBUSY or attempt + 1 == self.move_attempts:
                    raise
            self._move_away()

    def _move_away(self) -> None:
        main = type(self._base)(os.path.join(self._base.path, MAIN))
        main.make()
        for pid in self._base.pids():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                main.write("cgroup.procs", str(pid))

    def confine(self, limits: Limits) -> InCgroups:
        """See Means."""
        cgroup = type(self._base)(os.path.join(self._base.path, self._names.next()))
        cgroup.make()
        quota = None if limits.cpu is None else f"{cpu_quota(limits.cpu)} {PERIOD}"
        try:
            if limits.memory is not None:
                for name, value in [("memory.swap.max", "0"), ("memory.oom.group", "1")]:
                    if cgroup.has(name):
                        cgroup.write(name, value)
            memory = None if limits.memory is None else str(limits.memory)
            pids = None if limits.pids is None else str(limits.pids)
            for name, value in written({"memory.max": memory, "cpu.max": quota, "pids.max": pids}):
                cgroup.write(name, value)
        except BaseException:
            cgroup.remove()
            raise
        return _InCgroup2([cgroup], cgroup if limits.memory else None, limits.memory or 0)

    def sweep(self) -> None:
        """See Means."""
        self._names.sweep(self._base)
