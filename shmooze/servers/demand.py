"""Which module answers a request: found, woken or started, and waited for.

Where there are only so many slots, a module that is idle makes room for one that is wanted. Nothing
that loads or has requests is ended for another. So that nobody waits for ever beside a busy module,
new requests to that one wait as well once somebody has waited for long.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable

import gevent
from gevent.event import Event

from shmooze.broker.broker import Broker
from shmooze.broker.roster import Change, Place
from shmooze.errors import CommandError, TooMany
from shmooze.modules.channel.adapters import has_door
from shmooze.modules.kind import Kind
from shmooze.modules.lifecycle import ENDED, State
from shmooze.modules.module import Module
from shmooze.runtime import clock
from shmooze.servers.server import ModuleServer

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """A request that nobody answers, with the HTTP status that says so."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


class _Waiting:
    """A request that waits for a module of a type."""

    def __init__(self, kind: type[Kind]) -> None:
        self.kind, self.since = kind, clock.now()
        #: Whether it needs a slot that another module has.
        self.needs_slot = False


class Demand:
    """The web servers of the modules of one broker."""

    #: Seconds after which those who wait for a slot come before new requests to other types.
    patience = 5.0
    #: Seconds for which a request waits for a module that has no web server of its own.
    default_wait = 60.0

    def __init__(self, broker: Broker) -> None:
        self._broker, self._roster, self._items = broker, broker.roster, broker.items
        self._servers: dict[str, ModuleServer] = {}
        self._line: list[_Waiting] = []
        #: Types of which one is being added.
        self._adding: dict[str, gevent.Greenlet] = {}
        #: Set and replaced whenever something may have changed.
        self._changed = Event()
        self._roster.listen(self._on_change, Change.STATE | Change.PLACE)

    def at(self, uid: str) -> ModuleServer:
        """The server of a module, once it is ready. Raises Unavailable."""
        module = self._find(uid)
        if not has_door(type(module)):
            raise Unavailable(404, f"{module.TYPE_STRING} {uid} has no web server")
        return self._wait_for(type(module), lambda: self._find(uid))

    def on(self, kind: type[Module]) -> ModuleServer:
        """The server of any module of a type, once it is ready; one is added if there is none.

        Raises Unavailable.
        """
        if not has_door(kind):
            raise Unavailable(404, f"modules of type {kind.TYPE_STRING!r} have no web server")
        return self._wait_for(kind, lambda: self._best(kind) or self._add(kind))

    def _wait_for(self, kind: type[Module], find: Callable[[], Module]) -> ModuleServer:
        entry = _Waiting(kind)
        deadline = entry.since + (kind.http.max_wait if kind.http else self.default_wait)
        self._line.append(entry)
        try:
            while True:
                changed = self._changed
                module = find()
                server = self._servers.get(module.uid)
                is_loading = server is not None and server.module is module
                if server is not None and is_loading and server.is_ready:
                    if not self._must_let_others_go_first(entry):
                        return server
                elif not is_loading:
                    self._bring_up(module, entry)
                is_late = clock.now() >= deadline
                if is_late and not (is_loading and server is not None and not server.is_ready):
                    raise self._late(entry, module)
                clock.wait(changed, None if is_late else deadline - clock.now())
        finally:
            self._line.remove(entry)
            self._tell()

    def _bring_up(self, module: Module, entry: _Waiting) -> None:
        """Do what is missing so that a module gets its process."""
        if module.is_resting:
            self._in_background(lambda: self._items.release([module.uid]))
        elif module.held is not None:
            raise Unavailable(503, f"{module.TYPE_STRING} {module.uid} is held: {module.held}")
        entry.needs_slot = self._broker.lacks_slot(module)
        if entry.needs_slot and next(each for each in self._line if each.needs_slot) is entry:
            self._make_room(module)

    def _make_room(self, wanted: Module) -> None:
        """Let the module rest that has been idle for longest, if there is one."""
        idle = [
            server
            for server in self._servers.values()
            if server.module is not wanted
            and server.module.state is State.PLAYING
            and not server.is_busy
            and not server.is_leaving
        ]
        if idle:
            victim = min(idle, key=lambda server: server.last_activity)
            victim.leave(f"made room for {wanted.TYPE_STRING}")

    def _must_let_others_go_first(self, entry: _Waiting) -> bool:
        """Whether somebody has waited for long for the slot that this request would go on using."""
        now = clock.now()
        return any(
            each.needs_slot
            and each.kind is not entry.kind
            and each.since < entry.since
            and now - each.since > self.patience
            for each in self._line
        )

    def _late(self, entry: _Waiting, module: Module) -> Unavailable:
        place = self._line.index(entry) + 1
        seconds = f"{clock.now() - entry.since:.0f} s"
        words = f"{module.TYPE_STRING} is {module.state.shown}"
        words = f"{words}; waited {seconds}, and is at place {place} in line"
        return Unavailable(503, words, retry_after=max(1.0, min(30.0, 2.0 * place)))

    def _find(self, uid: str) -> Module:
        module = self._roster.find(uid)
        if module is None or self._roster.place_of(module) is Place.ARRIVING:
            ended = [each for each in self._broker.gone() if each["uid"] == uid]
            if module is None and ended:
                raise Unavailable(502, f"{ended[-1]['type']} {uid} {ended[-1]['reason']}")
            words = "is still starting" if module else "is unknown"
            raise Unavailable(503 if module else 404, f"module {uid!r} {words}", 1.0)
        return module

    def _best(self, kind: type[Module]) -> Module | None:
        """The module of a type that answers soonest."""

        def effort(module: Module) -> tuple[int, int]:
            server = self._servers.get(module.uid)
            if server is not None and server.module is module:
                return (0 if server.is_ready else 1, server.requests)
            return (3 if module.is_resting else 2, 0)

        found = [
            module
            for module in self._roster.order
            if type(module) is kind and (module.held is None or module.is_resting)
        ]
        return min(found, key=effort, default=None)

    def _add(self, kind: type[Module]) -> Module:
        """A new module of a type; all who want one at the same time share it."""
        name = kind.TYPE_STRING
        adding = self._adding.get(name)
        if adding is None:
            # It goes on if the client leaves: others may wait for it by then.
            context = contextvars.copy_context()
            adding = self._adding[name] = gevent.spawn(context.run, self._try_to_add, kind)
        outcome = adding.get()
        self._adding.pop(name, None)
        if isinstance(outcome, Unavailable):
            raise outcome
        return self._find(outcome)

    def _try_to_add(self, kind: type[Module]) -> str | Unavailable:
        try:
            return self._items.add(kind, {}, None)
        except TooMany as full:
            return Unavailable(503, str(full), full.retry_after)
        except CommandError as refusal:
            return Unavailable(502, str(refusal))

    def _in_background(self, action: Callable[[], None]) -> None:
        def attempt() -> None:
            try:
                action()
            except CommandError as refusal:
                log.warning("%s", refusal)

        gevent.spawn(attempt)

    def _on_change(self, uid: str, _what: Change) -> None:
        server = self._servers.get(uid)
        if server is not None and not server.is_for_present_process:
            del self._servers[uid]
            server.close()
        module = self._roster.find(uid)
        if module is not None and uid not in self._servers and has_door(type(module)):
            has_process = module.has_process and module.state not in ENDED
            if has_process or module.state is State.PLAYING:
                rest = self._items.rest
                self._servers[uid] = ModuleServer(module, module.http, self._tell, rest)
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, Event()
        changed.set()
