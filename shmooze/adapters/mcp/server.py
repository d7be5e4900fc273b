"""A running MCP server: its process, the connection to it, and what it says of itself."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from msgspec import Raw

from shmooze.adapters.mcp import messages
from shmooze.adapters.mcp.calls import Reply
from shmooze.adapters.mcp.connection import Connection, OnNotification
from shmooze.adapters.mcp.handshake import Introduction, shake_hands
from shmooze.adapters.mcp.tools import Tool, list_tools
from shmooze.errors import ModuleError
from shmooze.modules.channel.stream import OnEnd
from shmooze.processes.contract import Process
from shmooze.runtime.patience import Patience

log = logging.getLogger(__name__)

#: What a server reports of its work, in words for its output.
LOG = "notifications/message"


class McpServer:
    """An MCP server with this process; logs show the repr of `owner`.

    Nothing can be asked of it before `introduce`. `on_notification` also gets the entries of its
    log, which are lines of its output as well.
    """

    def __init__(
        self, owner: object, process: Process, on_end: OnEnd, on_notification: OnNotification
    ) -> None:
        self.owner, self.process = owner, process
        self._on_notification = on_notification
        self._has_noise = False
        #: What it has said of itself; None: nothing yet.
        self.introduction: Introduction | None = None
        self.connection = Connection(on_end, self._take_notification, self._take_noise)
        self.connection.attach(process.stdio)

    def introduce(self, patience: Patience) -> None:
        """Do what comes first. Raises ModuleError."""
        self.introduction = shake_hands(self.connection, patience)

    def list_tools(self, patience: Patience) -> list[Tool]:
        """Its tools, as they are now. Raises ModuleError, CommandError."""
        if self.introduction is None or not self.introduction.has("tools"):
            return []

        def ask(params: dict[str, Any] | None) -> Reply:
            reply = self.connection.ask("tools/list", params, patience)
            if reply is None:
                raise ModuleError("did not list its tools in time")
            return reply

        return list_tools(ask)

    def _take_notification(self, method: str, params: Raw | None) -> None:
        if method == LOG:
            self.process.add_output(_entry(params))
        self._on_notification(method, params)

    def _take_noise(self, text: str) -> None:
        if not self._has_noise:
            self._has_noise = True
            words = "prints lines that are not messages on standard output; they count as output"
            log.warning("%r %s", self.owner, words)
        self.process.add_output(text)


class _Entry(msgspec.Struct):
    level: str = "info"
    logger: str | None = None
    data: Any = None


def _entry(params: Raw | None) -> str:
    """An entry of the log of a server, as text."""
    try:
        entry = msgspec.json.decode(params or b"{}", type=_Entry)
    except messages.UNDECODABLE:
        return "an entry of the log that cannot be read"
    data = entry.data
    text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
    return ": ".join(filter(None, [entry.level, entry.logger, text]))
