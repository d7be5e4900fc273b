"""One cgroup: a directory of the kernel's in which a module's processes are counted together."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator

import gevent

from shmooze.processes.proc import read_member

log = logging.getLogger(__name__)


class Cgroup:
    """The cgroup at a path. Files of it are read and written by name."""

    #: Seconds that the kernel may take to see that the last process has gone.
    remove_timeout = 2.0
    #: Seconds between two attempts.
    remove_interval = 0.01

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def procs(self) -> str:
        """The file that lists its processes, and which a process writes to enter it."""
        return os.path.join(self.path, "cgroup.procs")

    def make(self) -> None:
        """Make it, unless it is there. Raises OSError."""
        os.makedirs(self.path, mode=0o755, exist_ok=True)

    def has(self, name: str) -> bool:
        """Whether it has a file."""
        return os.path.exists(os.path.join(self.path, name))

    def read(self, name: str) -> str:
        """The text of a file; empty if that cannot be read."""
        try:
            with open(os.path.join(self.path, name)) as file:
                return file.read()
        except OSError:
            return ""

    def read_number(self, name: str, key: str | None = None) -> int:
        """The number in a file, or that after a key in it; 0 if there is none."""
        for line in self.read(name).splitlines():
            words = line.split()
            if key is None or words[0] == key:
                return int(words[-1]) if words[-1].isdigit() else 0
        return 0

    def write(self, name: str, text: str) -> None:
        """Write a file with one call, as the kernel wants it. Raises OSError."""
        fd = os.open(os.path.join(self.path, name), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def pids(self) -> list[int]:
        """The processes in it, without those of cgroups below."""
        return [int(word) for word in self.read("cgroup.procs").split()]

    def below(self) -> Iterator[Cgroup]:
        """The cgroups below it, the innermost first."""
        for folder, names, _ in os.walk(self.path, topdown=False):
            for name in names:
                yield type(self)(os.path.join(folder, name))

    def kill(self) -> None:
        """Send SIGKILL to everything in it. Never raises."""
        if self.has("cgroup.kill"):
            try:
                self.write("cgroup.kill", "1")
                return
            except OSError as bad:
                log.warning("%s: cgroup.kill: %s", self.path, bad.strerror)
        for each in [*self.below(), self]:
            for pid in each.pids():
                member = read_member(pid)
                if member is not None and pid in each.pids():  # it was not another process before
                    member.send(signal.SIGKILL)

    def remove(self) -> None:
        """Remove it with all below it, as soon as no process is in it. Never raises."""
        give_up = time.monotonic() + self.remove_timeout
        while not self._try_to_remove():
            if time.monotonic() > give_up:
                log.warning("%s cannot be removed; the next start of the service does", self.path)
                return
            gevent.sleep(self.remove_interval)

    def _try_to_remove(self) -> bool:
        try:
            for each in [*self.below(), self]:
                os.rmdir(each.path)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True
