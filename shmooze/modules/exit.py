"""Why a module ends, and the record of its end."""

from __future__ import annotations

import enum
import signal
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from shmooze.errors import ModuleError, ShmoozeError
from shmooze.modules.channel.stream import StreamEnded, encode
from shmooze.runtime import clock

#: Ends the reason why an item is held whose process was ended because nobody needed it.
WAKES = "; the next request starts it"


#: Signals by which a machine ends processes, and people.
_FROM_OUTSIDE = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL}


class OwnWords(ModuleError):
    """The child has refused a command, or given up, and has said why."""


class Stale(ModuleError):
    """A child on standby is dead or does not respond, so it has not begun."""


def fault_of(action: str, bug: BaseException) -> ModuleError:
    """What clients are told of a module for which something failed that should not fail."""
    if isinstance(bug, ShmoozeError):
        return ModuleError(f"failed to {action}: {bug}")
    return ModuleError(f"hit an internal error in `{action}`; the service's log has details")


class Outcome(str, enum.Enum):
    """How an item ended. Each item has exactly one."""

    #: It has given its result or left by itself, or its process exited with status 0.
    DONE = "done"
    FAILED = "failed"
    #: A client removed it.
    REMOVED = "removed"
    #: The service or its machine crashed, and it was not started again.
    LOST = "lost"


class Grace(enum.Enum):
    """How much time a module gets to end by itself."""

    #: Its `natural_death_timeout` before SIGTERM.
    FULL = enum.auto()
    #: SIGTERM at once.
    NONE = enum.auto()
    #: SIGKILL at once.
    KILL = enum.auto()


@dataclass(frozen=True)
class EndCause:
    """Why a module ends, and what follows from that."""

    #: A sentence without its subject, such as "did not answer `play` within 5 s".
    reason: str
    #: Whether it is a fault, and not the wish of the module or a client.
    failed: bool = True
    #: Whether it is taken away by a client or with the service.
    is_removal: bool = False
    #: Whether the exit explains it better than `reason`, if it comes in time.
    by_exit: bool = False
    #: Whether the reason is the module's own, and its output need not explain it.
    own_words: bool = False
    #: Whether only its process ends: its item stays, and gets another one when it is wanted.
    is_rest: bool = False
    #: The same for one whose item gets another process at once.
    is_replacement: bool = False
    #: Whether it is told `rm`, if that was not done yet.
    tell_rm: bool = True
    #: Whether its process was lost with its machine.
    is_lost: bool = False
    #: Whether its item ends with it, even if modules of its type are started again.
    is_final: bool = False
    #: See Stale.
    is_stale: bool = False
    #: The result of its work, as JSON; None: it has given none.
    result: bytes | None = None
    grace: Grace = Grace.FULL

    @classmethod
    def finished(cls, result: bytes) -> EndCause:
        """It has given the result of its work, as JSON. Nobody starts it again."""
        return cls("ended with a result", failed=False, is_final=True, result=result)

    @classmethod
    def given_up(cls, reason: str) -> EndCause:
        """Its item cannot be done any more."""
        return cls(reason, own_words=True, is_final=True)

    @classmethod
    def removed(cls, reason: str) -> EndCause:
        """A client, or the end of the service, wants it."""
        return cls(reason, failed=False, is_removal=True)

    def in_removal(self, reason: str) -> EndCause:
        """The same for one that ends while it is being removed, maybe with a result."""
        return replace(EndCause.removed(reason), result=self.result)

    @classmethod
    def rested(cls, reason: str) -> EndCause:
        """Nobody needs its process at present."""
        return cls(f"{reason}{WAKES}", failed=False, is_rest=True)

    @classmethod
    def replaced(cls, reason: str) -> EndCause:
        """Its item goes on with a fresh process."""
        return cls(reason, failed=False, is_replacement=True)

    @classmethod
    def left(cls) -> EndCause:
        """It has said that it leaves."""
        return cls("left by itself", failed=False, tell_rm=False)

    @classmethod
    def exited(cls) -> EndCause:
        """Its process has ended."""
        return cls("ended", by_exit=True, tell_rm=False, grace=Grace.NONE)

    @classmethod
    def lost(cls, reason: str) -> EndCause:
        """Its process was lost with its machine, or that with it."""
        return cls(reason, own_words=True, is_lost=True, tell_rm=False, grace=Grace.NONE)

    def explained_by(self, loss: str | None) -> EndCause:
        """The same while its machine is lost, if it is: what fails then, fails because of that."""
        if loss is None or not self.failed or self.own_words:
            return self
        return EndCause.lost(loss if self.by_exit else f"{self.reason}: it {loss}")

    @classmethod
    def stale(cls, reason: str) -> EndCause:
        """It must not wake up and begin in spite of all."""
        return cls(reason, tell_rm=False, is_stale=True, grace=Grace.KILL)

    @classmethod
    def exceeded(cls, reason: str) -> EndCause:
        """Its processes use more than they may, and the machine has no more to spare for them."""
        return cls(reason, tell_rm=False, grace=Grace.KILL)

    @classmethod
    def fault(cls, error: ModuleError) -> EndCause:
        """Something failed. The message of `error` is the reason."""
        # Where it hung up, most often because it ends, how it ended is the better reason.
        by_exit, own_words = isinstance(error, StreamEnded), isinstance(error, OwnWords)
        return cls(str(error), by_exit=by_exit, own_words=own_words)


@dataclass
class ExitRecord:
    """The record of one end, from its cause until the last process is gone."""

    cause: EndCause
    #: What the module was doing, as clients see it.
    state: str
    #: The strongest means used: "rm", "SIGTERM", "SIGKILL"; None: it ended by itself.
    ladder: str | None = None
    #: The child's exit status, or minus the number of the signal that ended it.
    status: int | None = None
    #: Seconds from its launch to the end of its last process.
    seconds: float = 0.0
    #: When its last process had ended, in seconds since 1970.
    ended: float = 0.0

    @property
    def reason(self) -> str:
        """See EndCause."""
        return self.cause.reason

    @property
    def failed(self) -> bool:
        """See EndCause."""
        return self.cause.failed

    @property
    def outcome(self) -> Outcome:
        """How the item ends with this life, as far as is known by now."""
        if self.cause.is_removal:
            return Outcome.REMOVED
        if self.cause.is_lost:
            return Outcome.LOST
        return Outcome.FAILED if self.failed else Outcome.DONE

    @property
    def result(self) -> bytes | None:
        """The result of an item that is done, as JSON; None: it has given none."""
        return self.cause.result if self.outcome is Outcome.DONE else None

    @property
    def is_from_outside(self) -> bool:
        """Whether a signal has ended it that we did not send, before it had a result."""
        is_killed = self.ladder is None and -(self.status or 0) in _FROM_OUTSIDE
        return is_killed and self.result is None and not self.cause.is_lost

    def explain_by(self, cause: EndCause) -> None:
        """Make what the module says of its end the reason, where we saw it hang up before."""
        is_done = self.cause.is_replacement and cause.result is not None
        if self.cause.by_exit or is_done:
            self.cause = cause
        elif self.cause.is_removal:
            self.cause = replace(self.cause, result=cause.result)

    def finish(self) -> None:
        """Let the result count that it has given while it was being removed, if it has."""
        if self.cause.is_removal and self.cause.result is not None:
            self.cause = EndCause.finished(self.cause.result)

    def explain_by_exit(self, status: int) -> None:
        """Make the exit itself the reason, where it came before any of our means."""
        if self.state == "starting":
            self.cause = EndCause(f"{describe_exit(status)} before `init`", by_exit=True)
        elif status == 0:
            self.cause = EndCause("ended by itself", failed=False, by_exit=True)
        else:
            self.cause = EndCause(describe_exit(status), by_exit=True)

    def lost(self, reason: str) -> None:
        """Its process was lost with its machine: that explains what we have noticed before."""
        if self.cause.by_exit:
            self.cause = EndCause.lost(reason)

    def add_result(self, noted: tuple[Any] | None, most: float) -> None:
        """Let this be the result of a process that has ended by itself with the status 0."""
        if noted is not None and self.cause.by_exit and self.status == 0:
            cause = finished(*noted, most)
            self.cause = (
                cause if cause.failed else replace(self.cause, result=cause.result, is_final=True)
            )

    def exited(self, status: int | None) -> None:
        """Note how the process ended."""
        self.status = status
        if self.failed and self.ladder == "rm" and status:
            self.ladder = None  # it crashed while it was told to go: `rm` is nothing to crash at

    def as_dict(self) -> dict[str, Any]:
        """The part of the answer to `gone` that is about the end."""
        how: dict[str, Any] = {}
        if self.status is not None:
            how = (
                {"exit_status": self.status}
                if self.status >= 0
                else {"signal": signal_name(-self.status)}
            )
        return {
            "state": self.outcome.value,
            "state_at_end": self.state,
            "reason": self.reason,
            **({} if self.result is None else {"result": msgspec.json.decode(self.result)}),
            **how,
            "ladder": self.ladder,
            "ended": clock.iso8601(self.ended),
            "seconds": round(self.seconds, 3),
        }


def finished(value: Any, most: float) -> EndCause:
    """The end of a module that has this result, which may take `most` bytes as JSON."""
    json = encode(value)
    if len(json) > most:
        words = f"its result takes {len(json)} bytes of JSON; `max_result_bytes` is {most:.0f}"
        return EndCause.fault(OwnWords(f"failed: {words}"))
    return EndCause.finished(json)


def describe_exit(status: int) -> str:
    """An exit status in words."""
    return f"exited with status {status}" if status >= 0 else f"killed by {signal_name(-status)}"


def signal_name(number: int) -> str:
    """The name of a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
