"""The contract of channels: how a module talks to its child, however that was started."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from shmooze.modules.channel.command_stream import Answer
from shmooze.modules.channel.updates import Update
from shmooze.modules.web_server import WebServer
from shmooze.processes.contract import Endpoint, Process
from shmooze.runtime.patience import Patience


class Owner(Protocol):
    """A module, as its channel knows it."""

    #: Program and arguments, without those of an endpoint.
    process: Sequence[str]
    #: Where streams listen, and what the child is told to connect to.
    listen_host: str

    @property
    def suspend_by(self) -> str | None:
        """See Kind, as for those that follow."""

    @property
    def http(self) -> WebServer | None: ...

    @property
    def progress(self) -> str | None: ...

    @property
    def parameter_patterns(self) -> Mapping[str, str]: ...

    @property
    def json_lines(self) -> bool: ...

    @property
    def result_pattern(self) -> str | None: ...

    @property
    def checks_args(self) -> bool:
        """Whether its type has a description of its own, so that unknown args are refused."""

    @property
    def adapter(self) -> str | None:
        """The name of the adapter that its type wants."""

    def launch(
        self,
        endpoint: Endpoint,
        has_stdio: bool = False,
        fill: Callable[[Mapping[str, str]], Sequence[str]] | None = None,
    ) -> Process:
        """Start the module's process, or its next one. Raises ModuleError.

        `fill` returns what is started instead of `process`; it gets what stands for the
        placeholders of its web server.
        """

    def note_result(self, value: Any) -> None:
        """Its result, if its process ends with the exit status 0; the last one counts."""

    def end_process(self) -> None:
        """End its process, but not the module, which may launch another one later. Waits."""

    def take_update(self, update: Update, size: int, count: int) -> None:
        """Take an update, whose line had `size` bytes, or `count` of them that were merged.

        Raises Failure to refuse it.
        """

    def take_commands(self, commands: dict[str, Any]) -> None:
        """Take the commands that the child has from now on; see docs/reference/descriptions.md."""

    def channel_ended(self, reason: str, is_breach: bool) -> None:
        """The child has hung up, or broken the protocol: the module ends."""


class Channel(Protocol):
    """Commands and answers, updates and acknowledgements, to and from one child."""

    #: Whether a child can be told that it should end. If not, it gets SIGTERM at once.
    can_ask_to_end: bool

    @property
    def final_is_sent(self) -> bool:
        """Whether the final command has been sent."""

    def connect(self, timeout: float) -> None:
        """Have the child launched, where that needs no command, and wait until it can take some:
        for at most `timeout` seconds. Raises ModuleError, or OSError.
        """

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

    def release(self, patience: Patience) -> bool:
        """Let its owner send no more commands, and wait for the answer to the one under way.

        Whoever waits for a turn gets Superseded. Returns whether all is quiet, so that the child
        can take commands of another owner. Only channels of types that may have `reuse` have this
        and `hand_over`: see Adapter.keys.
        """

    def hand_over(self, owner: Owner) -> None:
        """Let another module own it. Does not wait."""

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


MakeChannel = Callable[[Owner], Channel]
