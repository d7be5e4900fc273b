"""Starting a child process, and ending it with everything that it started.

A launcher gets a finished argv and gives back a `Process`: something to wait for, to signal, and
to end. It never sees a module. `LocalLauncher` starts processes on this machine.

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
5. The mark tells the service as well. What an earlier life of the same service left, because it
   was killed together with its guardian, is found and ended at the next start.

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
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import gevent
from gevent.event import Event

from shmooze.errors import ModuleError
from shmooze.processes import strays
from shmooze.processes.spawn import OnExit, Starter, libc
from shmooze.processes.tree import Group, Look, Member, explain_held, shows_our_processes, survey
from shmooze.runtime.patience import Patience

log = logging.getLogger(__name__)

_CHILD_BITS = 32

#: Seconds that the kernel may take to carry out SIGKILL before we look again.
_KILL_WAIT = 0.05

_PR_SET_CHILD_SUBREAPER = 36


def _missing_means() -> str | None:
    """Why trees cannot be followed here; None where they can."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return "this system has no pidfds and no child subreaper"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as bad:
        return f"there are no pidfds: {bad.strerror}"
    if not os.path.exists("/proc/self"):
        return "/proc is not mounted"
    if not shows_our_processes():
        return "/proc shows another pid namespace than ours"
    return None


_MISSING_MEANS = _missing_means()
#: Whether processes that leave their parent can be followed here.
CAN_FOLLOW_TREES = _MISSING_MEANS is None


def shortcomings() -> Iterator[str]:
    """What cannot be promised on this machine, a sentence each; none where all can be."""
    if not CAN_FOLLOW_TREES:
        if sys.platform != "linux":
            peers = "the first who connects is taken for the module"
        elif not shows_our_processes():
            peers = "any process of this user may connect in the place of a module"
        else:
            peers = ""
        yield (
            "a daemon that leaves its module's process group may be left behind, and what modules "
            f"have started if this service is killed{peers and '; '}{peers}: {_MISSING_MEANS}"
        )
    elif not _can_mark():
        yield (
            "a daemon that leaves its module is ended only together with this service: "
            "RLIMIT_RTTIME is limited already, so it cannot be told whose it is"
        )


def _can_mark() -> bool:
    return resource.getrlimit(resource.RLIMIT_RTTIME)[1] == resource.RLIM_INFINITY


class Process(Protocol):
    """A started child, as a module sees it."""

    pid: int

    @property
    def exit_status(self) -> int | None:
        """None while it runs; then its status, or minus the number of the signal that ended it."""

    def tree(self) -> list[int]:
        """The pids of the child and of all that it started, as far as they can be known."""

    def when_exited(self, call: Callable[[], None]) -> None:
        """Have `call` run in a greenlet of its own as soon as the child itself has ended."""

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the child itself; its exit status, or None when the time is over first."""

    def end(self, patience: float | None) -> str | None:
        """End it and all that it started; the strongest signal that was needed, or None.

        SIGTERM, `patience` seconds, SIGKILL; with None SIGKILL at once. Returns when nothing is
        left, or when what is left is kept by the system, or by a debugger, for long after SIGKILL:
        it does not run any further.
        """


class Launcher(Protocol):
    """Starts children."""

    def launch(self, argv: Sequence[str], stdout: int, stderr: int) -> Process:
        """Start one that writes to these file descriptors. ModuleError where that fails."""


class LocalLauncher:
    """Starts children on this machine, each in a session of its own.

    `identity` tells this service from all others of this network, and is the same at its next
    start.
    """

    #: How often SIGKILL goes to those that are left.
    kill_attempts = 200

    def __init__(self, identity: str, starter: Starter) -> None:
        if CAN_FOLLOW_TREES:
            assert libc is not None
            libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._starter = starter
        self._numbers = itertools.count(1)
        self._own_mark = resource.getrlimit(resource.RLIMIT_RTTIME)[0]
        # Bit 62 makes it a limit that nobody reaches; below it the service, then the child.
        whose = f"{os.getuid()} {_network()} {identity}"
        digest = hashlib.blake2b(whose.encode(), digest_size=4).digest()
        self._mark_base = 1 << 62 | int.from_bytes(digest, "big") >> 3 << _CHILD_BITS

    def launch(self, argv: Sequence[str], stdout: int, stderr: int) -> LocalProcess:
        mark = self._mark_base | next(self._numbers)
        # Where it may not be set, the machine's owner uses this limit himself.
        wanted = mark if CAN_FOLLOW_TREES and _can_mark() else None
        try:
            return LocalProcess(partial(self._starter.start, argv, stdout, stderr, wanted), mark)
        except OSError as bad:
            what = bad.filename if isinstance(bad.filename, str) else argv[0]
            raise ModuleError(f"cannot be started: {what}: {bad.strerror}") from bad
        except ValueError as bad:
            raise ModuleError(f"cannot be started: {bad}") from bad

    def sweep(self) -> int:
        """SIGKILL what an earlier life of this service has left; the number of processes.

        To be called before anything is launched: what bears our mark then is from earlier. What
        the application itself has started bears none, and goes on.
        """
        return self._kill_until_none(lambda seen: [])

    def end_all(self) -> None:
        """SIGKILL every process that this service and its application have started."""
        self._kill_until_none(lambda seen: seen.below(seen.children(os.getpid())))

    def _kill_until_none(self, find_more: Callable[[Look], list[Member]]) -> int:
        """SIGKILL what bears our mark, and what `find_more` finds; the number of processes."""

        def find(seen: Look) -> list[Member]:
            return [*find_more(seen), *(each for each in seen.living if self._is_ours(each))]

        ended: set[int] = set()
        for _ in range(self.kill_attempts if CAN_FOLLOW_TREES else 0):
            found = survey(find, lambda: Look(self._kill_if_ours))
            if not found:
                break
            ended.update(member.pid for member in found)
            _kill(found)
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


class LocalProcess:
    """A child of this process, and the tree below it."""

    #: Seconds after SIGKILL until the log tells what keeps a process, and between two such lines.
    held_interval = 3.0
    #: Seconds after SIGKILL until a process that still does not go away is left to the system: it
    #: will not run any further, and a service that stops cannot wait for a debugger.
    held_timeout = 10.0
    #: Seconds until the next attempt when the system lacks the means to end it now.
    retry_delay = 0.5

    def __init__(self, start: Callable[[OnExit], int], mark: int) -> None:
        self._mark = mark
        self._exited = Event()
        self.exit_status: int | None = None
        self.pid = 0  # a child that could not become the program is told of as well
        self.pid = start(self._on_exit)
        strays.started.add(self.pid)

    def __repr__(self) -> str:
        status = "running" if self.exit_status is None else f"ended with {self.exit_status}"
        return f"<LocalProcess {self.pid}: {status}>"

    def tree(self) -> list[int]:
        return [member.pid for member in self._members()]

    def when_exited(self, call: Callable[[], None]) -> None:
        self._exited.rawlink(lambda _: gevent.spawn(call))

    def wait(self, timeout: float | None = None) -> int | None:
        if timeout is None:
            self._exited.wait()
        else:
            Patience(timeout).wait(self._exited)
        return self.exit_status

    def end(self, patience: float | None) -> str | None:
        while True:
            try:
                return self._end(patience)
            except OSError as bad:  # no file descriptor left: others end, and give theirs back
                log.error("%r cannot be ended now: %s", self, bad.strerror)
                gevent.sleep(self.retry_delay)

    def _end(self, patience: float | None) -> str | None:
        if patience is not None:
            if self._wait_gone(0):
                return None
            self._signal(signal.SIGTERM)
            if self._wait_gone(patience):
                return "SIGTERM"
        elif self.exit_status is not None and not self._members():
            return None
        self._kill_all()
        return "SIGKILL"

    def _kill_all(self) -> None:
        begun = told = time.monotonic()
        with strays.killed_at_sight(self._mark):
            while (members := self._members()) or self.exit_status is None:
                _kill(members)
                if not members:
                    self._exited.wait(_KILL_WAIT)
                now = time.monotonic()
                if now - begun >= self.held_timeout:
                    what = self._explain_held()
                    log.error("%r is left to the system after SIGKILL: %s", self, what)
                    return
                if now - told >= self.held_interval:
                    told = now
                    log.warning("%r has got SIGKILL and is held: %s", self, self._explain_held())

    def _explain_held(self) -> str:
        pids = dict.fromkeys([] if self.exit_status is not None else [self.pid])
        pids |= dict.fromkeys(member.pid for member in self._members())
        return "; ".join(map(explain_held, pids))

    def _on_exit(self, status: int) -> None:
        self.exit_status = status
        strays.started.discard(self.pid)
        self._exited.set()

    def _wait_gone(self, timeout: float) -> bool:
        """Whether child and tree are gone within `timeout` seconds."""
        patience = Patience(timeout)
        if not patience.wait(self._exited):
            return False
        with gevent.Timeout(patience.left, False):
            while members := self._members():
                for member in members:
                    member.wait_dead()
            return True
        return not self._members()

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole tree; a stopped process is woken to take it."""
        for member in self._members():
            member.send(number)
            member.send(signal.SIGCONT)

    def _members(self) -> Sequence[Member | Group]:
        """Every living process of the tree, the child itself included."""
        running = self.exit_status is None
        if not CAN_FOLLOW_TREES:
            return self._group()
        if not running and not strays.may_be():
            return []
        try:
            found = survey(self._find, strays.look_together)
        except FileNotFoundError:  # /proc was unmounted under us
            return self._group()
        if running and self.exit_status is None and all(each.pid != self.pid for each in found):
            return [*found, *self._group()]  # it is hidden from us, or waits to be collected
        return found

    def _group(self) -> list[Group]:
        group = Group(self.pid)
        return [group] if group.lives() else []

    def _find(self, seen: Look) -> list[Member]:
        running = self.exit_status is None
        roots = [
            each
            for each in seen.children(os.getpid())
            if (each.pid == self.pid and running) or strays.bears(each, self._mark)
        ]
        return seen.below(roots)


def _kill(members: Sequence[Member | Group]) -> None:
    """SIGKILL, and the moment that the kernel takes for it; longer only for what resists."""
    for member in members:
        member.send(signal.SIGKILL)
    with gevent.Timeout(_KILL_WAIT, False):
        for member in members:
            member.wait_dead()
