"""How and why a module ended: what is kept of it when it has gone."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any


@dataclass
class Death:
    """The record of one end, from its cause until the last process is gone."""

    #: Why: a sentence without its subject, such as "did not answer `play` within 5 s".
    reason: str
    #: Whether it was a fault, and not the module's own or a client's wish.
    failed: bool
    #: What the module was doing: starting, suspended or playing.
    state: str
    #: Whether the exit, once it has come, is the better reason.
    by_exit: bool = False
    #: Whether the reason is the module's own, and its output need not explain it.
    in_own_words: bool = False
    #: The child's exit status, or minus the number of the signal that ended it.
    status: int | None = None
    #: The strongest means that we used: "rm", "SIGTERM", "SIGKILL"; None: it ended by itself.
    ladder: str | None = None
    #: Seconds from its launch to the end of its last process.
    seconds: float = 0.0
    #: When its last process had ended, in seconds since 1970.
    ended: float = 0.0

    def explain_by_own_words(self, reason: str, failed: bool) -> None:
        """Make what the module says of its end the reason, where we saw it hang up before."""
        if self.by_exit:
            self.reason, self.failed, self.by_exit = reason, failed, False

    def explain_by_exit(self, status: int) -> None:
        """Make the exit itself the reason, where it came before any of our means."""
        if self.state == "starting":
            self.reason = f"{describe_exit(status)} before `init`"
        elif status == 0:
            self.reason, self.failed = "ended by itself", False
        else:
            self.reason = describe_exit(status)

    def exited(self, status: int | None) -> None:
        """Take down how the process ended."""
        self.status = status
        if self.failed and self.ladder == "rm" and status:
            self.ladder = None  # it crashed while it was told to go: `rm` is nothing to crash at

    def ended_at(self) -> str:
        """When it had ended, as clients see it: ISO 8601, UTC, to the millisecond."""
        moment = datetime.fromtimestamp(self.ended, timezone.utc)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def record(self) -> dict[str, Any]:
        """The part of the answer to `gone` that is about the end."""
        how: dict[str, Any] = {}
        if self.status is not None:
            how = (
                {"exit_status": self.status} if self.status >= 0 else {"signal": name(-self.status)}
            )
        return {
            "state_at_end": self.state,
            "reason": self.reason,
            **how,
            "ladder": self.ladder,
            "ended": self.ended_at(),
            "seconds": round(self.seconds, 3),
        }


def describe_exit(status: int) -> str:
    """An exit status in words."""
    return f"exited with status {status}" if status >= 0 else f"killed by {name(-status)}"


def name(number: int) -> str:
    """A signal's name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
