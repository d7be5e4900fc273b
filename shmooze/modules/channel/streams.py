"""A channel of two streams, over connections that a subclass makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shmooze.errors import ModuleError
from shmooze.modules.channel.command_stream import Answer, CommandStream
from shmooze.modules.channel.contract import Owner
from shmooze.modules.channel.update_stream import UpdateStream
from shmooze.runtime.patience import Patience


class StreamChannel:
    """The part of a Channel that does not depend on how the streams are connected."""

    can_ask_to_end = True

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.commands = CommandStream(owner.channel_ended)
        self.updates = UpdateStream(owner.take_update, owner.channel_ended)

    @property
    def final_is_sent(self) -> bool:
        return self.commands.final_is_sent

    def _wait_connected(self, patience: Patience) -> None:
        allowed = patience.left
        for stream in (self.commands, self.updates):
            if not patience.wait(stream.connected):
                raise ModuleError(f"did not connect its {stream.name} within {allowed:g} s")
            stream.connected.get()

    def request(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        return self.commands.request(cmd, args, patience)

    def request_in_line(
        self,
        cmd: str,
        args: dict[str, Any] | None,
        patience: Patience,
        is_withdrawn: Callable[[], bool],
    ) -> Answer:
        return self.commands.request_in_line(cmd, args, patience, is_withdrawn)

    def request_final(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        return self.commands.request_final(cmd, args, patience)

    def release(self, patience: Patience) -> bool:
        return self.commands.release(patience) and self.updates.is_quiet

    def hand_over(self, owner: Owner) -> None:
        self._owner = owner
        self.commands.hand_over(owner.channel_ended)
        self.updates.hand_over_with(owner.take_update, owner.channel_ended)

    def hang_up(self, final_command: str | None) -> bool:
        return self.commands.hang_up(final_command)

    def wait_end(self, timeout: float) -> None:
        patience = Patience(timeout)
        for stream in (self.commands, self.updates):
            stream.wait_end(patience.left)

    def give_up(self, reason: str) -> None:
        self.commands.give_up(reason)
        self.updates.give_up(reason)

    def close(self, reason: str = "was closed") -> None:
        self.give_up(reason)
        self.commands.close(reason)
        self.updates.close(reason)
