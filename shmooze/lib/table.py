"""Command tables: commands that a capability adds to a service, which knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, Protocol

from shmooze.access.permission import Target


class CommandTable(Protocol):
    """Commands that can be added to a service, see `JSONCommandProcessor.add_table`.

    The attributes are those of JSONCommandProcessor. Functions take the table as self.
    """

    commands: Mapping[str, Callable[..., Any]]
    log_cmds: Sequence[str]
    read_cmds: Sequence[str]
    cmd_scopes: Mapping[str, Collection[str]]

    def cmd_targets(self, cmd: str, args: dict[str, Any]) -> Iterable[Target] | None: ...


def call_on(table: CommandTable, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function for a service: it gets the table as self in place of the service."""

    @wraps(function)  # so that arguments are checked against its signature
    def command(_service: object, **args: Any) -> Any:
        return function(table, **args)

    return command
