"""The channel to an MCP server: `init` introduces us, and each tool is a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from shmooze.adapters.acting import END, STOP, ActingChannel
from shmooze.adapters.mcp.door import Door
from shmooze.adapters.mcp.hub import Hub
from shmooze.adapters.mcp.server import McpServer
from shmooze.adapters.mcp.toolbox import Toolbox
from shmooze.adapters.program import arguments_of, argv_of
from shmooze.errors import ModuleError
from shmooze.modules.channel.command_stream import Answer, Superseded
from shmooze.modules.channel.contract import Owner
from shmooze.modules.channel.stream import StreamEnded
from shmooze.processes.contract import NoEndpoint
from shmooze.runtime.patience import Patience

_TOOLS_CHANGED = "notifications/tools/list_changed"


class McpChannel(ActingChannel):
    """See Channel of modules/channel/contract.py.

    Calls of tools wait neither for each other nor for anything else.
    """

    can_ask_to_end = True

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._args: dict[str, Any] = {}
        self._server: McpServer | None = None
        self._tools: Toolbox | None = None
        self._is_suspended = False
        self.final_is_sent = False
        self._hub = Hub()
        self.door = Door(self._hub)

    def connect(self, timeout: float) -> None:
        if not arguments_of(self._owner):
            self._launch()  # so that it can load before `init`

    def request(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        if self.final_is_sent:
            raise Superseded
        return super().request(cmd, args, patience)

    def request_in_line(
        self,
        cmd: str,
        args: dict[str, Any] | None,
        patience: Patience,
        is_withdrawn: Callable[[], bool],
    ) -> Answer:
        """Call a tool."""
        if self.final_is_sent:
            raise Superseded
        if self._tools is None or self._is_suspended:
            return Answer(False, error="the server is suspended, and its tools cannot be called")
        return self._tools.call(cmd.removeprefix("do_"), args or {}, patience)

    def request_final(self, cmd: str, args: dict[str, Any] | None, patience: Patience) -> Answer:
        if self.final_is_sent:
            raise Superseded
        self.final_is_sent = True
        self._lose_callers(Superseded())
        return Answer(True)

    def hang_up(self, final_command: str | None) -> bool:
        """Close standard input, as MCP says that a server is told to end."""
        if self._server is None:
            return False
        if self._is_suspended:
            self._server.process.resume()  # so that it can read the end
        self._server.connection.hang_up()
        self.final_is_sent |= final_command is not None
        return self.final_is_sent

    def wait_end(self, timeout: float) -> None:
        if self._server is not None:
            self._server.connection.wait_end(timeout)

    def give_up(self, reason: str) -> None:
        if self._server is not None:
            self._server.connection.give_up(reason)

    def close(self, reason: str = "was closed") -> None:
        if self._tools is not None:
            self._tools.close()
        if self._server is not None:
            self._server.connection.close(reason)
        self._hub.close()

    def _launch(self) -> McpServer:
        owner = self._owner
        process = owner.launch(
            NoEndpoint(), has_stdio=True, fill=lambda own: argv_of(owner, self._args, own)
        )
        server = self._server = McpServer(
            owner,
            process,
            lambda reason, is_breach: self._on_end(server, reason, is_breach),
            self._take_notification,
        )
        return server

    def _init(self, args: dict[str, Any], patience: Patience) -> None:
        self._args = args
        self._begin(patience)

    def _begin(self, patience: Patience) -> None:
        server = self._server or self._launch()
        server.introduce(patience)
        self._tools = Toolbox(server, self._owner.take_commands)
        self._tools.list(patience)
        self._hub.open(server)

    def _play(self, patience: Patience) -> None:
        if self._server is None:
            self._begin(patience)
        elif self._is_suspended:
            self._server.process.resume()
            self._hub.resume()
        self._is_suspended = False

    def _suspend(self) -> None:
        how, server = self._owner.suspend_by, self._server
        if server is None or how not in (STOP, END):
            return
        self._is_suspended = True
        if how == STOP:
            self._hub.pause()
            server.process.suspend()
            return
        self._lose_callers(StreamEnded("was suspended"))
        if self._tools is not None:
            self._tools.close()
        self._server = self._tools = None
        self._owner.end_process()

    def _lose_callers(self, why: ModuleError) -> None:
        """Tell all who wait for an answer why there is none, and end the sessions."""
        if self._server is not None:
            self._server.connection.lose_calls(why)
        self._hub.close()

    def _on_end(self, server: McpServer, reason: str, is_breach: bool) -> None:
        if server is self._server:  # and was not ended by us
            self._owner.channel_ended(reason, is_breach)

    def _take_notification(self, method: str, params: Raw | None) -> None:
        if method == _TOOLS_CHANGED and self._tools is not None:
            self._tools.list_again()
        self._hub.take_notification(method, params)
