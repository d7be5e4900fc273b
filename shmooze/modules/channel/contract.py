"""The contract of channels: how a module talks to its child, however that was started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from shmooze.modules.channel.command_stream import Answer
from shmooze.modules.channel.stream import OnEnd
from shmooze.modules.channel.update_stream import OnUpdate
from shmooze.processes.contract import Endpoint, Process
from shmooze.runtime.patience import Patience


class Channel(Protocol):
    """Commands and answers, updates and acknowledgements, to and from one child."""

    @property
    def final_is_sent(self) -> bool:
        """Whether the final command has been sent."""

    def listen(self) -> Endpoint:
        """Make the place to which the child connects. Raises OSError."""

    def accept(self, process: Process) -> None:
        """Let this process connect, and nobody else."""

    def wait_connected(self, patience: Patience) -> None:
        """Wait until the child has connected. Raises ModuleError if it has not in time."""

    def request(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        """Send a command when it is its turn, and wait for its answer.

        Raises ModuleError when the channel ends or `patience` is over first, Superseded when the
        final command comes first.
        """

    def request_in_line(
        self,
        cmd: str,
        args: dict[str, Any] | None,
        patience: Patience,
        is_withdrawn: Callable[[], bool],
    ) -> Answer:
        """The same for one of many, which wait in a line of their own.

        Raises Withdrawn, and sends nothing, when nobody wants it any more at its turn.
        """

    def request_final(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        """Send the final command at once, ahead of all that wait, and wait for its answer."""

    def hang_up(self, final_command: str | None) -> bool:
        """Tell the child that no more commands will come, and before that a final one.

        Returns whether a final command has been sent, now or before.
        """

    def has_unread(self, process: Process) -> bool:
        """Whether the child has not read all commands; False where this is unknown."""

    def wait_end(self, timeout: float) -> None:
        """Wait until everything has been read that the child sent before it ended, for at most
        `timeout` seconds.
        """

    def give_up(self, reason: str) -> None:
        """Let nobody wait for a connection or an answer any more."""

    def close(self, reason: str = "was closed") -> None:
        """Hang up. May be called twice."""


#: make(host, on_update, on_end): a channel that listens on `host`
MakeChannel = Callable[[str, OnUpdate, OnEnd], Channel]
