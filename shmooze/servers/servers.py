"""The web servers of all modules of one broker: which there are, and which of them can answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shmooze.broker.broker import Broker
from shmooze.broker.roster import Change
from shmooze.modules.channel.adapters import has_door
from shmooze.modules.lifecycle import ENDED, READY, State
from shmooze.modules.module import Module
from shmooze.servers.line import Target
from shmooze.servers.server import ModuleServer


class Servers:
    """One for each module that has a process. `on_change` is called when one may answer that did
    not before, or the other way round.
    """

    def __init__(self, broker: Broker, on_change: Callable[[], None]) -> None:
        self._roster, self._items, self._on_change = broker.roster, broker.items, on_change
        self._servers: dict[str, ModuleServer] = {}
        self._roster.listen(self._follow, Change.STATE | Change.PLACE)

    def of(self, module: Module | None) -> ModuleServer | None:
        """The server of a module; None: it has none at present."""
        server = None if module is None else self._servers.get(module.uid)
        return server if server is not None and server.module is module else None

    def can_answer(self, target: Target, server: ModuleServer | None) -> bool:
        """Whether a server answers requests now. By its uid also one that is suspended, whose
        process goes on; of a type only one that plays.
        """
        if server is None:
            return False
        server.look()
        state = server.module.state
        has_turn = state in READY if isinstance(target, str) else state is State.PLAYING
        return server.is_ready and has_turn

    def best(self, kind: type[Module]) -> Module | None:
        """The module of a type that answers soonest. Not one that is held by somebody."""

        def effort(module: Module) -> tuple[int, int]:
            server = self.of(module)
            if server is not None and self.can_answer(kind, server):
                return (0 if server.has_room else 1, server.requests)
            return (2 if module.state is State.PLAYING else 4 if module.is_resting else 3, 0)

        found = [
            module
            for module in self._roster.order
            if module.TYPE_STRING == kind.TYPE_STRING and (module.held is None or module.is_resting)
        ]
        return min(found, key=effort, default=None)

    def in_slots(self) -> Iterator[ModuleServer]:
        """Those of modules that play, and that may be ended for others."""
        for server in self._servers.values():
            plays = server.module.state is State.PLAYING
            is_kept = server.module.keep is True
            if plays and server.has_own and not is_kept and not server.is_leaving:
                yield server

    def leaving(self) -> list[ModuleServer]:
        """Those that are about to leave their slots."""
        return [
            each
            for each in self._servers.values()
            if each.is_leaving and each.module.state is State.PLAYING
        ]

    def _follow(self, uid: str, _what: Change) -> None:
        server, module = self._servers.get(uid), self._roster.find(uid)
        if server is not None:
            if server.is_for_present_process and module in (server.module, None):
                server.look()
            else:
                del self._servers[uid]
                server.close()
        if module is not None and uid not in self._servers and has_door(type(module)):
            has_process = module.has_process and module.state not in ENDED
            if has_process or module.state is State.PLAYING:
                rest = self._items.rest
                self._servers[uid] = ModuleServer(module, self._on_change, self._tell_web, rest)
        self._on_change()

    def _tell_web(self, module: Module) -> None:
        self._roster.tell(module, Change.WEB)
