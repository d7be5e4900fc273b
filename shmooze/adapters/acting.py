"""The part of a channel shared by adapters whose programs know none of our commands."""

from __future__ import annotations

from typing import Any

from shmooze.errors import CommandError
from shmooze.modules.channel.command_stream import Answer
from shmooze.processes.contract import Process
from shmooze.runtime.patience import Patience

#: How a program is suspended: stopped by SIGSTOP, ended, or not at all.
STOP, END, NONE = ("stop", "end", "none")


class ActingChannel:
    """Carries out `init`, `play` and `suspend` itself. What is raised as CommandError is a refusal.

    See Channel of modules/channel/contract.py for all else.
    """

    def request(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        try:
            if cmd == "init":
                self._init(args or {}, patience)
            elif cmd == "play":
                self._play(patience)
            elif cmd == "suspend":
                self._suspend()
        except CommandError as refusal:
            return Answer(False, error=str(refusal))
        return Answer(True)

    def has_unread(self, process: Process) -> bool:
        return False

    def _init(self, args: dict[str, Any], patience: Patience) -> None:
        raise NotImplementedError

    def _play(self, patience: Patience) -> None:
        raise NotImplementedError

    def _suspend(self) -> None:
        raise NotImplementedError
