"""The adapter `command`: any program, which is started when it plays, and knows no commands.

Its lines of output become parameters where the type has patterns for them. It ends when it is done:
with the exit status 0 it is `done`, with any other it has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from shmooze.adapters import patterns, placeholders, program
from shmooze.adapters.acting import END, NONE, STOP, ActingChannel
from shmooze.errors import CommandError, Failure
from shmooze.modules.channel.command_stream import Answer
from shmooze.modules.channel.contract import Owner
from shmooze.modules.channel.stream import encode
from shmooze.modules.channel.updates import Parameters, SetParameters
from shmooze.processes.contract import NoEndpoint, Process
from shmooze.runtime.patience import Patience

#: How clients show the parameter `progress`.
_PROGRESS = {"type": "number", "minimum": 0, "maximum": 1, "role": "progress"}


class CommandAdapter:
    """See Adapter of modules/channel/adapters.py."""

    keys: Collection[str] = ("progress", "parameters", "json_lines", "result", "suspend")
    has_door = False
    #: A process is launched by `play`, and not before.
    starts_when_it_plays = True

    def problem(self, kind: type[Any]) -> tuple[str, str] | None:
        if words := program.problem_of(kind):
            return "process", words
        if kind.progress is not None and (words := patterns.problem_of(kind.progress)):
            return "progress", words
        if kind.standby:
            return "standby", "must be 0: a command is started when it plays"
        if kind.describe:
            return (
                "describe",
                "must be false: a command cannot be asked with `--describe`; use `schema`",
            )
        declared = _declared(kind.given_schema)
        for name in program.arguments_of(kind):
            if declared is not None and name not in declared:
                return (
                    "process",
                    f"has the placeholder {{{name}}}, which `schema` does not describe",
                )
        return None

    def description(self, kind: type[Any]) -> dict[str, Any]:
        names = program.arguments_of(kind)
        parameters: dict[str, Any] = {name: {} for name in kind.parameter_patterns}
        if kind.progress is not None:
            parameters["progress"] = _PROGRESS
        label = {"label": ", ".join(f"{{{name}}}" for name in names)} if names else {}
        return {
            **label,
            "args": program.args_of(kind),
            "commands": {},
            "parameters": parameters,
        }

    def make_channel(self, owner: Owner) -> CommandChannel:
        return CommandChannel(owner)


ADAPTER = CommandAdapter()


def _declared(schema: Any) -> Collection[str] | None:
    """The arguments that a description has; None if there may be others."""
    args = schema.get("args") if isinstance(schema, dict) else None
    if not isinstance(args, dict) or not args.keys() <= {"type", "properties", "required"}:
        return None
    properties = args.get("properties", {})
    return properties if isinstance(properties, dict) else None


class CommandChannel(ActingChannel):
    """See Channel of modules/channel/contract.py."""

    can_ask_to_end = False
    final_is_sent = False

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._args: dict[str, Any] = {}
        self._process: Process | None = None
        self._patterns = patterns.Patterns(
            owner.progress, owner.parameter_patterns, owner.json_lines, owner.result_pattern
        )

    def connect(self, timeout: float) -> None:
        pass  # it is launched when it plays

    def request_in_line(
        self,
        cmd: str,
        args: dict[str, Any] | None,
        patience: Patience,
        is_withdrawn: Callable[[], bool],
    ) -> Answer:
        return Answer(False, error=f"unknown command `{cmd.removeprefix('do_')}`; known: none")

    def request_final(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        return Answer(True)  # SIGTERM is all that it can be told

    def hang_up(self, final_command: str | None) -> bool:
        return False

    def wait_end(self, timeout: float) -> None:
        pass

    def give_up(self, reason: str) -> None:
        pass

    def close(self, reason: str = "was closed") -> None:
        pass

    def _init(self, args: dict[str, Any], patience: Patience) -> None:
        """Raises CommandError for args with which it cannot be launched."""
        known = placeholders.names_in(self._owner.process)
        unknown = next((name for name in args if name not in known), None)
        if unknown is not None and not self._owner.checks_args:
            names = ", ".join(f"`{name}`" for name in known) or "none"
            raise CommandError(f"unknown argument `{unknown}`; known: {names}")
        self._args = args
        self._fill(dict.fromkeys(program.reserved(self._owner), ""))

    def _fill(self, own: Mapping[str, str]) -> list[str]:
        """The program and its arguments. `own` are the placeholders of its web server."""
        return program.argv_of(self._owner, self._args, own)

    def _play(self, patience: Patience) -> None:
        if self._process is None:
            self._process = self._owner.launch(NoEndpoint(), fill=self._fill)
            if self._patterns:
                self._process.watch_output(self._take_lines)
        elif self._owner.suspend_by != NONE:
            self._process.resume()

    def _suspend(self) -> None:
        if self._process is None:
            return
        how = self._owner.suspend_by or STOP
        if how == STOP:
            self._process.suspend()
        elif how == END:
            self._process = None
            self._owner.end_process()

    def _take_lines(self, lines: list[str]) -> None:
        """Set the parameters that lines of output have; the last value of each counts."""
        for result in filter(None, map(self._patterns.find_result, lines)):
            self._owner.note_result(result[0])
        found = list(filter(None, map(self._patterns.find, lines)))
        merged = {name: value for each in found for name, value in each.items()}
        if found and not self._set(merged, len(found)):
            for each in found:  # near the limit each counts for itself
                self._set(each, 1)

    def _set(self, parameters: dict[str, Any], count: int) -> bool:
        """Returns False if they would take more than parameters may."""
        try:
            size = len(encode(parameters))
            self._owner.take_update(SetParameters(Parameters(parameters)), size, count)
        except Failure:
            return False
        return True
