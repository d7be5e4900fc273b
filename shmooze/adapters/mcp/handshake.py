"""The handshake with a server: `initialize`, by which a version is agreed on."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

import shmooze
from shmooze.adapters.mcp import messages
from shmooze.adapters.mcp.connection import Connection
from shmooze.adapters.mcp.messages import LATEST, VERSIONS
from shmooze.errors import ModuleError
from shmooze.modules.exit import OwnWords
from shmooze.runtime.patience import Patience

_CLIENT = {"name": "shmooze", "version": shmooze.__version__}


class Introduction(Struct):
    """What a server says of itself."""

    protocolVersion: str
    capabilities: dict[str, Any] = {}
    serverInfo: dict[str, Any] = {}
    instructions: str | None = None

    def has(self, capability: str) -> bool:
        """Whether it has announced this."""
        return capability in self.capabilities

    def as_result(self, version: str) -> dict[str, Any]:
        """The answer to a client that asks for this version of the protocol.

        A client of an older one than the server's gets what it has asked for: later versions add to
        the earlier ones.
        """
        own = self.protocolVersion
        is_older = version in VERSIONS and VERSIONS.index(version) < VERSIONS.index(own)
        # Tasks of a server belong to all its clients, who would see those of each other.
        offered = {key: each for key, each in self.capabilities.items() if key != "tasks"}
        answer: dict[str, Any] = {
            "protocolVersion": version if is_older else own,
            "capabilities": offered,
            "serverInfo": self.serverInfo,
        }
        if self.instructions is not None:
            answer["instructions"] = self.instructions
        return answer


def shake_hands(connection: Connection, patience: Patience) -> Introduction:
    """Introduce us to a server. Raises ModuleError."""
    allowed = patience.left
    params = {"protocolVersion": LATEST, "capabilities": {}, "clientInfo": _CLIENT}
    reply = connection.ask("initialize", params, patience)
    if reply is None:
        raise ModuleError(f"did not answer `initialize` within {allowed:g} s")
    if reply.error is not None:
        raise OwnWords(f"refused `initialize`: {messages.words_of(reply.error)}")
    try:
        found = msgspec.json.decode(reply.result or b"", type=Introduction)
    except messages.UNDECODABLE as bad:
        raise ModuleError(f"answered `initialize` with an invalid result: {bad}") from bad
    if found.protocolVersion not in VERSIONS:
        known = ", ".join(VERSIONS)
        wanted = ascii(found.protocolVersion[:40])
        raise ModuleError(f"uses MCP version {wanted}, which is not supported; supported: {known}")
    connection.notify("notifications/initialized")
    return found
