"""Making room for a module that is wanted: by ending others that are idle, and only those."""

from __future__ import annotations

from shmooze.broker.broker import Broker
from shmooze.broker.policy import Room, Wanted
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.servers.server import ModuleServer
from shmooze.servers.servers import Servers


class MakingRoom:
    """Among the servers of one broker."""

    def __init__(self, broker: Broker, servers: Servers) -> None:
        self._broker, self._servers = broker, servers

    def soon(self) -> Room | None:
        """What is free once those that leave are gone; None: any number may play."""
        if (room := self._broker.room()) is None:
            return None
        for module in self._broker.roster.in_state(State.ENDING):
            has_played = module.exit is not None and module.exit.state == State.PLAYING.shown
            room.release(module, has_played, True)
        for server in self._servers.leaving():
            room.release(server.module, True, True)
        return room

    def make_room(self, needed: Wanted, soon: Room) -> bool:
        """Let as many modules rest as it takes, those that have been idle for longest. Returns
        False, and ends none, if that is not enough.
        """
        if soon.fits(needed):
            return True
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
        if (soon := self.soon()) is None:
            return []
        busy = {each.module: each for each in self._servers.in_slots() if each.is_ready}
        fewest = sorted(busy, key=lambda module: busy[module].requests)
        may_drain = (each for each in fewest if busy[each].may_drain(longest))
        return [busy[victim] for victim in soon.enough(needed, may_drain, _ends) or ()]


def _ends(module: Module) -> bool:
    return True
