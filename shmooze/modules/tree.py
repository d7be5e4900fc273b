"""The processes of this machine, as /proc tells of them, and which of them belong together.

Plain system calls only: the guardian uses this as well.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Callable, Collection
from dataclasses import dataclass

from gevent.socket import wait_read

log = logging.getLogger(__name__)

#: How often a machine is looked through on which processes end all the time.
MOST_LOOKS = 50


@dataclass(frozen=True)
class Member:
    """One living process, told from a later one with the same pid by the time that it started."""

    pid: int
    parent: int
    #: Ticks of the clock from boot to its start.
    started: int
    #: Its soft limit on realtime CPU time (see launcher); None where it may not be seen.
    mark: int | None

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


def survey(find: Callable[[list[Member]], list[Member]]) -> list[Member]:
    """What `find` finds among all living processes; when it finds nothing, nothing is there.

    To look through /proc takes a moment, and a process that forks and ends in that moment is
    missed together with its child. So finding nothing only counts when nobody has ended meanwhile,
    those excepted who were dead at the look before.
    """
    dead_before: set[int] = set()
    for _ in range(MOST_LOOKS):
        living, dead = _look()
        found = find(living)
        if found or dead <= dead_before:
            return found
        dead_before = dead
    return []


def tree(leader: int | None, mark: int, not_adopted: Collection[int]) -> list[Member]:
    """The living processes from `leader` down, and from those that we adopted and that bear `mark`.

    `not_adopted` are the pids of children that we started ourselves.
    """
    me = os.getpid()

    def find(living: list[Member]) -> list[Member]:
        children: dict[int, list[Member]] = {}
        found: list[Member] = []
        for each in living:
            children.setdefault(each.parent, []).append(each)
            adopted = each.parent == me and each.pid not in not_adopted
            if each.pid == leader or (adopted and each.mark == mark):
                found.append(each)
        for each in found:  # grows while it is walked
            found.extend(children.get(each.pid, ()))
        return found

    return survey(find)


def children(parent: int) -> list[int]:
    """The pids of a process' living children."""
    return [each.pid for each in survey(lambda living: [m for m in living if m.parent == parent])]


def _look() -> tuple[list[Member], set[int]]:
    """All living processes of this machine, and the pids that were listed and are dead."""
    living, dead = [], set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            member = _read(int(name))
            if member is None:
                dead.add(int(name))
            else:
                living.append(member)
    return living, dead


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
    try:
        mark = resource.prlimit(pid, resource.RLIMIT_RTTIME)[0]
    except ProcessLookupError:
        return None
    except PermissionError:
        mark = None
    return Member(pid, int(fields[1]), int(fields[19]), mark)
