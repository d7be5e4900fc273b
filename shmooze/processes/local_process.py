"""A process of this machine and its tree: watched, authenticated, measured, ended."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import gevent
from gevent.event import AsyncResult, Event

from shmooze.processes import strays, usage
from shmooze.processes.capabilities import CAN_TRACK_TREES
from shmooze.processes.contract import (
    ByteStream,
    LaunchSpec,
    PastOutput,
    Remaining,
    Usage,
)
from shmooze.processes.group import Group
from shmooze.processes.kill import KILL_WAIT, kill
from shmooze.processes.limiter import Confinement
from shmooze.processes.output import HasOutput, ProcessOutput
from shmooze.processes.peer import belongs_to, has_unread, listen_on
from shmooze.processes.proc import Member, command_line, explain_survival, read_cpu
from shmooze.processes.spawn_request import SpawnRequest
from shmooze.processes.stdio import StdioPipes
from shmooze.processes.stop import stop_all
from shmooze.processes.tree import ProcessSnapshot, find_processes
from shmooze.runtime.patience import Patience

log = logging.getLogger(__name__)


class LocalProcess(HasOutput):
    """A child of this process, and the tree below it.

    `start` starts it. `mark` identifies its tree; it is set only if `is_marked`. Raises what
    `start` raises if it cannot be started; nothing is left running or open then.
    """

    #: Seconds after SIGKILL until the log says what keeps a process alive, and between repetitions.
    survivor_log_interval = 3.0
    #: Seconds after SIGKILL until a surviving process is abandoned: it will not run any further,
    #: and a service that stops must not wait for a debugger.
    survivor_timeout = 10.0
    #: Seconds until the next attempt when the system is out of file descriptors.
    retry_delay = 0.5

    #: It runs here, where its end is always known.
    host = loss = None

    #: What makes the object that reads its output.
    make_output = ProcessOutput

    #: Seconds of CPU time that it had used when it was renewed.
    _cpu_before = 0.0
    #: Whether `end` was called, so that it must not be stopped any more.
    _is_ending = False

    def __init__(
        self,
        start: Callable[[SpawnRequest], int],
        argv: Sequence[str],
        spec: LaunchSpec,
        mark: int,
        is_marked: bool,
        confinement: Confinement | None = None,
    ) -> None:
        self._mark, self._confinement = mark, confinement
        self._output: ProcessOutput = self.make_output(spec.label, spec.is_logged, spec.has_stdio)
        self._exited = Event()
        self._over_limits: AsyncResult[str] = AsyncResult()
        self.exit_status: int | None = None
        self.is_suspended = False
        self.pid = 0  # a child that fails to execute the program has an exit status as well
        self._stdio: StdioPipes | None = None
        try:
            if spec.has_stdio:
                self._stdio = StdioPipes()
            self.pid = start(self._request(argv, spec, mark if is_marked else None))
        except BaseException:
            self.close(0)
            raise
        self._output.close_write_ends()
        if self._stdio is not None:
            self._stdio.close_child_fds()
        strays.started.add(self.pid)
        if confinement is not None:
            confinement.begin(self.tree, self._over_limits.set)

    def _request(self, argv: Sequence[str], spec: LaunchSpec, mark: int | None) -> SpawnRequest:
        # Output should arrive when it is printed.
        environ = {**os.environ, "PYTHONUNBUFFERED": "1", **spec.environ}
        output, stderr = self._output.stdout, self._output.stderr.fileno()
        if self._stdio is None:
            assert output is not None
            stdin, stdout = None, output.fileno()
        else:
            stdin, stdout = self._stdio.child_fds
        entry = None if self._confinement is None else self._confinement.entry
        return SpawnRequest(
            argv, environ, stdout, stderr, mark, self._on_exit, stdin, spec.cwd, entry
        )

    def __repr__(self) -> str:
        status = "running" if self.exit_status is None else f"ended with {self.exit_status}"
        return f"<LocalProcess {self.pid}: {status}>"

    def describe(self) -> str:
        return f"pid {self.pid}"

    @property
    def stdio(self) -> StdioPipes:
        assert self._stdio is not None
        return self._stdio

    def authenticate(self, connection: socket.socket) -> bool:
        return belongs_to(self._pids_likeliest_first(), connection)

    def _pids_likeliest_first(self) -> Iterator[int]:
        yield self.pid
        yield from self.tree()  # takes a snapshot of all processes

    def has_unread(self, connection: socket.socket | ByteStream | None) -> bool:
        try:
            if connection is None:
                return self.stdio.has_unread()
            return isinstance(connection, socket.socket) and has_unread(connection)
        except OSError:
            return False  # the connection is closed, which its reader notices

    def listens(self, port: int) -> bool:
        return listen_on(self._pids_likeliest_first(), port)

    def usage(self) -> Usage:
        measured = usage.measure(self.tree)
        return measured._replace(cpu=round(max(0.0, measured.cpu - self._cpu_before), 2))

    def when_over_limits(self, call: Callable[[str], None]) -> None:
        self._over_limits.rawlink(lambda result: gevent.spawn(call, result.get()))

    def exceeded(self) -> str | None:
        return None if self._confinement is None else self._confinement.breach()

    def is_alone(self) -> bool:
        if not CAN_TRACK_TREES or self.exit_status is not None:
            return False
        return strays.is_alone(self.pid, self._mark)

    def refresh(self) -> None:
        pass

    def renew(self, label: str) -> PastOutput:
        self._cpu_before = read_cpu(self.pid)
        return self._output.renew(label)

    def tree(self) -> list[int]:
        """Return the pids of the child and of everything it started, as far as they are known."""
        return [member.pid for member in self._members()]

    def remaining(self) -> list[Remaining]:
        found = []
        for pid in self.tree():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                is_daemon = os.getsid(pid) != self.pid
                found.append(Remaining(f"pid {pid} ({command_line(pid)})", is_daemon))
        return found

    def suspend(self) -> None:
        self.is_suspended = True
        if not stop_all(self._members, self._mark, lambda: self._is_ending):
            log.warning("%r: not everything that it has started could be stopped", self)

    def resume(self) -> None:
        for member in self._members():
            member.send(signal.SIGCONT)
        self.is_suspended = False

    def when_exited(self, call: Callable[[], None]) -> None:
        self._exited.rawlink(lambda _: gevent.spawn(call))

    def wait(self, timeout: float | None = None) -> int | None:
        if timeout is None:
            self._exited.wait()
        else:
            Patience(timeout).wait(self._exited)
        return self.exit_status

    def close(self, patience: float) -> None:
        self._output.close(patience)
        if self._stdio is not None:
            self._stdio.close()
        if self._confinement is not None:
            self._confinement.close()

    def end(self, patience: float | None) -> str | None:
        self._is_ending = True
        while True:
            try:
                return self._end(patience)
            except OSError as bad:  # out of file descriptors, until other processes end
                log.error("%r cannot be ended now: %s", self, bad.strerror)
                gevent.sleep(self.retry_delay)

    def _end(self, patience: float | None) -> str | None:
        if self.exit_status is not None and not self._members():
            return None
        if patience is not None:
            self._signal(signal.SIGTERM)
            if self._wait_gone(patience):
                return "SIGTERM"
        self._kill_all()
        return "SIGKILL"

    def _kill_all(self) -> None:
        begun = logged = time.monotonic()
        if self._confinement is not None:
            self._confinement.kill()
        with strays.signal_when_found(self._mark, signal.SIGKILL):
            while (members := self._members()) or self.exit_status is None:
                kill(members)
                if not members:
                    self._exited.wait(KILL_WAIT)
                now = time.monotonic()
                if now - begun >= self.survivor_timeout:
                    log.error("%r survived SIGKILL, giving up: %s", self, self._explain_survivors())
                    return
                if now - logged >= self.survivor_log_interval:
                    logged = now
                    words = self._explain_survivors()
                    log.warning("%r is still there after SIGKILL: %s", self, words)

    def _explain_survivors(self) -> str:
        pids = dict.fromkeys([] if self.exit_status is not None else [self.pid])
        pids |= dict.fromkeys(member.pid for member in self._members())
        return "; ".join(map(explain_survival, pids))

    def _on_exit(self, status: int) -> None:
        self.exit_status = status
        strays.started.discard(self.pid)
        self._exited.set()

    def _wait_gone(self, timeout: float) -> bool:
        """Wait until the child and its tree are gone. Returns False after `timeout` seconds."""
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
        """Send a signal to the whole tree; wake stopped processes, so that they receive it."""
        for member in self._members():
            member.send(number)
            member.send(signal.SIGCONT)

    def _members(self) -> Sequence[Member | Group]:
        """Return every living process of the tree, including the child itself."""
        running = self.exit_status is None
        if not CAN_TRACK_TREES:
            return self._group()
        if not running and not strays.any_possible():
            return []
        try:
            found = find_processes(self._find, strays.shared_snapshot, strays.missed_by)
        except FileNotFoundError:  # /proc was unmounted meanwhile
            return self._group()
        if running and self.exit_status is None and all(each.pid != self.pid for each in found):
            return [*found, *self._group()]  # hidden by hidepid, or about to be reaped
        return found

    def _group(self) -> list[Group]:
        group = Group(self.pid)
        return [group] if group.is_alive() else []

    def _find(self, snapshot: ProcessSnapshot) -> list[Member]:
        running, pid, mark = self.exit_status is None, self.pid, self._mark
        roots = [
            each
            for each in snapshot.children(os.getpid())
            # Compared here first: there may be many, and each module looks at all of them.
            if (each.pid == pid and running) or (each.mark == mark and strays.has_mark(each, mark))
        ]
        return snapshot.below(roots)
