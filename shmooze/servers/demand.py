"""Which module answers a request: found, woken or started, and waited for.

Strategy. Requests wait in one line. Whenever something may have changed, one pass goes through it,
and never waits itself: it lets servers that are ready answer, then sees to it that the others come.
So two requests never start one module twice, and a request counts at its server from the moment
when it is let through.

Where not all can play, modules that are idle make room for one that is wanted. Nothing that loads
or has requests is ever ended for another. So that nobody waits for ever beside a busy module, that
one gets no new requests for a while once somebody has waited for long.

In a queue, nothing makes room: a request waits until its module's turn comes.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import gevent

from shmooze.broker.broker import Broker
from shmooze.broker.policy import Wanted
from shmooze.broker.roster import Place
from shmooze.modules.channel.adapters import has_door
from shmooze.modules.lifecycle import READY, State
from shmooze.modules.module import Module
from shmooze.modules.web_server import web_server_of
from shmooze.runtime import clock
from shmooze.servers.bystanders import Bystanders
from shmooze.servers.line import Claim, Line, Target, Waiting
from shmooze.servers.making_room import MakingRoom, Outlook
from shmooze.servers.refusals import Unavailable, unknown, why_gone
from shmooze.servers.server import ModuleServer
from shmooze.servers.servers import Servers
from shmooze.servers.starts import Starts

log = logging.getLogger(__name__)


class Demand:
    """The requests to the modules of one broker that are not answered yet."""

    #: Seconds after which requests to a busy module are held back for one that waits for its slot.
    patience = 5.0
    #: Seconds for which they are held back, and then for which they are not: a module with a
    #: connection that does not end never becomes idle.
    longest_drain = 60.0
    #: Seconds for which a request waits for a module that has no web server of its own.
    default_wait = 60.0
    #: Seconds between two looks at a line in which somebody waits for a slot.
    interval = 1.0

    def __init__(self, broker: Broker) -> None:
        self._broker, self._roster = broker, broker.roster
        self.servers = Servers(broker, self._wake)
        self._making_room = MakingRoom(broker, self.servers)
        self._line = Line()
        #: The modules on which those wait that are not answered yet.
        self._awaited: dict[Target, Module] = {}
        self._starts = Starts(broker, self._line, self._wake)
        #: The first of those for which no room could be made.
        self._without_room: Waiting | None = None
        self._bystanders = Bystanders(broker)
        self._is_ticking = False
        #: Whether a pass is about to begin, and whether somebody was waiting at the last one.
        self._is_awake = self._is_busy = False

    def at(self, uid: str, path: str = "/") -> Claim:
        """Let a module answer a request, when it can. Raises Unavailable."""
        module = self._roster.find(uid)
        if module is None:
            raise unknown(self._broker, uid)
        kind = type(module)
        if not has_door(kind):
            raise Unavailable(404, f"{kind.TYPE_STRING} {uid} has no web server")
        return self._wait(Waiting(uid, kind, path))

    def on(self, kind: type[Module], path: str = "/") -> Claim:
        """Let any module of a type answer a request, when one can; one is added if there is none.

        Raises Unavailable.
        """
        if not has_door(kind):
            raise Unavailable(404, f"modules of type {kind.TYPE_STRING!r} have no web server")
        return self._wait(Waiting(kind, kind, path))

    def _wait(self, request: Waiting) -> Claim:
        own = web_server_of(request.kind)
        longest = self.default_wait if own is None else own.max_wait
        try:
            if self._line.add(request):
                self._go_through()
            while not request.wait(max(0.0, longest - request.seconds) or self.interval):
                if request.seconds >= longest and not self._is_loading(request.target):
                    raise self._late(request)
            return request.take()
        except BaseException:
            request.give_up()
            raise
        finally:
            self._line.remove(request)
            self._wake()

    # One pass.

    def _wake(self) -> None:
        is_needed = self._is_busy or self._broker.takes_turns or not self._line.is_empty
        if is_needed and not self._is_awake:
            self._is_awake = True
            gevent.spawn_raw(self._go_through)

    def _go_through(self) -> None:
        self._is_awake, self._is_busy = False, not self._line.is_empty
        try:
            self._answer()
            self._bring_up()
        except Exception:  # a bug of ours: those who wait are refused when their time is over
            log.exception("internal error while dispatching requests to modules")

    def _answer(self) -> None:
        """Let servers answer what they can."""
        draining = self._draining()
        for target in self._line.targets:
            for request in self._line.all(target):
                try:
                    if not self._try_to_answer(request, draining):
                        break
                except Unavailable as why:
                    self._line.refuse(target, why)
                    break
        for target in self._awaited.keys() - {*self._line.targets}:
            del self._awaited[target]

    def _try_to_answer(self, request: Waiting, draining: Collection[ModuleServer]) -> bool:
        """Returns False if it has to wait, and so have those behind it. Raises Unavailable."""
        target = request.target
        module = self._find(target)
        server = self.servers.of(module)
        if module is None or server is None or not self.servers.can_answer(target, server):
            if self._is_activity(request) or (module is not None and module.state is State.PLAYING):
                return False
            words = "is not running, and requests to this path do not start it (`not_activity`)"
            self._line.remove(request)
            request.settle(Unavailable(503, f"{request.kind.TYPE_STRING} {words}", 1.0))
            return True
        if not server.has_room or (server in draining and self._gives_way(request)):
            return False
        self._line.grant(request, server)
        self._awaited.pop(target, None)
        return True

    def _bring_up(self) -> None:
        """See to it that what is still waited for comes, in this order, as far as there is room."""
        self._making_room.begin()
        wanted: list[Wanted] = []
        self._without_room = None
        items = self._bystanders.update() if self._broker.takes_turns else []
        patient = [item for item in items if item.seconds < self.patience]
        firsts = [self._line.first(target) for target in self._line.targets]
        impatient = [item for item in items if item not in patient]
        for request in sorted([*firsts, *impatient], key=lambda each: each.number):
            if request in self._bystanders:
                module = self._roster.find(str(request.target))
            elif self._needs_nothing(request, module := self._find(request.target)):
                continue
            needed: Wanted = request.kind if module is None else module
            wanted.append(needed)
            if self._has_room(request, needed) and request not in self._bystanders:
                self._starts.begin(request, module)
        for item in patient:
            if (module := self._roster.find(str(item.target))) is not None:
                self._has_room(item, module)
        self._broker.want(wanted)
        if self._without_room is not None and not self._is_ticking:
            self._is_ticking = True
            gevent.spawn(self._tick)

    def _needs_nothing(self, request: Waiting, module: Module | None) -> bool:
        """Whether what a request waits for comes by itself, or is about to end."""
        target = request.target
        if module is None:
            return self._is_ending(target)
        if isinstance(target, str) or not self._can_answer(target, module):
            self._awaited[target] = module
        return not self._needs_turn(target, module)

    def _has_room(self, request: Waiting, needed: Wanted) -> bool:
        """Whether what a request needs can play now. If not, see to it that others leave."""
        room = self._making_room.make_room(needed)
        if room is Outlook.NONE:
            self._without_room = self._without_room or request
        return room is Outlook.NOW

    def _tick(self) -> None:
        """Look again after a while: time alone may have changed something."""
        clock.sleep(self.interval)
        self._is_ticking = False
        self._wake()

    def _draining(self) -> Collection[ModuleServer]:
        """The servers that get no more requests, since what they have is needed by one that has
        waited for long: those that have the fewest.
        """
        first = self._without_room
        if first is None or first.seconds < self.patience:
            return ()
        if first not in self._line and first not in self._bystanders:
            return ()
        target = first.target
        found = self._roster.find(target) if isinstance(target, str) else self.servers.best(target)
        return self._making_room.find_to_drain(found or first.kind, self.longest_drain)

    def _gives_way(self, request: Waiting) -> bool:
        """Whether a request has come after the one for which a server is drained."""
        first = self._without_room
        return first is not None and request.number > first.number

    # What there is.

    def _find(self, target: Target) -> Module | None:
        """The module on which requests wait; None: it is about to come, or to be added.

        Raises Unavailable if it has ended, or is held by somebody.
        """
        if isinstance(target, str):
            module = self._roster.find(target)
        else:
            module = self.servers.best(target) or self._held(target)
        if module is None:
            awaited = self._awaited.get(target)
            if awaited is not None and awaited.state is State.GONE:
                raise why_gone(awaited)
            if awaited is None and isinstance(target, str):
                raise unknown(self._broker, target)
            return None
        if self._roster.place_of(module) is Place.ARRIVING:
            return None
        is_held = module.held is not None and not module.is_resting
        if is_held and not self._can_answer(target, module):
            words = f"{module.TYPE_STRING} {module.uid} is held: {module.held}"
            raise Unavailable(503, words, 1.0)
        return module

    def _held(self, kind: type[Module]) -> Module | None:
        """A module of a type that is held by somebody: so is the type, then."""
        name = kind.TYPE_STRING
        return next((each for each in self._roster.order if name == each.TYPE_STRING), None)

    def _needs_turn(self, target: Target, module: Module) -> bool:
        """Whether a module has to play, and does not yet. Otherwise it loads, or has as many
        requests as it may have.
        """
        goes_on = isinstance(target, str) and module.state in READY and module.runs
        return not (module.state is State.PLAYING or goes_on)

    def _can_answer(self, target: Target, module: Module) -> bool:
        return self.servers.can_answer(target, self.servers.of(module))

    def _is_ending(self, target: Target) -> bool:
        """Whether what was waited for is ending, so that it will soon be known why."""
        awaited = self._awaited.get(target)
        return awaited is not None and awaited.state is not State.GONE

    def _is_loading(self, target: Target) -> bool:
        """Whether what is wanted has begun to start, or has failed to: both have time limits of
        their own.
        """
        module = self._awaited.get(target)
        if module is None:
            return target in self._starts.under_way
        server = self.servers.of(module)
        is_ready = server is not None and server.is_ready
        plays = module.state is State.PLAYING and module.runs
        return module.state in (State.STARTING, State.ENDING) or (plays and not is_ready)

    def _is_activity(self, request: Waiting) -> bool:
        own = web_server_of(request.kind)
        return own is None or own.is_activity(request.path)

    def _late(self, request: Waiting) -> Unavailable:
        name, place = request.kind.TYPE_STRING, self._line.place(request)
        module = self._awaited.get(request.target) or self._find(request.target)
        server = self.servers.of(module)
        if server is not None and server.is_ready and not server.has_room:
            state = "has reached its limit of requests (`max_requests`)"
        elif module is not None and module.state in (State.STARTING, State.BACKOFF):
            state = "is starting"
        else:
            state = "is waiting for its turn"
        given_up = f"the request gave up after {request.seconds:.0f} s at place {place} in line"
        return Unavailable(503, f"{name} {state}; {given_up}", min(60.0, 1.0 + place))
