"""A process of this machine and the tree below it: watched, authenticated, measured, ended."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence

import gevent
from gevent.event import Event

from shmooze.processes import strays, usage
from shmooze.processes.capabilities import CAN_FOLLOW_TREES
from shmooze.processes.contract import OutputLine, Usage
from shmooze.processes.output import Outputs
from shmooze.processes.peer import has_unread, holds
from shmooze.processes.spawn import Spawner
from shmooze.processes.tree import Group, Member, ProcessSnapshot, explain_held, find_processes
from shmooze.runtime.patience import Patience

log = logging.getLogger(__name__)

#: Seconds that the kernel may take to carry out SIGKILL before we look again.
_KILL_WAIT = 0.05


class LocalProcess:
    """A child of this process, and the tree below it.

    `mark` identifies its tree; it is set if `is_marked`. Raises OSError or ValueError where the
    program cannot be started; nothing is left then.
    """

    #: Seconds after SIGKILL until the log tells what keeps a process, and between two such lines.
    held_interval = 3.0
    #: Seconds after SIGKILL until a process that still does not go away is left to the system: it
    #: will not run any further, and a service that stops cannot wait for a debugger.
    held_timeout = 10.0
    #: Seconds until the next attempt when the system lacks the means to end it now.
    retry_delay = 0.5

    def __init__(
        self, spawner: Spawner, argv: Sequence[str], mark: int, is_marked: bool, outputs: Outputs
    ) -> None:
        self._mark, self._outputs = mark, outputs
        self._exited = Event()
        self.exit_status: int | None = None
        self.pid = 0  # a child that could not become the program has an exit status as well
        try:
            self.pid = spawner.start(
                argv,
                outputs.stdout.fileno(),
                outputs.stderr.fileno(),
                mark if is_marked else None,
                self._on_exit,
            )
        except BaseException:
            outputs.close(0)
            raise
        outputs.launched()
        strays.started.add(self.pid)

    def __repr__(self) -> str:
        status = "running" if self.exit_status is None else f"ended with {self.exit_status}"
        return f"<LocalProcess {self.pid}: {status}>"

    def describe(self) -> str:
        return f"pid {self.pid}"

    @property
    def output(self) -> list[str]:
        return self._outputs.lines

    @property
    def errors(self) -> list[str]:
        return self._outputs.errors

    def on_output(self, listener: Callable[[OutputLine], None]) -> None:
        self._outputs.listeners.append(listener)

    def authenticate(self, connection: socket.socket) -> bool:
        return holds(self._likely_pids(), connection)

    def _likely_pids(self) -> Iterator[int]:
        yield self.pid
        yield from self.tree()  # which takes a snapshot of all processes

    def has_unread(self, connection: socket.socket) -> bool:
        try:
            return has_unread(connection)
        except OSError:
            return False  # the other end is gone, and its reader says so

    def usage(self) -> Usage:
        return usage.measure(self.tree)

    def tree(self) -> list[int]:
        """The pids of the child and of all that it has started, as far as they can be known."""
        return [member.pid for member in self._members()]

    def when_exited(self, call: Callable[[], None]) -> None:
        self._exited.rawlink(lambda _: gevent.spawn(call))

    def wait(self, timeout: float | None = None) -> int | None:
        if timeout is None:
            self._exited.wait()
        else:
            Patience(timeout).wait(self._exited)
        return self.exit_status

    def close(self, patience: float) -> None:
        self._outputs.close(patience)

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
        with strays.kill_when_found(self._mark):
            while (members := self._members()) or self.exit_status is None:
                kill(members)
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
        if not running and not strays.any_possible():
            return []
        try:
            found = find_processes(self._find, strays.shared_snapshot)
        except FileNotFoundError:  # /proc was unmounted under us
            return self._group()
        if running and self.exit_status is None and all(each.pid != self.pid for each in found):
            return [*found, *self._group()]  # it is hidden from us, or waits to be collected
        return found

    def _group(self) -> list[Group]:
        group = Group(self.pid)
        return [group] if group.lives() else []

    def _find(self, seen: ProcessSnapshot) -> list[Member]:
        running = self.exit_status is None
        roots = [
            each
            for each in seen.children(os.getpid())
            if (each.pid == self.pid and running) or strays.bears(each, self._mark)
        ]
        return seen.below(roots)


def kill(members: Sequence[Member | Group]) -> None:
    """SIGKILL, and the moment that the kernel takes for it; longer only for what resists."""
    for member in members:
        member.send(signal.SIGKILL)
    with gevent.Timeout(_KILL_WAIT, False):
        for member in members:
            member.wait_dead()
