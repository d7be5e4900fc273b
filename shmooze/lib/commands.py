"""Command packets, answered with the functions of a table, one by one or in lists."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache, partial
from typing import Any

import gevent
import msgspec

from shmooze.access.caller import caller, caller_has_left, caller_name
from shmooze.access.permission import Target, require_permission
from shmooze.access.scopes import CONTROL, READ
from shmooze.errors import CommandError, PacketError, ShmoozeError, TooMany
from shmooze.lib import packet
from shmooze.lib.arguments import bind
from shmooze.lib.table import CommandTable, call_on
from shmooze.runtime import jsonsafe
from shmooze.runtime.printable import printable
from shmooze.runtime.time_slices import TimeSlices
from shmooze.web import results
from shmooze.web.results import TooLong, encode_result, internal_error, refuse_result

log = logging.getLogger(__name__)


class JSONCommandProcessor:
    """Answers command packets with the functions of a table."""

    #: The function for each command, by name. Each takes self.
    commands: Mapping[str, Callable[..., Any]] = {}
    #: Names of the commands that are logged, with their answers.
    log_cmds: tuple[str, ...] | list[str] = ()
    #: Value of the log's column `namespace` in their rows.
    log_namespace: str = "client"
    #: Value of the log's column `uid` in their rows.
    log_uid: str | None = None
    #: Where to log: an object with `log(uid, namespace, command, answer)`, or None. If `log` has a
    #: parameter `by`, it also gets the name of the caller's token.
    logger: Any = None
    #: Commands that one list may hold.
    max_commands = 1000
    #: Bytes of answers to one list after which its other commands are refused.
    max_answer = 32 << 20
    #: Names of the commands that change nothing: every token allows them.
    read_cmds: tuple[str, ...] | list[str] = ()
    #: Scopes by the name of a command that changes something: each of them allows it. All other
    #: commands need the scope `control`.
    cmd_scopes: Mapping[str, Collection[str]] = {}
    #: What the settings lack if these commands are unknown, by command.
    optional_cmds: Mapping[str, str] = {}
    #: Commands so far that were refused, since their caller had reached a limit.
    refused_at_limits = 0
    #: The tables that were added, by command.
    _tables: Mapping[str, CommandTable] = {}

    def add_table(self, table: CommandTable) -> None:
        """Answer the commands of this table too, except those that the service has itself."""
        added = [cmd for cmd in table.commands if cmd not in self.commands]
        functions = {cmd: call_on(table, table.commands[cmd]) for cmd in added}
        scopes = {cmd: table.cmd_scopes[cmd] for cmd in added if cmd in table.cmd_scopes}
        self.commands = {**self.commands, **functions}
        self.cmd_scopes = {**self.cmd_scopes, **scopes}
        self.log_cmds = [*self.log_cmds, *(cmd for cmd in added if cmd in table.log_cmds)]
        self.read_cmds = [*self.read_cmds, *(cmd for cmd in added if cmd in table.read_cmds)]
        self._tables = {**self._tables, **dict.fromkeys(added, table)}

    def describe(self) -> dict[str, Any]:
        """This description: the commands of the service, with JSON Schemas of their arguments."""
        return self.described()

    #: Commands of every service that has none of that name itself. They change nothing.
    built_in: Mapping[str, Callable[..., Any]] = {"describe": describe}

    def described(self) -> dict[str, Any]:
        """What `describe` answers, see lib/describe.py. Subclasses may add keys to it."""
        from shmooze.lib.describe import describe_service  # loaded only where somebody asks

        reading = frozenset([*self.read_cmds, *(self.built_in.keys() - self.commands.keys())])
        return describe_service(self, self._known(), reading)

    def command(self, query: Any) -> Any:
        """Answer one packet, or a list of packets by the list of answers, encoded as JSON.

        Raises PacketError for a value that is neither, and for a list that is too long.
        """
        if isinstance(query, list):
            return self._answers(query)
        check_command(query)
        return self.single_command(query)

    def single_command(self, query: dict[str, Any]) -> dict[str, Any]:
        """Carry out one well-formed command. Returns a success or failure packet."""
        cmd, args = query["cmd"], query.get("args", {})
        try:
            function = self.commands.get(cmd) or self.built_in.get(cmd)
            if function is None:
                raise self._unknown(cmd)
            bound = bind(cmd, function, args)
            if (who := caller.get()) is not None and who.role != CONTROL:
                reads = cmd in self.read_cmds or cmd not in self.commands
                enough = (READ,) if reads else self.cmd_scopes.get(cmd, ())
                require_permission(who, cmd, enough, partial(self.cmd_targets, cmd, bound))
            result = function(self, **bound)
            if not _is_ours(function):
                jsonsafe.refuse_bytes(result)
            answer = packet.good(result)
        except ShmoozeError as refusal:
            answer = packet.error(str(refusal))
            if isinstance(refusal, TooMany):
                self.refused_at_limits += 1
                if (who := caller.get()) is not None:
                    who.retry_after = refusal.retry_after
        except (Exception, gevent.Timeout):  # the function's own Timeout
            log.exception("command %r%s failed", cmd, _of_caller())
            answer = internal_error(cmd, self)
        if self.logger is not None and cmd in self.log_cmds:
            entry = self.log_uid, self.log_namespace, self.loggable(query), answer
            more = {"by": caller_name()} if _takes_by(self.logger.log) else {}
            self.logger.log(*entry, **more)
        return answer

    def cmd_targets(self, cmd: str, args: dict[str, Any]) -> Iterable[Target] | None:
        """What a command would add or change; None: that is not known.

        Called before the command, for callers that may not change everything.
        """
        return self._tables[cmd].cmd_targets(cmd, args) if cmd in self._tables else None

    def loggable(self, query: dict[str, Any]) -> dict[str, Any]:
        """A command packet as the log may have it, without secrets."""
        return query

    def _unknown(self, cmd: str) -> CommandError:
        if cmd in self.optional_cmds:
            return CommandError(f"{cmd} needs {self.optional_cmds[cmd]} in the settings")
        return CommandError(f"unknown command {cmd!r}; known: {', '.join(self._known())}")

    def _known(self) -> dict[str, Callable[..., Any]]:
        """All commands, the built-in ones last."""
        own = self.commands
        return {**own, **{cmd: self.built_in[cmd] for cmd in self.built_in if cmd not in own}}

    def _answers(self, queries: list[Any]) -> list[msgspec.Raw]:
        """Answer a list of packets, and yield to other greenlets in between.

        Each answer is encoded at once, since their total size is limited.
        """
        if len(queries) > self.max_commands:
            raise PacketError(f"a list may hold at most {self.max_commands} commands")
        answers: list[msgspec.Raw] = []
        size, slices = 0, TimeSlices()
        for query in queries:
            slices.yield_if_over()
            if answers and caller_has_left():
                answer = packet.error("was not executed: the client disconnected before its turn")
            elif size > self.max_answer:
                answer = packet.error(
                    "was not executed: the answers to this list have reached the limit "
                    f"({self.max_answer} bytes)"
                )
            else:
                answer = self._answer_in_list(query)
            try:
                answers.append(msgspec.Raw(encode_result(query, answer, self)))
                size += len(answers[-1])
            except TooLong:
                answers.append(msgspec.Raw(refuse_result(query)))
                size += results.MAX_RESULT  # it has cost as much work as if it had been sent
        return answers

    def _answer_in_list(self, query: Any) -> dict[str, Any]:
        try:
            check_command(query)
        except PacketError as bad:
            return packet.error(str(bad))
        return self.single_command(query)


def check_command(query: Any) -> None:
    """Raise PacketError unless `query` is `{"cmd": NAME, "args"?: {…}}`."""
    if not isinstance(query, dict):
        raise PacketError("a command must be an object with `cmd`, or a list of those")
    if not isinstance(query.get("cmd"), str):
        raise PacketError("a command must have a `cmd`, which is a string")
    if not isinstance(query.get("args", {}), dict):
        raise PacketError("the `args` of a command must be an object")


def refuse_coroutines(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Raise ShmoozeError for a command whose function is a generator or coroutine."""
    for cmd, function in commands.items():
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise ShmoozeError(
                f"the function of command {cmd!r} has `yield` or `async` in it: a command is a"
                " plain function, which blocks until it returns (see docs/how-to/migrate.md)"
            )


def _takes_by(log_function: Callable[..., Any]) -> bool:
    """Whether a logger's function has a parameter for the name of the caller."""
    return _has_by(getattr(log_function, "__func__", log_function))


@cache
def _has_by(function: Callable[..., Any]) -> bool:
    try:
        return "by" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a function without a signature
        return False


def _of_caller() -> str:
    """The caller of a command for the program's log."""
    return f" of {printable(name)}" if (name := caller_name()) is not None else ""


@cache
def _is_ours(function: Callable[..., Any]) -> bool:
    """Whether a command is shmooze's own, so that its result is certain to be JSON."""
    return str(getattr(function, "__module__", "")).startswith("shmooze.")
