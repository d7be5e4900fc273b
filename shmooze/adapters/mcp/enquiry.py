"""Asking an MCP server for its tools, once, before there is a module."""

from __future__ import annotations

from typing import Any

from gevent.event import Event

from shmooze.adapters.mcp.server import McpServer
from shmooze.adapters.mcp.tools import as_commands
from shmooze.adapters.program import argv_of
from shmooze.errors import ModuleError
from shmooze.modules.launched import folder_of, own_variables
from shmooze.processes.contract import Launcher, LaunchSpec, NoEndpoint, Process
from shmooze.runtime.patience import Patience

#: Characters of what a server says of itself.
_MAX_TEXT = 10_000


class Enquiry:
    """See Enquiry of modules/channel/adapters.py."""

    def __init__(self, kind: type[Any], launcher: Launcher) -> None:
        self._kind, self._launcher = kind, launcher
        self._server: McpServer | None = None
        self._is_stopped = False

    def ask(self) -> dict[str, Any]:
        kind = self._kind
        spec = LaunchSpec(
            argv_of(kind, {}, {"port": "0", "path": "/"}),  # any port
            f"{kind.TYPE_STRING} tools",
            is_logged=False,
            environ=own_variables(kind),
            cwd=folder_of(kind),
            has_stdio=True,
        )
        process = self._launcher.launch(spec, NoEndpoint())
        try:
            return self._ask(process)
        except ModuleError as bad:
            raise ModuleError(f"{bad}{_last_output(process)}") from bad
        finally:
            if self._server is not None:
                self._server.connection.hang_up()
            self._end(process)

    def stop(self) -> None:
        self._is_stopped = True
        if self._server is not None:
            self._server.connection.give_up("was stopped with the service")

    def _ask(self, process: Process) -> dict[str, Any]:
        patience = Patience(self._kind.command_timeout)
        server = self._server = McpServer(
            self._kind, process, lambda reason, is_breach: None, lambda method, params: None
        )
        if self._is_stopped:
            raise ModuleError("was stopped with the service")
        server.introduce(patience)
        described: dict[str, Any] = {
            "args": {"type": "object", "properties": {}},
            "commands": as_commands(server.list_tools(patience)),
        }
        assert server.introduction is not None
        title = server.introduction.serverInfo.get("title")
        if isinstance(title, str):
            described["title"] = title
        if server.introduction.instructions:
            described["description"] = server.introduction.instructions[:_MAX_TEXT]
        return described

    def _end(self, process: Process) -> None:
        ended = Event()
        process.when_exited(ended.set)
        if not self._is_stopped:
            Patience(self._kind.natural_death_timeout).wait(ended)
        process.end(self._kind.start_patience)
        if self._server is not None:
            self._server.connection.close()
        process.close(self._kind.output_timeout)


def _last_output(process: Process) -> str:
    lines = [line.strip() for line in process.errors if line.strip()][-3:]
    return f"; last output: {' | '.join(lines)}" if lines else ""
