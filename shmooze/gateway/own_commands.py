"""The commands of the gateway itself, at `{wsgi_prefix}wsgi`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol

from msgspec import Meta

from shmooze.errors import CommandError, SettingsError
from shmooze.lib.commands import JSONCommandProcessor

Everywhere = Annotated[bool, Meta(description="Whether all services reload too.")]


class Reloadable(Protocol):
    """The gateway."""

    def reload(self) -> dict[str, Any]:
        """See Gateway.reload."""

    def ask_services(self, query: Any) -> dict[str, Any]:
        """The answer of each service, by name."""


class GatewayCommands(JSONCommandProcessor):
    """Commands on the gateway, not on a service."""

    name = "wsgi"

    def __init__(self, gateway: Reloadable, reloaded: Callable[[], object]) -> None:
        self._gateway, self._reloaded = gateway, reloaded

    def reload(self, services: Everywhere = False) -> dict[str, Any]:
        """Read the settings of the gateway again, and apply what has changed.

        Returns `settings`, the changed keys that are in effect now, and `needs_restart`, those
        that take effect when the gateway is restarted. With `services`, all services that know this
        command reload as well, and `services` of the result has their answers by name. If the file
        has a mistake, it is returned as the error: nothing changes, and no service is asked.
        """
        try:
            report = self._gateway.reload()
        except SettingsError as bad:
            raise CommandError(f"{bad}. Nothing was changed") from bad
        self._reloaded()
        if services:
            report["services"] = self._reload_services()
        return report

    def _reload_services(self) -> dict[str, Any]:
        answers = self._gateway.ask_services({"cmd": "reload"})
        asked = {name: each for name, each in answers.items() if not _is_unknown(each)}
        if failed := [f"{name}: {each['error']}" for name, each in asked.items() if _failed(each)]:
            done = [name for name, each in asked.items() if not _failed(each)]
            rest = f"; reloaded: {', '.join(['wsgi', *done])}"
            raise CommandError("; ".join(failed) + rest)
        return {name: each["result"] for name, each in asked.items()}

    commands: Mapping[str, Callable[..., Any]] = {"reload": reload}


def answer_of(body: Any) -> dict[str, Any]:
    """The packet that a service has answered."""
    try:
        packet = json.loads(body)
    except (TypeError, ValueError):
        packet = None
    if isinstance(packet, dict) and ("result" in packet or isinstance(packet.get("error"), str)):
        return packet
    return {"success": False, "error": "answered something that is not a packet"}


def _failed(packet: Mapping[str, Any]) -> bool:
    return packet.get("success") is not True


def _is_unknown(packet: Mapping[str, Any]) -> bool:
    """Whether a service has no such command, such as one of an application's own."""
    return _failed(packet) and str(packet.get("error")).startswith("unknown command 'reload'")
