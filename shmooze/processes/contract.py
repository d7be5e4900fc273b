"""The contract between modules and whatever runs their processes.

A launcher starts one process per module, wherever it likes: `local` does so on this machine,
another implementation may submit jobs to a cluster. Code outside this package uses only what is
declared here. It never sees a pid, the file descriptor of an output, or /proc.

All methods are called from greenlets of the main thread. They may wait unless their description
says otherwise; properties and listeners never do.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shmooze.processes.byte_stream import ByteStream as ByteStream
from shmooze.processes.limits import Limits
from shmooze.processes.reports import OutputLine as OutputLine
from shmooze.processes.reports import PastOutput as PastOutput
from shmooze.processes.reports import Remaining as Remaining
from shmooze.processes.reports import Usage as Usage


class Endpoint(Protocol):
    """Where a process connects to its module.

    Either the process can reach it from wherever the launcher runs it, or the launcher offers the
    process another endpoint where that runs, and hands in what is connected there.
    """

    @property
    def arguments(self) -> Sequence[str]:
        """What the program needs to connect, appended to its own arguments: a host, and a port for
        each stream.
        """

    @property
    def streams(self) -> int:
        """How many streams the program connects."""

    def attach(self, number: int, connection: ByteStream) -> None:
        """Take the connection of a stream, which is the process's own. The first has number 0.

        One that comes too late is closed. Does not wait.
        """


class NoEndpoint:
    """The endpoint of a process that connects to nobody."""

    arguments: Sequence[str] = ()
    streams = 0

    def attach(self, number: int, connection: ByteStream) -> None:
        connection.close()


@dataclass(frozen=True)
class LaunchSpec:
    """What to start."""

    #: The program and its arguments, without those of the endpoint.
    argv: Sequence[str]
    #: A short name for people, such as "countdown 3f2a91c0"; not necessarily unique.
    label: str
    #: Whether its output is logged.
    is_logged: bool = True
    #: Environment variables, in addition to those of the service.
    environ: Mapping[str, str] = field(default_factory=dict)
    #: The directory in which it starts; None: that of the service.
    cwd: str | None = None
    #: Whether its standard input and output are a connection, `Process.stdio`. Otherwise there is
    #: nothing on its standard input, and its standard output is logged.
    has_stdio: bool = False
    #: If it is a Python program that is loaded once for several processes: the environment
    #: variables with which it is loaded, in addition to those of the service.
    preload: Mapping[str, str] | None = None
    #: What it needs of the machine on which it runs, by name. Only for launchers of clusters.
    needs: Mapping[str, float] = field(default_factory=dict)
    #: Names or labels of machines on which it may run; empty: any. Likewise.
    hosts: Sequence[str] = ()
    #: Whether an earlier life of the service, which has crashed, may have started a process for the
    #: same item: that must have ended first.
    may_run_already: bool = False
    #: What it and everything that it starts may use together.
    limits: Limits | None = None


class Process(Protocol):
    """A started process, together with everything that it starts itself."""

    @property
    def exit_status(self) -> int | None:
        """None while it runs, then its exit status, or minus the number of a fatal signal.

        A process whose fate can no longer be found out, such as one on a lost machine, counts as
        killed: minus SIGKILL.
        """

    @property
    def output(self) -> list[str]:
        """The last lines of its standard output and error; empty if they are not captured."""

    @property
    def errors(self) -> list[str]:
        """The last lines of its standard error; empty if it is not captured."""

    @property
    def stdio(self) -> ByteStream:
        """Its standard input and output. Only of one that was launched with `has_stdio`."""

    def add_output(self, text: str) -> None:
        """Add lines to its output that have come in another way. Does not wait."""

    def on_output(self, listener: Callable[[OutputLine], None]) -> None:
        """Call `listener` with each further line of output. Does not wait."""

    def watch_output(self, listener: Callable[[list[str]], None]) -> None:
        """Call `listener` with what its output shows from now on: lines, and the texts of a status
        line that a carriage return starts over, each once. Those that come together are one call.

        An incomplete line is included once it has been quiet for a moment. Does not wait.
        """

    @property
    def host(self) -> str | None:
        """The machine on which it runs; None: that of the service."""

    @property
    def loss(self) -> str | None:
        """Why its machine cannot be reached, or why it was ended with that: a sentence without its
        subject. None while all is well, and where its exit status says how it has ended.
        """

    def describe(self) -> str:
        """Return where it runs, for logs, such as "pid 812". Does not wait."""

    def authenticate(self, connection: socket.socket) -> bool:
        """Return True if a connection was made by it, or by a process that it started.

        Called for each connection to its endpoint until one is accepted. If this cannot be known
        for certain, it is as strict as possible, and `Launcher.warnings` says so. Raises OSError if
        the check fails; the connection is refused then.
        """

    def has_unread(self, connection: socket.socket | ByteStream | None) -> bool:
        """Return True if its end of a connection has received data that it has not read.

        None stands for its standard input, if it was launched with `has_stdio`; a ByteStream is one
        that the launcher has handed in, see Endpoint. Returns False if this is not known.
        """

    def listens(self, port: int) -> bool:
        """Return True if it, or a process that it started, listens on a port of this machine.

        Also returns True if this cannot be known, or if the listener is a system service that may
        act for it, such as a container engine.
        """

    def usage(self) -> Usage:
        """Measure its current usage. Raises CommandError if this is not possible."""

    def when_over_limits(self, call: Callable[[str], None]) -> None:
        """Run `call` in a greenlet with the reason once it uses more than its limits allow and must
        be ended. Does not wait. Only called if there are limits; may be missing.
        """

    def exceeded(self) -> str | None:
        """After its exit: why its limits have ended it; None: they have not. May be missing."""

    def remaining(self) -> list[Remaining]:
        """Find what still runs: the process itself and everything that it started."""

    def is_alone(self) -> bool:
        """Return True if nothing runs that it has started. Returns False if this is not known.

        Does not wait.
        """

    def refresh(self) -> None:
        """Learn anew what `is_alone` says, where that takes a wait."""

    def renew(self, label: str) -> PastOutput:
        """Let output and usage begin anew, for its next task. Listeners get no more output.

        Everything that it has printed so far is output of the task before. Does not wait.
        """

    @property
    def is_suspended(self) -> bool:
        """Whether it was stopped by `suspend`."""

    def suspend(self) -> None:
        """Stop it and everything that it started from running, until `resume` or `end`."""

    def resume(self) -> None:
        """Let it run again."""

    def when_exited(self, call: Callable[[], None]) -> None:
        """Run `call` in a new greenlet once the process itself has exited, even if it already has.

        Does not wait. What the process started may still be running then.
        """

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the process itself. Returns its exit status, or None after `timeout` seconds."""

    def end(self, patience: float | None) -> str | None:
        """End it and everything that it started: SIGTERM, `patience` seconds, SIGKILL.

        With None, use SIGKILL at once. Returns when nothing is left, or when what is left has not
        gone long after SIGKILL and will not run any further, because the kernel or a debugger holds
        it. Returns the strongest signal used, or None if none was needed. Never raises; also called
        after the process has exited.
        """

    def close(self, patience: float) -> None:
        """Release what is held for it, after `end`. Read remaining output for `patience` s."""


class Launcher(Protocol):
    """Starts processes. Its methods are called in the order in which they are listed here."""

    def guard(self) -> None:
        """Make sure that all processes end if this program is killed, as far as possible.

        Called before there is a server, a greenlet or a thread: an implementation may fork.
        """

    def prepare(self) -> None:
        """Do what takes time. Called before the service can be reached.

        Raises ShmoozeError if nothing can ever be launched: the service does not start then.
        """

    def open(self, identity: str, on_unguarded: Callable[[], None]) -> None:
        """Begin. Called once the service owns its port, so that no other has the same identity.

        `identity` distinguishes this service from all others on its network, and stays the same
        across restarts. Call `on_unguarded` once `guard` no longer holds and all processes have
        been ended for that reason: the service must exit then.
        """

    def sweep(self) -> int:
        """End what an earlier run of this service left behind. Returns the number of processes.

        Called before anything is launched.
        """

    def prepare_limits(self) -> None:
        """Find out what can enforce limits here. Called before `sweep`, if a type has limits. May
        be missing, with `limits_available`: none are enforced then.
        """

    @property
    def limits_available(self) -> Mapping[str, str | None]:
        """What enforces each limit, such as {"cpu": "cgroup v2"}; None: nothing."""

    def warnings(self) -> Iterable[str]:
        """Return what cannot be guaranteed here, one sentence each."""

    def preload(self, spec: LaunchSpec) -> None:
        """Begin to load the program of a spec with `preload`. Does not wait.

        If that is impossible here, or fails, its processes are started as others are, and the log
        says why. A launcher may lack this method, `unload_others` and `close`.
        """

    def unload_others(self, specs: Iterable[LaunchSpec]) -> None:
        """Unload what was preloaded, except for these specs. Processes go on. Does not wait."""

    def find_port(self, wanted: int | None) -> int:
        """Return a port on which the next process can listen for connections from here: `wanted`,
        or any that is free. Raises ModuleError if there is none.
        """

    def launch(self, spec: LaunchSpec, endpoint: Endpoint) -> Process:
        """Start a process. Raises ModuleError with a reason that clients may see.

        If it raises, or is interrupted while it waits, nothing may be left running.
        """

    def withdraw(self, spec: LaunchSpec) -> None:
        """Nobody wants the process any more for which `launch` waits: let that raise ModuleError.

        Does not wait.
        """

    def close(self) -> None:
        """End what it keeps running for itself. Called when all processes have ended."""
