"""One service of an application: its commands, and the items that it adds.

A command whose connection breaks is sent again only if that does no harm. The service's
description decides: the command changes nothing, or it has a `key` that the service remembers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from shmooze.client.arguments import Arguments, either
from shmooze.client.connections import Connections
from shmooze.client.endpoint import Endpoint
from shmooze.client.errors import CommandRefused, Unreachable
from shmooze.client.events import EventStream
from shmooze.client.item import Item
from shmooze.errors import PacketError


class TypedService:
    """What generated classes have in common with Service: all but methods for any command."""

    #: Seconds before each further attempt of a command whose connection broke.
    retry_pauses: tuple[float, ...] = (0.0, 0.25, 1.0)
    #: The class of the items of each type; Item for all others.
    item_classes: Mapping[str, type[Item]] = {}

    def __init__(self, connections: Connections, name: str) -> None:
        self.name = name
        self.endpoint = Endpoint(connections, name)
        #: Whether `add` and `set_bg` get a key of their own.
        self._gives_keys = True

    @property
    def url(self) -> str:
        return self.endpoint.url

    def add(self, type: str, args: Arguments = None, /, **keywords: Any) -> Item:
        """Add an item. It returns when the module has accepted its arguments.

        Keywords are arguments of the module: `add("countdown", seconds=30)`. If the module's
        arguments are given as a dict, keywords are further arguments of the command `add`:
        `add("countdown", {"seconds": 30}, key="tea")`.

        Without a `key` it gets one of its own, so that it can be sent again if the connection
        breaks.
        """
        return self._add("add", type, args, keywords)

    def set_bg(self, type: str, args: Arguments = None, /, **keywords: Any) -> Item:
        """Add an item as the background; as `add`."""
        return self._add("set_bg", type, args, keywords)

    def command(self, cmd: str, args: Arguments = None, /, **keywords: Any) -> Any:
        """Send a command with these arguments, a dict or keywords. Returns its result.

        Raises CommandRefused; Unreachable or ServiceTimeout if there is no answer.
        """
        return self._run({"cmd": cmd, "args": either(cmd, args, keywords)})

    def batch(self, *packets: dict[str, Any]) -> list[dict[str, Any]]:
        """Send command packets in one request. Returns the answer packets, in the same order.

        None is sent again. Raises CommandRefused only if the request as a whole is refused.
        """
        return self.endpoint.ask_all(list(packets))

    def events(self, last_id: str | None = None) -> EventStream:
        """Live events of a queue or pool: a snapshot, then changes.

        With `last_id`, those after that event, if the service still knows it.
        """
        return EventStream(self.endpoint, last_id)

    def __getitem__(self, uid: str) -> Item:
        """The item with this uid. Whether there is one is not checked."""
        return Item(self, uid)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def _add(self, cmd: str, type: str, args: Arguments, keywords: dict[str, Any]) -> Item:
        own: dict[str, Any] = {"type": type, "args": keywords}
        if args is not None:
            own = {"type": type, "args": dict(args), **keywords}
        is_automatic = "key" not in own and self._gives_keys
        key = {"key": os.urandom(16).hex()} if is_automatic else {}
        try:
            result = self._run({"cmd": cmd, "args": {**own, **key}})
        except CommandRefused as refused:
            if not is_automatic or "`key`" not in str(refused) or self._has_key(cmd):
                raise
            self._gives_keys = False
            result = self._run({"cmd": cmd, "args": own})
        if not isinstance(result, dict) or not isinstance(result.get("uid"), str):
            raise PacketError(f"{self.url}: the result of `{cmd}` has no uid")
        kind = self.item_classes.get(type, Item)
        return kind(self, result["uid"], type, is_background=cmd == "set_bg")

    def _run(self, packet: dict[str, Any]) -> Any:
        """The result of a command, which is sent again if that is safe."""
        try:
            return self.endpoint.ask(packet)
        except Unreachable as broken:
            if not broken.may_have_run:
                raise
            first = broken
        for pause in self.retry_pauses:
            time.sleep(pause)
            try:
                if not self._can_repeat(packet):
                    break
                return self.endpoint.ask(packet)
            except Unreachable:
                pass  # the next attempt, if there is one
        raise first

    def _can_repeat(self, packet: dict[str, Any]) -> bool:
        """Whether a command that may have been executed can be sent again without harm."""
        commands = self._described()
        if commands.get(packet["cmd"], {}).get("changes") is False:
            return True
        # Keys are remembered in the state file. So is the history, and it is missing without one.
        return "key" in packet["args"] and "history" in commands and self._has_key(packet["cmd"])

    def _has_key(self, cmd: str) -> bool:
        args = self._described().get(cmd, {}).get("args")
        properties = args.get("properties") if isinstance(args, dict) else None
        return isinstance(properties, dict) and "key" in properties

    def _described(self) -> dict[str, dict[str, Any]]:
        """The descriptions of the service's commands; empty if it gives none."""
        try:
            described = self.endpoint.ask({"cmd": "describe"})
        except CommandRefused:
            return {}
        commands = described.get("commands") if isinstance(described, dict) else None
        commands = commands if isinstance(commands, dict) else {}
        return {cmd: each for cmd, each in commands.items() if isinstance(each, dict)}


class Service(TypedService):
    """A queue, a pool or another service.

    Each of its commands is a method, which takes the arguments by their names:
    `service.set_vol(vol=3)`. For commands whose names are taken here, there is `command`.
    """

    def __getattr__(self, cmd: str) -> Callable[..., Any]:
        if cmd.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {cmd!r}")

        def command(args: Arguments = None, /, **keywords: Any) -> Any:
            return self.command(cmd, args, **keywords)

        return command
