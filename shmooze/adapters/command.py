"""The adapter `command`: any program, which is started when it plays, and knows no commands.

Its lines of output become parameters where the type has patterns for them. It ends when it is done:
with the exit status 0 it is `done`, with any other it has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from shmooze.adapters.patterns import Patterns
from shmooze.adapters.placeholders import fill, names_in, problem_of
from shmooze.errors import CommandError, Failure
from shmooze.modules.channel.command_stream import Answer
from shmooze.modules.channel.contract import Owner
from shmooze.modules.channel.updates import Parameters, SetParameters
from shmooze.processes.contract import NoEndpoint, OutputLine, Process
from shmooze.runtime.patience import Patience

STOP, END, NONE = ("stop", "end", "none")
#: The type of an argument whose type nobody has declared.
_SCALAR = {"type": ["string", "number", "boolean"]}


class CommandAdapter:
    """See Adapter of modules/channel/adapters.py."""

    keys: Collection[str] = ("progress", "parameters", "json_lines", "suspend")
    has_door = False

    def problem(self, kind: type[Any]) -> tuple[str, str] | None:
        if words := problem_of(kind.process):
            return "process", words
        if kind.standby:
            return "standby", "must be 0: a command is started when it plays"
        if kind.describe:
            return "describe", "must be false: a command knows no `--describe`; use `schema`"
        return None

    def description(self, kind: type[Any]) -> dict[str, Any] | None:
        names = [name for name in names_in(kind.process) if name not in _reserved(kind)]
        properties = dict.fromkeys(names, _SCALAR)
        return {"args": {"type": "object", "properties": properties, "required": [*properties]}}

    def make_channel(self, owner: Owner) -> CommandChannel:
        return CommandChannel(owner)


ADAPTER = CommandAdapter()


def _reserved(kind: Any) -> tuple[str, ...]:
    """Placeholders that are no arguments."""
    return ("port", "path") if kind.http is not None else ()


class CommandChannel:
    """See Channel of modules/channel/contract.py."""

    can_ask_to_end = False
    final_is_sent = False

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._argv: list[str] = []
        self._process: Process | None = None
        self._patterns = Patterns(owner.progress, owner.parameter_patterns, owner.json_lines)

    def connect(self, timeout: float) -> None:
        pass  # it is launched when it plays

    def request(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        try:
            if cmd == "init":
                # Those of its web server are known when it is launched.
                kept = {name: f"{{{name}}}" for name in _reserved(self._owner)}
                self._argv = fill(self._owner.process, {**(args or {}), **kept})
            elif cmd == "play":
                self._play()
            elif cmd == "suspend":
                self._suspend()
        except CommandError as refusal:
            return Answer(False, error=str(refusal))
        return Answer(True)

    def request_in_line(
        self,
        cmd: str,
        args: dict[str, Any] | None,
        patience: Patience,
        is_withdrawn: Callable[[], bool],
    ) -> Answer:
        return Answer(False, error=f"unknown command {cmd.removeprefix('do_')!r}; known: none")

    def request_final(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        return Answer(True)  # SIGTERM is all that it can be told

    def hang_up(self, final_command: str | None) -> bool:
        return False

    def has_unread(self, process: Process) -> bool:
        return False

    def wait_end(self, timeout: float) -> None:
        pass

    def give_up(self, reason: str) -> None:
        pass

    def close(self, reason: str = "was closed") -> None:
        pass

    def _play(self) -> None:
        if self._process is not None:
            if self._owner.suspend_by != NONE:
                self._process.resume()
            return
        self._process = self._owner.launch(NoEndpoint(), self._argv)
        if self._patterns:
            self._process.on_output(self._take_line)

    def _suspend(self) -> None:
        if self._process is None:
            return
        how = self._owner.suspend_by or STOP
        if how == STOP:
            self._process.suspend()
        elif how == END:
            self._process = None
            self._owner.end_process()

    def _take_line(self, line: OutputLine) -> None:
        if found := self._patterns.find(line.text):
            try:
                self._owner.take_update(SetParameters(Parameters(found)), len(line.text), 1)
            except Failure:
                pass  # more than parameters may take: the line is in the output all the same
