"""Children that are started ahead, so that an `add` need not wait for a program to load.

They have connected and wait for `init`, before which a module does nothing. One greenlet keeps as
many of them as their types ask for: it starts what is missing one after the other, and only while
nothing else is starting.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.event import Event

from shmooze.errors import ShmoozeError
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module, fault_of

log = logging.getLogger(__name__)


class Standby:
    """Keeps `kind.standby` children ready of each of `kinds`.

    `make` gives a new module that its caller will look after until it has gone, and raises
    ShmoozeError where there may be no more; `is_busy` tells whether others are starting.
    """

    #: Seconds after which a child that waits is replaced by a fresh one.
    lifetime = 3600.0
    #: Seconds without news before one is started, which keeps the loop from others for a moment:
    #: the answer to the `add` that has taken the last one goes out first.
    calm = 0.05
    #: Seconds until the next attempt after one that failed, twice as long each time ...
    first_delay = 0.5
    #: ... up to this.
    longest_delay = 60.0

    def __init__(
        self,
        kinds: Iterable[type[Module]],
        make: Callable[[type[Module]], Module],
        is_busy: Callable[[], bool],
    ) -> None:
        self._ready: dict[type[Module], deque[tuple[float, Module]]] = {
            kind: deque() for kind in kinds if kind.standby
        }
        self._make, self._is_busy = make, is_busy
        #: The one that is about to be ready.
        self._coming: Module | None = None
        self._misses: Counter[type[Module]] = Counter()
        #: When the next attempt may be made of those that have failed, and the delay after it.
        self._later: dict[type[Module], tuple[float, float]] = {}
        self._news = Event()
        self._stopping = False

    def start(self) -> None:
        """Begin to keep them."""
        if self._ready:
            gevent.spawn(self._keep)

    def stop(self) -> None:
        """Start no more. Those that wait are their owner's to end."""
        self._stopping = True
        self._news.set()

    def look(self) -> None:
        """Something has changed: one may be missing, or others have stopped starting."""
        self._news.set()

    def has(self, kind: type[Module]) -> bool:
        """Whether one of this type can be taken now."""
        self._forget_the_dead()
        return bool(self._ready.get(kind))

    def take(self, kind: type[Module]) -> Module | None:
        """One of this type, which has connected and waits for `init`, if there is one."""
        if kind not in self._ready:
            return None
        self._news.set()
        if self.has(kind):
            return self._ready[kind].popleft()[1]
        self.count_miss(kind)
        return None

    def count_miss(self, kind: type[Module]) -> None:
        """Somebody wanted one of this type, and there was none that could be used."""
        self._misses[kind] += 1

    def give_way(self) -> bool:
        """End one, so that another module can be started in its place; whether there was one."""
        self._forget_the_dead()
        waiting = [module for ready in self._ready.values() for _, module in ready]
        for module in [self._coming, *waiting]:
            if module is not None and module.state is State.STARTING:
                module.cancel()
                return True
        return False

    def __contains__(self, module: Module) -> bool:
        ready = self._ready.get(type(module), ())
        return module is self._coming or any(module is each for _, each in ready)

    def show(self) -> dict[str, Any]:
        """{type: {"available", "wanted", "misses"}}; a miss is an `add` that found none."""
        self._forget_the_dead()
        return {
            kind.TYPE_STRING: {
                "available": len(ready),
                "wanted": kind.standby,
                "misses": self._misses[kind],
            }
            for kind, ready in self._ready.items()
        }

    def _keep(self) -> None:
        while not self._stopping:
            self._news.clear()
            self._retire_the_old()
            kind = None if self._is_busy() else self._missing()
            if kind is None:
                self._news.wait(self._until_something_is_due())
            elif not self._news.wait(self.calm):
                self._start_one(kind)

    def _missing(self) -> type[Module] | None:
        now = time.monotonic()
        self._forget_the_dead()
        for kind, ready in self._ready.items():
            if len(ready) < kind.standby and self._later.get(kind, (now, 0))[0] <= now:
                return kind
        return None

    def _start_one(self, kind: type[Module]) -> None:
        begun = time.monotonic()
        try:
            module = self._coming = self._make(kind)
            module.prepare()
        except ShmoozeError as bad:
            self._put_off(kind, begun, str(bad))
            return
        except (Exception, gevent.Timeout) as bug:  # a fault of the application's subclass
            log.exception("%s: `prepare` failed", kind.TYPE_STRING)
            if self._coming is not None:
                self._coming.condemn(fault_of("prepare", bug))
            self._put_off(kind, begun, "internal error")
            return
        finally:
            self._coming = None
        self._later.pop(kind, None)
        self._ready[kind].append((begun, module))

    def _put_off(self, kind: type[Module], begun: float, why: str) -> None:
        delay = self._later.get(kind, (0.0, self.first_delay))[1]
        self._later[kind] = begun + delay, min(2 * delay, self.longest_delay)
        log.warning("no %s on standby: %s; again in %g s", kind.TYPE_STRING, why, delay)

    def _forget_the_dead(self) -> None:
        for kind, ready in self._ready.items():
            alive = [each for each in ready if each[1].state is State.STARTING]
            self._ready[kind] = deque(alive)

    def _retire_the_old(self) -> None:
        for ready in self._ready.values():
            while ready and ready[0][0] < time.monotonic() - self.lifetime:
                ready.popleft()[1].cancel()

    def _until_something_is_due(self) -> float | None:
        times = [when for when, _ in self._later.values()]
        times += [ready[0][0] + self.lifetime for ready in self._ready.values() if ready]
        return max(0.01, min(times) - time.monotonic()) if times else None
