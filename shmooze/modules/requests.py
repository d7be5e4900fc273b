"""Commands to a child, and their answers, both logged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from shmooze.access.caller import caller_has_left
from shmooze.errors import CommandError, Failure, ModuleError
from shmooze.lib import packet
from shmooze.modules.channel.command_stream import Answer, Withdrawn
from shmooze.modules.channel.contract import Channel
from shmooze.modules.exit import OwnWords
from shmooze.runtime.patience import Patience

#: log(uid, namespace, input, output), as lib.database.Database.log
LogFunction = Callable[[str, str, Any, Any], None]
#: A method of a Channel that sends a command and returns its answer.
Send = Callable[[str, dict[str, Any] | None, Patience], Answer]


class Requests:
    """Sends commands to one child, and logs each with its answer: `log(command, answer)`."""

    def __init__(self, channel: Channel, log: Callable[[Any, Any], None]) -> None:
        self._channel, self._log = channel, log

    def request(
        self, cmd: str, args: dict[str, Any] | None, patience: Patience, send: Send | None = None
    ) -> Any:
        """Send a command. Returns the result.

        Raises Failure with the child's words if it refuses, and what `send` raises.
        """
        command = {"cmd": cmd} if args is None else {"cmd": cmd, "args": args}
        try:
            answer = (send or self._channel.request)(cmd, args, patience)
        except ModuleError:
            self._log(command, None)
            raise
        if answer.success:
            self._log(command, packet.good(answer.result))
            return answer.result
        refusal = packet.error(answer.error if answer.error else "no reason given")
        self._log(command, refusal)
        raise Failure(refusal["error"])

    def order(self, cmd: str, timeout: float, args: dict[str, Any] | None = None) -> None:
        """Send a command that the child may not refuse. Raises ModuleError."""
        try:
            self.request(cmd, args, Patience(timeout))
        except Failure as refusal:
            raise OwnWords(f"refused `{cmd}`: {refusal}") from refusal

    def tell(self, cmd: str, timeout: float, args: dict[str, Any]) -> Any:
        """Send a command of a client when it is its turn. Returns the result.

        Raises CommandError if the child refuses or the client has left by then, and ModuleError.
        """
        send = partial(self._channel.request_in_line, is_withdrawn=caller_has_left)
        try:
            return self.request(f"do_{cmd}", args, Patience(timeout), send)
        except Failure as refusal:
            raise CommandError(str(refusal)) from refusal
        except Withdrawn:
            raise CommandError(
                "was not executed: the client disconnected before its turn"
            ) from None
