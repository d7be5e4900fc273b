"""The processes of this machine, as /proc tells of them, and which of them belong together.

Plain system calls only: the guardian uses this as well.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from gevent.socket import wait_read

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """One living process, told from a later one with the same pid by the time that it started."""

    pid: int
    parent: int
    started: int

    def send(self, number: signal.Signals) -> None:
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self._is_same():
                signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            log.error("pid %d belongs to another user now and cannot be ended", self.pid)
        finally:
            os.close(pidfd)

    def wait_dead(self) -> None:
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self._is_same():
                wait_read(pidfd)
        finally:
            os.close(pidfd)

    def _is_same(self) -> bool:
        now = _read(self.pid)
        return now is not None and now.started == self.started


def tree(leader: int | None, mark: int, not_adopted: Collection[int]) -> Iterator[Member]:
    """The living processes below `leader`, and those that we adopted and that bear `mark`.

    `not_adopted` are the pids of children that we started ourselves.
    """
    children: dict[int, list[Member]] = {}
    roots: list[Member] = []
    me = os.getpid()
    for member in all_processes():
        children.setdefault(member.parent, []).append(member)
        if member.pid == leader or (
            member.parent == me and member.pid not in not_adopted and mark_of(member.pid) == mark
        ):
            roots.append(member)
    while roots:
        member = roots.pop()
        yield member
        roots.extend(children.get(member.pid, ()))


def mark_of(pid: int) -> int | None:
    """The mark that a process bears: its soft limit on realtime CPU time."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_RTTIME)[0]
    except OSError:
        return None


def all_processes() -> Iterator[Member]:
    """Every living process of this machine that we may see."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            member = _read(int(name))
            if member is not None:
                yield member


def _read(pid: int) -> Member | None:
    """The process as /proc tells it; None where it is dead, a zombie included."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        line = os.read(fd, 4096)
    except OSError:
        return None
    finally:
        os.close(fd)
    # "pid (name) state ppid …": the name may hold anything, spaces and parentheses too.
    fields = line[line.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    return Member(pid, int(fields[1]), int(fields[19]))
