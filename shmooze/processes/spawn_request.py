"""A request to start a program, and the exit watcher that every child gets."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import gevent
from gevent.os import fork_and_watch

#: Called with a child's exit status, or minus the number of the signal that killed it.
OnExit = Callable[[int], None]

#: Signals that are reset to their default action in a child, even if this process ignores them.
RESET_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


class Entry(NamedTuple):
    """What a child does to itself before it executes its program, so that its limits hold for
    everything that it starts. See `limiter`.
    """

    #: Files `cgroup.procs` of the cgroups that it enters.
    cgroups: tuple[str, ...] = ()
    #: What is added to its niceness.
    nice: int = 0
    #: Bytes of private memory that each process may have; None: no limit.
    max_data: int | None = None

    @classmethod
    def together(cls, entries: Iterable[Entry]) -> Entry:
        """All of these, of which at most one has a limit on memory."""
        each = [*entries]
        limits = [entry.max_data for entry in each if entry.max_data is not None]
        return cls(
            tuple(path for entry in each for path in entry.cgroups),
            sum(entry.nice for entry in each),
            limits[0] if limits else None,
        )


class SpawnRequest(NamedTuple):
    """What to start, and how."""

    argv: Sequence[str]
    environ: Mapping[str, str]
    #: File descriptors for the child's standard output and error.
    stdout: int
    stderr: int
    #: The child's soft limit on realtime CPU time (see `local`), or None to leave it alone.
    mark: int | None
    on_exit: OnExit
    #: A file descriptor for its standard input; None: there is nothing on it.
    stdin: int | None = None
    #: Its working directory; None: that of this process.
    cwd: str | None = None
    #: How its limits begin to hold; None: it has none.
    entry: Entry | None = None


def start_watched(start: Callable[[], int], on_exit: OnExit) -> int:
    """Call `start`, which creates a child and returns its pid; watch for the child's exit.

    Returns the pid. Does not switch greenlets.
    """
    gevent.get_hub().loop.install_sigchld()  # before the child can exit
    pid: int = fork_and_watch(
        lambda watcher: on_exit(os.waitstatus_to_exitcode(watcher.rstatus)), ref=True, fork=start
    )
    return pid
