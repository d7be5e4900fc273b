"""The web server of one module: its port, whether it is ready, and the requests to it."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable

import gevent
from gevent.event import AsyncResult, Event

from shmooze.errors import ModuleError
from shmooze.modules.lifecycle import ENDED, READY, State
from shmooze.modules.module import Module
from shmooze.modules.web_server import FromParameter, WebServer
from shmooze.runtime import clock
from shmooze.servers.probes import probe
from shmooze.web.upstream import Upstream

log = logging.getLogger(__name__)


class ModuleServer:
    """Watches the web server of a module that has a process.

    `on_change` is called when it has become ready, when it has one request less, and when it has
    ended. `rest` ends the process of a module that is idle.
    """

    #: Where modules listen.
    host = "127.0.0.1"
    #: Seconds between two looks at whether it is ready: at first, and at most.
    first_look, longest_look = 0.02, 0.5
    #: Seconds that one probe may take.
    probe_timeout = 10.0
    #: Probes that may fail one after the other before it counts as dead.
    max_misses = 3

    def __init__(
        self,
        module: Module,
        own: WebServer | None,
        on_change: Callable[[], None],
        rest: Callable[[Module, str], None],
    ) -> None:
        self.module, self._own = module, own
        self._on_change, self._rest = on_change, rest
        self.is_ready = False
        #: Requests that are under way; `activities` without those that are no activity.
        self.requests = self._activities = 0
        self.last_activity = clock.now()
        #: Those who wait until there are fewer requests, the first one first.
        self._line: deque[AsyncResult[None]] = deque()
        self._not_activity = [re.compile(each) for each in own.not_activity] if own else []
        self._upstream: Upstream | None = None
        self._wakeup = Event()
        #: Whether its process is being ended since nobody needs it.
        self.is_leaving = False
        self._watching = gevent.spawn(self._watch)

    @property
    def port(self) -> int | None:
        """Where it listens; None: that is not known yet, or it has no server of its own."""
        if self._own is None:
            return None
        if not isinstance(self._own.port, FromParameter):
            return self.module.port
        value = self.module.parameters.get(self._own.port.name)
        is_port = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536
        return value if is_port else None

    @property
    def is_for_present_process(self) -> bool:
        """Whether its module has not ended, nor the process that it is about."""
        module = self.module
        is_suspended = module.state is State.SUSPENDED and not module.has_process
        return module.state not in ENDED and not is_suspended

    @property
    def is_busy(self) -> bool:
        """Whether it loads, or has requests."""
        return not self.is_ready or self._activities > 0 or bool(self._line)

    @property
    def upstream(self) -> Upstream:
        """Where its requests are passed on to."""
        assert self._own is not None and self.port is not None
        if self._upstream is None or self._upstream.port != self.port:
            self._upstream = Upstream(self.host, self.port, self._own.timeout)
        return self._upstream

    def leave(self, reason: str) -> None:
        """End the process of its module, which nobody needs at present. Does not wait."""
        self.is_leaving, self.is_ready = True, False
        gevent.spawn(self._rest, self.module, reason)

    def begin(self, path: str) -> Callable[[], None]:
        """A request to a path begins. Returns what is to be called when it has ended."""
        is_activity = not any(each.search(path) for each in self._not_activity)
        self.requests += 1
        self._activities += is_activity
        is_over = False

        def end() -> None:
            nonlocal is_over
            if is_over:
                return
            is_over = True
            self.requests -= 1
            if is_activity:
                self._activities -= 1
                self.last_activity = clock.now()
            if self._line:
                self._line.popleft().set(None)
            self._wakeup.set()
            self._on_change()

        return end

    def wait_in_line(self) -> int | None:
        """Wait until there may be another request. Returns None then, or after a while the place
        in line.
        """
        assert self._own is not None
        most = self._own.max_requests
        if most is None or (self.requests < most and not self._line):
            return None
        turn: AsyncResult[None] = AsyncResult()
        self._line.append(turn)
        try:
            if clock.wait(turn, self._own.max_wait) and self.module.state in READY:
                return None
            return self._line.index(turn) + 1 if turn in self._line else 1
        finally:
            if turn in self._line:
                self._line.remove(turn)

    def close(self) -> None:
        """Its module ends."""
        self.is_ready = False
        self._watching.kill(block=False)
        for turn in self._line:
            turn.set(None)
        if self._upstream is not None:
            self._upstream.close()
        self._on_change()

    def _watch(self) -> None:
        if not self._wait_ready():
            return
        self.is_ready, self.last_activity = True, clock.now()
        self._on_change()
        own = self._own
        if own is None:
            return
        misses, next_probe = 0, clock.now() + own.alive_every
        while self.module.state not in ENDED:
            if (seconds := self._seconds_left()) is not None and seconds <= 0:
                assert own.idle is not None
                self.leave(f"was idle for {own.idle:g} s")
                return
            until_probe = None if own.alive is None else next_probe - clock.now()
            waits = [each for each in (seconds, until_probe) if each is not None]
            self._wakeup.clear()
            if clock.wait(self._wakeup, max(0.0, min(waits)) if waits else None):
                continue
            if own.alive is None or clock.now() < next_probe:
                continue
            next_probe = clock.now() + own.alive_every
            if self._runs():
                misses = self._next_misses(own.alive, misses)

    def _next_misses(self, path: str, misses: int) -> int:
        """Probe whether it is alive. Returns the number of probes that have failed in a row."""
        assert self.port is not None
        problem = probe(self.host, self.port, path, self.probe_timeout)
        if problem is None:
            return 0
        log.warning("%r: %s", self.module, problem)
        if misses + 1 >= self.max_misses:
            times = f"{self.max_misses} times in a row"
            self.module.fail(ModuleError(f"was not alive {times}: {problem}"))
        return misses + 1

    def _seconds_left(self) -> float | None:
        """Seconds until it has been idle for too long; None: it is not idle."""
        if self._own is None or self._own.idle is None or self._activities:
            return None
        return self.last_activity + self._own.idle - clock.now()

    def _runs(self) -> bool:
        """Whether it has a process, which is not stopped."""
        is_stopped = self.module.adapter is not None and self.module.state is State.SUSPENDED
        return self.module.has_process and not is_stopped

    def _wait_ready(self) -> bool:
        """Wait until it is ready. Fails its module if that takes too long, and returns False."""
        if self._own is None:
            return True
        deadline, pause, problem = clock.now() + self._own.ready_timeout, self.first_look, ""
        while self.module.state not in ENDED:
            if not self._runs():
                deadline = clock.now() + self._own.ready_timeout
            elif self.port is not None:
                problem = probe(self.host, self.port, self._own.ready, self.probe_timeout) or ""
                if not problem:
                    return True
            elif isinstance(self._own.port, FromParameter):
                problem = f"it has not set the parameter {self._own.port.name!r} to a port"
            if clock.now() >= deadline:
                seconds = f"{self._own.ready_timeout:g} s"
                self.module.fail(ModuleError(f"was not ready within {seconds}: {problem}"))
                return False
            clock.sleep(pause)
            pause = min(self.longest_look, pause * 1.5)
        return False
