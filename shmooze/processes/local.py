"""The launcher of this machine: starts processes, and ends what an earlier life has left.

Why ending is more than `kill(pid)`: a child starts children, and some of those leave its process
group, its session, and their parent. What still holds them together (Linux, no root needed):

1. Whoever they leave is replaced as their parent by the nearest *child subreaper*. We are one,
   so no descendant of a child ever escapes to pid 1: each is below the child, or is ours.
2. Which of our adopted ones came from which child is told by a mark that fork, exec, setsid and
   a cleared environment all hand on: the soft limit on realtime CPU time, set to a number beyond
   any real one.
3. A pid may be used anew between looking and signalling. So each member is held by a pidfd, and
   looked at once more through /proc before it gets a signal.
4. A child gets SIGKILL from the kernel when the thread that started it ends, so that it does not
   play on for a moment when the service is killed. What it leaves behind then is the guardian's.
5. The mark identifies the service as well. What an earlier life of the same service left, because
   it was killed together with its guardian, is found and ended at the next start.

Where there is no /proc or no subreaper, the child's own session is what gets the signals. So it
does where /proc hides the child, as the mount option hidepid hides another user's.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import resource
import signal
from collections.abc import Callable, Iterable

import gevent
from gevent.socket import wait_read

from shmooze.errors import ModuleError
from shmooze.processes import capabilities, guardian
from shmooze.processes.capabilities import CAN_FOLLOW_TREES, can_mark
from shmooze.processes.contract import Endpoint, LaunchSpec
from shmooze.processes.local_process import LocalProcess, kill
from shmooze.processes.output import Outputs
from shmooze.processes.spawn import Spawner, libc
from shmooze.processes.tree import Member, ProcessSnapshot, find_processes

log = logging.getLogger(__name__)

_CHILD_BITS = 32

_PR_SET_CHILD_SUBREAPER = 36


class LocalLauncher:
    """Starts children on this machine, each in a session of its own."""

    #: How often SIGKILL goes to those that are left.
    kill_attempts = 200

    def __init__(self) -> None:
        self._guardian: int | None = None
        self._spawner: Spawner | None = None
        self._numbers = itertools.count(1)
        self._mark_base = 0
        self._own_mark = resource.getrlimit(resource.RLIMIT_RTTIME)[0]

    def guard(self) -> None:
        self._guardian = guardian.fork_guardian()

    def prepare(self) -> None:
        self._spawner = Spawner()

    def open(self, identity: str, on_unguarded: Callable[[], None]) -> None:
        if CAN_FOLLOW_TREES:
            assert libc is not None
            libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # Bit 62 makes it a limit that nobody reaches; below it the service, then the child.
        whose = f"{os.getuid()} {_network()} {identity}"
        digest = hashlib.blake2b(whose.encode(), digest_size=4).digest()
        self._mark_base = 1 << 62 | int.from_bytes(digest, "big") >> 3 << _CHILD_BITS
        if self._guardian is not None:
            gevent.spawn(self._exit_with_guardian, self._guardian, on_unguarded)

    def launch(self, spec: LaunchSpec, endpoint: Endpoint) -> LocalProcess:
        assert self._spawner is not None
        mark = self._mark_base | next(self._numbers)
        argv = [*spec.argv, *endpoint.arguments]
        try:
            return LocalProcess(self._spawner, argv, mark, can_mark(), Outputs(spec.label))
        except OSError as bad:
            what = bad.filename if isinstance(bad.filename, str) else argv[0]
            raise ModuleError(f"cannot be started: {what}: {bad.strerror}") from bad
        except ValueError as bad:
            raise ModuleError(f"cannot be started: {bad}") from bad

    def sweep(self) -> int:
        # Nothing was launched yet, so what bears our mark is from an earlier life. What the
        # application itself has started bears none, and goes on.
        return self._kill_until_none(lambda seen: [])

    def warnings(self) -> Iterable[str]:
        return capabilities.warnings()

    def _exit_with_guardian(self, guardian_alive: int, on_unguarded: Callable[[], None]) -> None:
        """When the guardian is gone, there is nobody to clean up after us: end at once."""
        wait_read(guardian_alive)
        log.critical("the guardian was killed; ending all modules")
        # Every process that this service and its application have started.
        self._kill_until_none(lambda seen: seen.below(seen.children(os.getpid())))
        on_unguarded()

    def _kill_until_none(self, find_more: Callable[[ProcessSnapshot], list[Member]]) -> int:
        """SIGKILL what bears our mark, and what `find_more` finds; the number of processes."""

        def find(seen: ProcessSnapshot) -> list[Member]:
            return [*find_more(seen), *(each for each in seen.living if self._is_ours(each))]

        ended: set[int] = set()
        for _ in range(self.kill_attempts if CAN_FOLLOW_TREES else 0):
            found = find_processes(find, lambda: ProcessSnapshot(self._kill_if_ours))
            if not found:
                break
            ended.update(member.pid for member in found)
            kill(found)
        return len(ended)

    def _kill_if_ours(self, member: Member) -> None:
        if self._is_ours(member):
            member.send(signal.SIGKILL)

    def _is_ours(self, member: Member) -> bool:
        # Not what has the very mark that we have: a module of an earlier life has started us then.
        is_marked = (member.mark or 0) >> _CHILD_BITS == self._mark_base >> _CHILD_BITS
        return is_marked and member.mark != self._own_mark


def _network() -> int:
    """The number of our network: an address is another's in another one, that of a container."""
    try:
        return os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return 0
