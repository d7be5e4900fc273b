"""A tree of cgroups in a plain folder: what the kernel would do is done by FakeCgroup."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from shmooze.processes.cgroup import Cgroup
from shmooze.processes.cgroups import System
from shmooze.processes.spawn_request import Entry

#: The files of a new cgroup, by version, and what is in them.
NEW_FILES = {
    2: {
        "cgroup.procs": "",
        "cgroup.controllers": "cpu memory pids\n",
        "cgroup.subtree_control": "",
        "cgroup.kill": "",
        "cpu.max": "max 100000\n",
        "memory.events": "low 0\noom_kill 0\n",
        "memory.max": "max\n",
        "memory.oom.group": "0\n",
        "memory.peak": "0\n",
        "memory.swap.max": "max\n",
        "pids.max": "max\n",
    },
    1: {
        "cgroup.procs": "",
        "cpu.cfs_period_us": "100000\n",
        "cpu.cfs_quota_us": "-1\n",
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.max_usage_in_bytes": "0\n",
        "memory.oom_control": "under_oom 0\noom_kill 0\n",
        "pids.max": "max\n",
    },
}


class FakeCgroup(Cgroup):
    """A folder as a cgroup."""

    remove_timeout = 0.05
    version = 2
    #: Paths of those that are busy: processes are in them.
    busy: set[str] = set()

    def make(self) -> None:
        if not os.path.isdir(self.path):
            os.makedirs(self.path)
            for name, text in NEW_FILES[self.version].items():
                Path(self.path, name).write_text(text)

    def write(self, name: str, text: str) -> None:
        file = Path(self.path, name)
        if not file.exists():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(file))
        if name == "cgroup.subtree_control":
            if self.pids():
                raise OSError(errno.EBUSY, "Device or resource busy", str(file))
            text = f"{self.read(name)} {text.strip('+')}".strip()
        if name == "cgroup.procs":
            for other in [Path(self.path).parent / name, *Path(self.path).parent.glob(f"*/{name}")]:
                words = other.read_text().split() if other.exists() else []
                other.write_text(" ".join(word for word in words if word != text))
            text = f"{self.read(name)} {text}".strip()
        file.write_text(text)

    def _try_to_remove(self) -> bool:
        if self.path in self.busy:
            return False
        shutil.rmtree(self.path, ignore_errors=True)
        return True


class FakeCgroup1(FakeCgroup):
    """The same for version 1."""

    version = 1


def system_of(
    root: Path,
    version: int,
    own: str = "/",
    noted: str | None = None,
    has_namespace: bool = False,
    enter: Callable[[Entry], None] = lambda entry: None,
) -> System:
    """A machine whose cgroups are mounted below a folder. `noted` is what systemd has delegated."""
    mounted = {2: [("", "cgroup2", "rw")], 1: [(c, "cgroup", f"rw,{c}") for c in CONTROLLERS]}
    lines, lists = [], []
    for number, (name, kind, options) in enumerate(mounted[version]):
        mount = root / name
        lines.append(f"{number} 1 0:{number} / {mount} rw,relatime - {kind} cgroup {options}")
        lists.append(f"{number if name else 0}:{name}:{own}")
    return System(
        "\n".join(lines),
        "\n".join(lists),
        has_namespace,
        lambda folder: noted is not None and folder.endswith(noted),
        enter,
    )


CONTROLLERS = ("memory", "cpu", "pids")
