"""What a launcher and a process are to the rest of the package.

A launcher starts one process for each module, wherever it likes: `local` does so on this machine.
Nothing outside this folder knows a pid, a file descriptor of an output, or /proc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Endpoint(Protocol):
    """Where a process connects to its module."""

    @property
    def arguments(self) -> Sequence[str]:
        """What the program is told of it, behind its own arguments."""


@dataclass(frozen=True)
class LaunchSpec:
    """What to start."""

    #: The program and its arguments, without those of the endpoint.
    argv: Sequence[str]
    #: What the log calls it.
    label: str


class OutputLine(NamedTuple):
    """A complete line of standard output or error, printable."""

    text: str
    is_error: bool


class Usage(NamedTuple):
    """What a process and all that it has started use."""

    #: Seconds of CPU time, those of ended ones included as far as their parents have waited.
    cpu: float
    #: Bytes; what processes share counts for each.
    memory: int
    processes: int


class Process(Protocol):
    """A started process with everything that it starts itself."""

    @property
    def exit_status(self) -> int | None:
        """None while it runs; then its status, or minus the number of the signal that ended it."""

    @property
    def output(self) -> list[str]:
        """The last lines of its standard output and error."""

    @property
    def errors(self) -> list[str]:
        """The last lines of its standard error."""

    def on_output(self, listener: Callable[[OutputLine], None]) -> None:
        """Call `listener` with each line of output from now on."""

    def describe(self) -> str:
        """Where it runs, for logs, such as "pid 812"."""

    def authenticate(self, connection: Any) -> bool:
        """Whether a connection was made by it, or by a process that it has started."""

    def has_unread(self, connection: Any) -> bool:
        """Whether the other end of a connection has data to read; False where this is unknown."""

    def usage(self) -> Usage:
        """What it uses at present. Raises CommandError where this cannot be known."""

    def when_exited(self, call: Callable[[], None]) -> None:
        """Run `call` in a greenlet of its own as soon as the process itself has ended."""

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the process itself. Returns its exit status, or None after `timeout`."""

    def end(self, patience: float | None) -> str | None:
        """End it and everything that it has started.

        SIGTERM, `patience` seconds, SIGKILL; with None SIGKILL at once. Returns the strongest
        signal used, or None, when nothing is left; or when what is left is held by the system or
        a debugger for long after SIGKILL: it does not run any further.
        """

    def close(self, patience: float) -> None:
        """Free what is held of it. The rest of its output is read for `patience` seconds."""


class Launcher(Protocol):
    """Starts processes."""

    def guard(self) -> None:
        """Prepare to end everything should this program be killed.

        Called before there is a server, a greenlet or a thread; it may split the process.
        """

    def prepare(self) -> None:
        """Do what takes time. Called before the service can be reached."""

    def open(self, identity: str, on_unguarded: Callable[[], None]) -> None:
        """Begin. Called once the service has its port, so that it is the only one of its kind.

        `identity` tells it from all other services of this network, and is the same at its next
        start. `on_unguarded` is called when nobody is left to end the processes should the service
        be killed: they have all been ended then, and the service has to end.
        """

    def sweep(self) -> int:
        """End what an earlier life of this service has left. Returns the number of processes.

        Called after `open`, before anything is launched.
        """

    def warnings(self) -> Iterable[str]:
        """What cannot be promised here, a sentence each."""

    def launch(self, spec: LaunchSpec, endpoint: Endpoint) -> Process:
        """Start a process. Raises ModuleError."""
