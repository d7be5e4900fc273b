"""The contract between the cluster launcher and the engine that places processes on nodes.

An engine runs one command on some node. It knows nothing about modules, streams or leases: the
command is the guard of `shmooze.cluster.node`, which connects to the service by itself and asks for
permission to start. An engine may therefore run a job twice, or again after a failure: the service
lets only the first guard start the program, and the others exit at once.

All methods are called from greenlets of the main thread, and may wait. What an engine does in
threads or processes of its own must not call gevent from there, except where it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: The environment variable in which a guard finds its ticket, if it is not on standard input.
TICKET_VARIABLE = "SHMOOZE_TICKET"


@dataclass(frozen=True)
class Job:
    """One guard to run on one node."""

    #: A short name for people, such as "countdown 3f2a91c0"; not necessarily unique.
    label: str
    #: The command of the guard: the service's own Python, and `-m shmooze.cluster.node`. An engine
    #: may put another interpreter in place of the first element, as its own settings say.
    argv: Sequence[str]
    #: One line of JSON. The guard gets it in TICKET_VARIABLE, or as the first line of its standard
    #: input. It is a secret: it must not be seen in a command line, a log or a job's name.
    ticket: str = field(repr=False)
    #: Amounts of resources that the node must have free for it, by name: `needs` of the type.
    needs: Mapping[str, float] = field(default_factory=dict)
    #: Labels or names of the nodes on which it may run; empty: on any.
    hosts: Sequence[str] = ()


class Submission(Protocol):
    """A job that an engine has taken."""

    def cancel(self) -> None:
        """Withdraw the job: it does not start any more, and its guard ends if it has started.

        The guard ends by SIGTERM, by an end of file on its standard input, or with its agent. It
        may take any time: the service relies on the guard's lease, not on this. Does not wait for
        the end. Never raises; may be called twice, and after the job is over.
        """

    def when_over(self, call: Callable[[str | None], None]) -> None:
        """Call `call` once, when the engine knows that the job is over and is not run again.

        The argument says why, in words for people, such as "worker 127.0.0.3 was lost"; None if the
        guard has simply exited. Called in a greenlet of the main thread, at once if the job is over
        already. Does not wait. An engine that cannot know this never calls.
        """


class Engine(Protocol):
    """Places jobs on the nodes of a cluster."""

    def prepare(self) -> None:
        """Reach the cluster. Called once, before the service can be reached.

        Raises ShmoozeError, in one line, if nothing can ever be submitted: the service does not
        start then.
        """

    def submit(self, job: Job) -> Submission:
        """Ask for a node. Does not wait until the job starts: see `cluster.start_timeout`.

        Raises ModuleError with a reason that clients may see.
        """

    def close(self) -> None:
        """Let go of the cluster. Called when all jobs are over or cancelled. Never raises."""
