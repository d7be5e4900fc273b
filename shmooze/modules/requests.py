"""A command to a child and its answer, as a module's log has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shmooze.errors import Failure, ModuleError
from shmooze.lib import packet
from shmooze.modules.channel.command_stream import Answer
from shmooze.runtime.patience import Patience

#: A method of a Channel that sends a command and returns its answer.
Send = Callable[[str, dict[str, Any] | None, Patience], Answer]


def request(
    send: Send,
    cmd: str,
    args: dict[str, Any] | None,
    patience: Patience,
    log: Callable[[Any, Any], None],
) -> Any:
    """Send a command, and log it with its answer. Returns the result.

    Raises Failure with the child's words if it refuses, and what `send` raises.
    """
    command = {"cmd": cmd} if args is None else {"cmd": cmd, "args": args}
    try:
        answer = send(cmd, args, patience)
    except ModuleError:
        log(command, None)
        raise
    if answer.success:
        log(command, packet.good(answer.result))
        return answer.result
    refusal = packet.error(answer.error if answer.error else "no reason given")
    log(command, refusal)
    raise Failure(refusal["error"])
