"""The adapter: which types can have it, and what is known of them before one runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from shmooze.adapters.mcp.channel import McpChannel
from shmooze.adapters.mcp.enquiry import Enquiry
from shmooze.adapters.program import args_of, arguments_of, problem_of
from shmooze.modules.channel.contract import Owner
from shmooze.processes.contract import Launcher


class McpAdapter:
    """See Adapter of modules/channel/adapters.py."""

    keys: Collection[str] = ("suspend",)
    has_door = True

    def problem(self, kind: type[Any]) -> tuple[str, str] | None:
        if words := problem_of(kind):
            return "process", words
        if arguments_of(kind):
            if kind.standby:
                return "standby", "must be 0: its program needs arguments"
            if kind.describe:
                return "describe", "must be false: its program needs arguments"
        return None

    def description(self, kind: type[Any]) -> dict[str, Any] | None:
        return {"args": args_of(kind)}

    def make_channel(self, owner: Owner) -> McpChannel:
        return McpChannel(owner)

    def enquiry(self, kind: type[Any], launcher: Launcher) -> Enquiry:
        """See Asks of modules/channel/adapters.py."""
        return Enquiry(kind, launcher)


ADAPTER = McpAdapter()
