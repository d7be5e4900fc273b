"""The processes of this machine, as /proc tells of them, and which of them belong together.

Plain system calls only: the guardian uses this as well.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import gevent
from gevent.socket import wait_read

from shmooze.runtime.fd_reader import close_now

log = logging.getLogger(__name__)

#: How often a machine is looked through on which processes end all the time.
MAX_SNAPSHOTS = 50


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
            close_now(pidfd)

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


@dataclass(frozen=True)
class Group:
    """A child's process group, for systems where nothing else holds its processes together.

    Signalled and waited for like a Member.
    """

    #: The child's own pid, which names the group.
    pid: int

    #: Seconds between two looks at whether it still lives.
    interval = 0.02

    def lives(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # some systems answer so when only zombies are left, some when it is another's
        return True

    def send(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def wait_dead(self) -> None:
        while self.lives():
            gevent.sleep(self.interval)


class ProcessSnapshot:
    """What one look through /proc has found: all living processes, and who was dead already.

    `on_found` is called with each process as soon as it is seen, `pause` between them.
    """

    def __init__(
        self,
        on_found: Callable[[Member], None] = lambda member: None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self.living: list[Member] = []
        #: Pids that were listed, and were dead when they were looked at.
        self.dead: set[int] = set()
        self._children: dict[int, list[Member]] = {}
        global _listed_before
        listed = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        # The new ones first and at once: they are those that may be gone in a moment.
        for pid in listed - _listed_before:
            self._take(pid, on_found)
        for pid in listed & _listed_before:
            pause()
            self._take(pid, on_found)
        _listed_before = listed

    def _take(self, pid: int, on_found: Callable[[Member], None]) -> None:
        member = _read(pid)
        if member is None:
            self.dead.add(pid)
            return
        on_found(member)
        self.living.append(member)
        self._children.setdefault(member.parent, []).append(member)

    def children(self, parent: int) -> list[Member]:
        """The living children of a process."""
        return self._children.get(parent, [])

    def below(self, members: Iterable[Member]) -> list[Member]:
        """These, and all living processes below them."""
        found = list(members)
        for each in found:  # grows while it is walked
            found.extend(self.children(each.pid))
        return found


def find_processes(
    find: Callable[[ProcessSnapshot], list[Member]],
    look: Callable[[], ProcessSnapshot] = ProcessSnapshot,
) -> list[Member]:
    """What `find` finds among all living processes; when it finds nothing, nothing is there.

    To look through /proc takes a moment, and a process that forks and ends in that moment is
    missed together with its child. So finding nothing only counts when nobody has ended meanwhile,
    those excepted who were dead at the look before.
    """
    dead_before: set[int] = set()
    for _ in range(MAX_SNAPSHOTS):
        seen = look()
        found = find(seen)
        if found or seen.dead <= dead_before:
            return found
        dead_before = seen.dead
    log.warning("processes come and go so fast here that one may have been missed")
    return []


def explain_held(pid: int) -> str:
    """What keeps a process that has got SIGKILL, as far as /proc tells."""
    status = _status(pid)
    state = status.get("State", "unknown")
    tracer = int(status.get("TracerPid", 0))
    if tracer:
        name = _status(tracer).get("Name", "unknown")
        return f"pid {pid}, state {state}, is traced by pid {tracer} ({name})"
    return f"pid {pid}, state {state}"


def _status(pid: int) -> dict[str, str]:
    """The lines of a process' status by their names; none where it cannot be read."""
    if not shows_our_processes():
        return {}
    try:
        with open(f"/proc/{pid}/status", errors="replace") as lines:
            parts = (line.partition(":") for line in lines)
            return {name: value.strip() for name, _, value in parts}
    except OSError:
        return {}


def shows_our_processes() -> bool:
    """Whether there is a /proc, and by the same pids as ours: containers may have another one."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


#: The pids that the last look has listed.
_listed_before: set[int] = set()


def children(parent: int) -> list[int]:
    """The pids of a process' living children."""
    return [each.pid for each in find_processes(lambda seen: seen.children(parent))]


def _read(pid: int) -> Member | None:
    """The process as /proc tells it; None where it is dead, a zombie included, or hidden from us.

    Raises OSError where that cannot be known, because no file descriptor is left.
    """
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the last: hidepid
        return None
    try:
        line = os.read(fd, 4096)
    except ProcessLookupError:
        return None
    finally:
        close_now(fd)
    # "pid (name) state ppid …": the name may hold anything, spaces and parentheses too.
    fields = line[line.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    # At once: one that is found living, and of which we then cannot tell whose it is, is missed.
    try:
        mark = resource.prlimit(pid, resource.RLIMIT_RTTIME)[0]
    except ProcessLookupError:
        return None
    except PermissionError:
        mark = None
    return Member(pid, int(fields[1]), int(fields[19]), mark)
