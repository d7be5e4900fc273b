"""The line of requests that wait for a module to answer them, and what each of them gets."""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Callable
from typing import NamedTuple

from gevent.event import AsyncResult

from shmooze.modules.module import Module
from shmooze.runtime import clock
from shmooze.servers.refusals import Unavailable
from shmooze.servers.server import ModuleServer

#: What requests wait for: a module, by its uid, or any module of a type.
Target = str | type[Module]

_numbers = itertools.count()


class Claim(NamedTuple):
    """A request that is under way at a server from now on, until `end` is called."""

    server: ModuleServer
    end: Callable[[], None]


class Waiting:
    """A request that waits. `kind` is the type of module that it wants, `path` that within it."""

    def __init__(self, target: Target, kind: type[Module], path: str) -> None:
        self.target, self.kind, self.path = target, kind, path
        self.since = clock.now()
        #: Its place in the order of all requests.
        self.number = next(_numbers)
        #: In which a module is added for it: the client's.
        self.context = contextvars.copy_context()
        self._outcome: AsyncResult[Claim | Unavailable] = AsyncResult()

    @property
    def seconds(self) -> float:
        """For how long it has been waiting."""
        return clock.now() - self.since

    def wait(self, seconds: float) -> bool:
        """Wait until it has got something, for at most so many seconds. Returns whether it has."""
        return clock.wait(self._outcome, seconds)

    def take(self) -> Claim:
        """What it has got. Raises Unavailable."""
        outcome = self._outcome.get()
        if isinstance(outcome, Unavailable):
            raise outcome
        return outcome

    def give_up(self) -> None:
        """Nobody wants it any more, whatever it has got."""
        if self._outcome.ready() and isinstance(outcome := self._outcome.get(), Claim):
            outcome.end()

    def settle(self, outcome: Claim | Unavailable) -> None:
        """Let it have this."""
        self._outcome.set(outcome)


class Line:
    """Requests in the order in which they came, by what they wait for."""

    def __init__(self) -> None:
        self._waiting: dict[Target, dict[Waiting, None]] = {}

    def __contains__(self, request: Waiting) -> bool:
        return request in self._waiting.get(request.target, ())

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits."""
        return not self._waiting

    @property
    def targets(self) -> list[Target]:
        """What is waited for, the oldest request first."""
        return sorted(self._waiting, key=lambda target: self.first(target).number)

    def first(self, target: Target) -> Waiting:
        """The request that has waited for longest."""
        return next(iter(self._waiting[target]))

    def all(self, target: Target) -> list[Waiting]:
        """All requests that wait for the same, the oldest one first."""
        return list(self._waiting.get(target, ()))

    def place(self, request: Waiting) -> int:
        """The place of a request among all."""
        everyone = itertools.chain.from_iterable(self._waiting.values())
        return 1 + sum(each.number < request.number for each in everyone)

    def add(self, request: Waiting) -> bool:
        """Let a request wait. Returns whether it is the first one for its target."""
        waiting = self._waiting.setdefault(request.target, {})
        waiting[request] = None
        return len(waiting) == 1

    def remove(self, request: Waiting) -> None:
        """Let it wait no longer. May be called twice."""
        if (waiting := self._waiting.get(request.target)) is not None:
            waiting.pop(request, None)
            if not waiting:
                del self._waiting[request.target]

    def grant(self, request: Waiting, server: ModuleServer) -> None:
        """Let a server answer a request, which counts there from now on."""
        self.remove(request)
        request.settle(Claim(server, server.begin(request.path)))

    def refuse(self, target: Target, why: Unavailable) -> None:
        """Let nobody answer those that wait for this."""
        for request in self.all(target):
            self.remove(request)
            request.settle(why)
