"""Making room for a module that is wanted: only idle modules are ended for it."""

from __future__ import annotations

import enum

from shmooze.broker.broker import Broker
from shmooze.broker.policy import Room, Wanted
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.servers.server import ModuleServer
from shmooze.servers.servers import Servers


class Outlook(enum.Enum):
    """When there is room for one."""

    NOW = enum.auto()
    #: Others are leaving, which were there before.
    SOON = enum.auto()
    #: Nobody knows.
    NONE = enum.auto()


class MakingRoom:
    """Among the servers of one broker."""

    def __init__(self, broker: Broker, servers: Servers) -> None:
        self._broker, self._servers = broker, servers
        #: What is free, now and once those that leave are gone; None: any number may play.
        self._now: Room | None = None
        self._soon: Room | None = None

    def begin(self) -> None:
        """From now on, all for which room is made get what they need of the same."""
        self._now, self._soon = self._broker.room(), self._room_soon()

    def _room_soon(self) -> Room | None:
        """What is free once those that leave are gone; None: any number may play."""
        if (room := self._broker.room()) is None:
            return None
        for module in self._broker.roster.in_state(State.ENDING):
            has_played = module.exit is not None and module.exit.state == State.PLAYING.shown
            room.release(module, has_played, True)
        for server in self._servers.leaving():
            room.release(server.module, True, True)
        return room

    def make_room(self, needed: Wanted) -> Outlook:
        """Let as many modules rest as it takes, those that have been idle for longest. If that is
        not enough none is ended, and what there is of what is needed is kept.
        """
        now, soon = self._now, self._soon
        if now is None or soon is None:
            return Outlook.NOW
        if not soon.fits(needed) and not self._end_idle(needed, soon):
            now.reserve(needed)
            soon.reserve(needed)
            return Outlook.NONE
        soon.take(needed)
        if not now.fits(needed):
            now.reserve(needed)
            return Outlook.SOON
        now.take(needed)
        return Outlook.NOW

    def _end_idle(self, needed: Wanted, soon: Room) -> bool:
        idle = {each.module: each for each in self._servers.in_slots() if each.is_idle}
        oldest = sorted(idle, key=lambda module: idle[module].last_activity)
        victims = soon.enough(needed, oldest, _ends)
        for victim in victims or ():
            idle[victim].leave(f"made room for {needed.TYPE_STRING}")
            soon.release(victim, True, True)
        return victims is not None

    def find_to_drain(self, needed: Wanted, longest: float) -> list[ModuleServer]:
        """The servers that could make room if they got no more requests: those that have the
        fewest. Each is among them for `longest` seconds, and then not for as long.
        """
        if (soon := self._room_soon()) is None:
            return []
        busy = {each.module: each for each in self._servers.in_slots() if each.is_ready}
        fewest = sorted(busy, key=lambda module: busy[module].requests)
        may_drain = (each for each in fewest if busy[each].may_drain(longest))
        return [busy[victim] for victim in soon.enough(needed, may_drain, _ends) or ()]


def _ends(module: Module) -> bool:
    return True
