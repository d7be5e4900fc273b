"""The tools that a running server has: listed, listed again when they change, and called."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent

from shmooze.adapters.mcp.server import McpServer
from shmooze.adapters.mcp.tools import answer_of, as_commands
from shmooze.errors import CommandError, ModuleError
from shmooze.modules.channel.command_stream import Answer
from shmooze.runtime import clock
from shmooze.runtime.patience import Patience

log = logging.getLogger(__name__)


class Toolbox:
    """The tools of one server. `on_change` is told of them as commands."""

    #: Seconds that a server may take to list its tools after they have changed.
    list_timeout = 30.0
    #: Seconds between two lists at the least, however often they change.
    list_pause = 1.0

    def __init__(self, server: McpServer, on_change: Callable[[dict[str, Any]], None]) -> None:
        self._server, self._on_change = server, on_change
        self._commands: dict[str, Any] | None = None
        self._listing: gevent.Greenlet | None = None
        #: Whether they have changed since they are being listed.
        self._has_changed = False

    def list(self, patience: Patience) -> None:
        """List the tools. Raises ModuleError, CommandError."""
        commands = as_commands(self._server.list_tools(patience))
        if commands != self._commands:
            self._commands = commands
            self._on_change(commands)

    def list_again(self) -> None:
        """List them soon, since they have changed. Does not wait."""
        self._has_changed = True
        if self._listing is None:
            self._listing = gevent.spawn(self._list_until_unchanged)

    def call(self, name: str, args: dict[str, Any], patience: Patience) -> Answer:
        """Call a tool. One that is late is cancelled. Raises ModuleError."""
        allowed = patience.left
        commands = self._commands or {}
        if name not in commands:
            known = ", ".join(f"`{each}`" for each in commands) or "none"
            return Answer(False, error=f"unknown command `{name}`; known: {known}")
        params = {"name": name, "arguments": args}
        connection = self._server.connection
        try:
            reply = connection.ask("tools/call", params, patience, caller=self)
        except CommandError as refusal:
            return Answer(False, error=f"the server {refusal}")
        if reply is None:
            return Answer(False, error=f"`{name}` took over {allowed:g} s and was cancelled")
        return answer_of(reply)

    def close(self) -> None:
        """List no more."""
        if self._listing is not None:
            self._listing.kill(block=False)

    def _list_until_unchanged(self) -> None:
        try:
            while self._has_changed:
                self._has_changed = False
                self.list(Patience(self.list_timeout))
                clock.sleep(self.list_pause)
        except (ModuleError, CommandError) as bad:
            log.warning("%r %s", self._server.owner, bad)
        finally:
            self._listing = None
