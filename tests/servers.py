"""A pool or queue whose modules have web servers, all in memory: no process, no socket, no time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from fakes import Fake, FakeClock, FakeLauncher, open_with, run_until_idle
from lives import Lives
from memory_keeper import MemoryKeeper

from shmooze.broker.broker import Broker
from shmooze.modules import Module
from shmooze.modules.web_server import FromParameter, WebServer
from shmooze.pool import Pool
from shmooze.servers.demand import Demand
from shmooze.servers.line import Claim
from shmooze.servers.refusals import Unavailable
from shmooze.servers.server import ModuleServer

#: Seconds in which a probe comes.
SOON = 1.0


class A(Module):
    """A program that knows nothing of us, with a web server."""

    TYPE_STRING = "a"
    process = ("a", "{port}")
    adapter = "command"
    http = WebServer(ready="/health", ready_timeout=100.0)


class B(A):
    TYPE_STRING = "b"


class C(A):
    TYPE_STRING = "c"


class Idle(A):
    TYPE_STRING = "idle"
    http = WebServer(idle=10.0, not_activity=["^/metrics"])


class Few(A):
    TYPE_STRING = "few"
    http = WebServer(max_requests=1, max_wait=20.0)


class Alive(A):
    TYPE_STRING = "alive"
    http = WebServer(alive="/alive", alive_every=30.0)


class Again(A):
    TYPE_STRING = "again"
    restart = "on-failure"


class Talks(Fake):
    """One with streams, whose process goes on while it is suspended."""

    TYPE_STRING = "talks"
    http = WebServer()


class Reports(Fake):
    TYPE_STRING = "reports"
    http = WebServer(port=FromParameter("web_port"), ready_timeout=100.0)


KINDS = [A, B, C, Idle, Few, Alive, Again, Talks, Reports]


class Request:
    """A request of a client, in a greenlet of its own."""

    def __init__(self, wait: Callable[[], Claim]) -> None:
        self.claim: Claim | None = None
        self.refusal: Unavailable | None = None
        self._greenlet = gevent.spawn(self._run, wait)
        run_until_idle()

    def _run(self, wait: Callable[[], Claim]) -> None:
        try:
            self.claim = wait()
        except Unavailable as why:
            self.refusal = why

    @property
    def waits(self) -> bool:
        return not self._greenlet.ready()

    @property
    def is_under_way(self) -> bool:
        return self.claim is not None

    @property
    def module(self) -> Module:
        """Who answers it."""
        assert self.claim is not None, f"waits: {self.waits}, refused: {self.refusal}"
        return self.claim.server.module

    def leave(self) -> None:
        """Its client leaves while it waits."""
        self._greenlet.kill()
        run_until_idle()

    def leave_soon(self) -> None:
        """The same, once what is happening at present is over."""
        self._greenlet.kill(block=False)

    def end(self) -> None:
        """It is answered."""
        assert self.claim is not None
        self.claim.end()
        self.claim = None
        run_until_idle()


class Service(Lives):
    """A pool (or what `make` makes) in memory, with the requests to its modules."""

    def __init__(self, clock: FakeClock, make: Callable[[], Broker]) -> None:
        self.clock, self._make = clock, make
        self.keeper = MemoryKeeper()
        #: Whether web servers listen as soon as their processes run.
        self.are_quick = True
        #: Ports on which web servers answer, and on which nobody does in spite of that.
        self.answering: set[int] = set()
        self.deaf: set[int] = set()
        self.start()

    def start(self, max_modules: int | None = None) -> None:
        self.launcher = FakeLauncher()
        self.broker: Any = self._make()
        self.broker.items.keeper = self.keeper
        self.demand = Demand(self.broker)
        open_with(self.broker, self.launcher, max_modules)
        run_until_idle()

    def crash(self) -> None:
        super().crash()
        self.start()

    def probe(self, host: str, port: int, path: str | None, timeout: float) -> str | None:
        """Instead of a real one."""
        gevent.sleep(0)
        if port in self.deaf or not (self.are_quick or port in self.answering):
            return "it does not listen"
        return None

    def on(self, kind: type[Module], path: str = "/") -> Request:
        return Request(lambda: self.demand.on(kind, path))

    def at(self, uid: str, path: str = "/") -> Request:
        return Request(lambda: self.demand.at(uid, path))

    def ready(self, kind: type[Module]) -> Module:
        """A module of this type that answers and has no requests."""
        request = self.on(kind)
        self.clock.advance(SOON)
        module = request.module
        request.end()
        return module

    def load(self, module: Module) -> None:
        """The web server of a module is ready now."""
        assert module.port is not None
        self.answering.add(module.port)
        self.clock.advance(SOON)

    def add(self, kind: type[Module]) -> str:
        uid: str = self.broker.add(kind.TYPE_STRING)["uid"]
        run_until_idle()
        return uid

    def find(self, uid: str) -> Any:
        return self.broker.roster.find(uid)

    @property
    def shown(self) -> list[tuple[str, str, str | None]]:
        """Type, state and web server of each item."""
        roster = self.broker.show_roster()
        return [(each["type"], each["state"], each.get("web")) for each in roster]


@contextmanager
def served(
    clock: FakeClock, make: Callable[[], Broker] | None = None, slots: int | None = None
) -> Iterator[Service]:
    """A service with probes that ask nobody."""
    service = Service(clock, make or (lambda: Pool(KINDS, slots=slots)))
    before = ModuleServer.probe
    ModuleServer.probe = staticmethod(service.probe)
    try:
        yield service
        service.stop()
        assert service.launcher.living == []
    finally:
        ModuleServer.probe = before


def types_of(modules: Iterable[Module]) -> list[str]:
    return [module.TYPE_STRING for module in modules]
