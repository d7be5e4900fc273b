"""The web server of one module: its port, whether it is ready, and the requests to it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent
from gevent.event import Event

from shmooze.errors import ModuleError
from shmooze.modules.lifecycle import ENDED, READY, State
from shmooze.modules.module import Module
from shmooze.modules.web_server import ANSWERS, LOADING, FromParameter, web_server_of
from shmooze.runtime import clock
from shmooze.servers.probes import probe
from shmooze.web.upstream import Upstream

log = logging.getLogger(__name__)


class ModuleServer:
    """Watches the web server of a module that has a process, and counts the requests to it.

    It may also be the door of an adapter, which is ready whenever its module is. `on_change` is
    called when there may be room for another request. `on_web` is called when clients are to be
    told something else about it. `rest` ends the process of a module that is idle.
    """

    #: Where modules listen.
    host = "127.0.0.1"
    #: Seconds between two looks at whether it is ready: at first, and at most.
    first_look, longest_look = 0.02, 0.5
    #: The same, as a part of the time that it has taken so far.
    look_after = 0.05
    #: Seconds that one probe may take.
    probe_timeout = 10.0
    #: Probes that may fail one after the other before it counts as dead.
    max_misses = 3
    #: Asks it whether it is ready, or alive; see probes.py.
    probe = staticmethod(probe)

    def __init__(
        self,
        module: Module,
        on_change: Callable[[], None],
        on_web: Callable[[Module], None],
        rest: Callable[[Module, str], None],
    ) -> None:
        self.module, self._own = module, web_server_of(module)
        self._on_change, self._on_web, self._rest = on_change, on_web, rest
        #: Whether it answers. Not while its process is stopped.
        self.is_ready = False
        #: Whether its process is being ended since nobody needs it.
        self.is_leaving = False
        #: Requests that are under way.
        self.requests = 0
        #: Those of them that keep it from being idle.
        self._activities = 0
        #: When the last of those has ended.
        self.last_activity = clock.now()
        #: Since when somebody has waited until it is idle; None: it was idle since then.
        self._draining_since: float | None = None
        #: The port on which it was ready last.
        self._ready_port: int | None = None
        self._upstream: Upstream | None = None
        self._wakeup = Event()
        #: The state of its module when it was looked at last.
        self._seen = module.state
        self._show(LOADING)
        self._watching = gevent.spawn(self._watch)

    @property
    def has_own(self) -> bool:
        """Whether its program is the server, and not its adapter."""
        return self._own is not None

    @property
    def port(self) -> int | None:
        """Where it listens; None: that is not known yet, or it is a door."""
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
    def is_idle(self) -> bool:
        """Whether nobody needs it at present: it is not loading, and has no requests."""
        return self.is_ready and not self._activities

    @property
    def has_room(self) -> bool:
        """Whether it may get another request."""
        most = None if self._own is None else self._own.max_requests
        return most is None or self.requests < most

    @property
    def upstream(self) -> Upstream:
        """Where its requests are passed on to."""
        assert self._own is not None and self._ready_port is not None
        if self._upstream is None or self._upstream.port != self._ready_port:
            self._close_upstream()
            self._upstream = Upstream(self.host, self._ready_port, self._own.timeout)
        return self._upstream

    def path_of(self, path: str) -> str:
        """A path as its program knows it."""
        assert self._own is not None
        return f"{self.module.web_path}{self.module.uid}{path}" if self._own.keep_path else path

    def look(self) -> None:
        """Its module or a parameter may have changed: see whether it is still ready."""
        if self.is_ready and not self._can_answer():
            self.is_ready = False
            self._show(LOADING if self.module.runs else None)
            self._wakeup.set()
        if self.module.state is not self._seen:
            self._seen = self.module.state
            self._wakeup.set()

    def may_drain(self, longest: float) -> bool:
        """Whether it gets no more requests now, so that it becomes idle: for `longest` seconds, and
        then not for as long.
        """
        if self._draining_since is None:
            self._draining_since = clock.now()
        return (clock.now() - self._draining_since) % (2 * longest) < longest

    def leave(self, reason: str) -> None:
        """End the process of its module, which nobody needs at present. Does not wait."""
        self.is_leaving, self.is_ready = True, False
        self._wakeup.set()
        gevent.spawn(self._rest, self.module, reason)

    def begin(self, path: str) -> Callable[[], None]:
        """A request to a path begins. Returns what is to be called when it has ended."""
        is_activity = self._own is None or self._own.is_activity(path)
        self.requests += 1
        self._activities += is_activity
        is_over = False

        def end() -> None:
            nonlocal is_over
            if is_over:
                return
            is_over = True
            self.requests -= 1
            self._activities -= is_activity
            if is_activity:
                self.last_activity = clock.now()
                self._wakeup.set()
            if not self._activities:
                self._draining_since = None
            self._on_change()

        return end

    def close(self) -> None:
        """Its module ends, or its process."""
        self.is_ready = False
        self._watching.kill(block=False)
        self._close_upstream()
        self._show(None)

    def _close_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.close()

    def _show(self, web: str | None) -> None:
        if self._own is not None and self.module.web != web:
            self.module.web = web
            self._on_web(self.module)

    def _can_answer(self) -> bool:
        return self.module.runs and (self._own is None or self.port == self._ready_port)

    def _watch(self) -> None:
        while self._wait_ready():
            self.is_ready, self.last_activity = True, clock.now()
            self._show(ANSWERS)
            self._on_change()
            self._watch_ready()

    def _wait_ready(self) -> bool:
        """Wait until it is ready. Returns False if it has ended, or is to end: it has failed if
        that takes too long.
        """
        timeout = None if self._own is None else self._own.ready_timeout
        waited, problem = 0.0, "it does not listen"
        while self.module.state not in ENDED and not self.is_leaving:
            begun = clock.now()
            self._wakeup.clear()
            if not self.module.runs:  # its process is about to be launched, or stopped
                is_suspended = self.module.state is State.SUSPENDED
                clock.wait(self._wakeup, None if is_suspended else self.first_look)
                waited = 0.0
                continue
            self._show(LOADING)
            found = self._problem()
            if found is None:
                return True
            problem = found or problem
            pause = max(self.first_look, self.look_after * waited)
            clock.wait(self._wakeup, min(self.longest_look, pause))
            waited += clock.now() - begun
            if timeout is not None and waited >= timeout and self.module.runs:
                words = f"was not ready within {timeout:g} s: {problem}"
                self.module.fail(ModuleError(words))
                return False
        return False

    def _problem(self) -> str | None:
        """Why it is not ready; None: it is. Empty if that says nothing."""
        if self._own is None:
            return None if self.module.state in READY else ""
        port = self.port
        if port is None:
            source = self._own.port
            if not isinstance(source, FromParameter):
                return ""
            return f"it has not reported a port in the parameter {source.name!r}"
        problem = self._probe(port, self._own.ready)
        if problem is None and self.port == port:
            self._ready_port = port
        return "its port has changed" if problem is None and self.port != port else problem

    def _probe(self, port: int, path: str | None) -> str | None:
        known = None if path is None else self.path_of(path)
        problem = self.probe(self.host, port, known, self.probe_timeout)
        if problem is None and not self.module.listens(port):
            return f"its port {port} belongs to another process"
        return problem

    def _watch_ready(self) -> None:
        """Return when it is not ready any more. Ends it if it is idle, fails it if it is dead."""
        own = self._own
        misses, next_probe = 0, clock.now() + (own.alive_every if own is not None else 0.0)
        while self.is_ready and self.module.state not in ENDED:
            self._wakeup.clear()
            seconds = self._seconds_left()
            if own is not None and seconds is not None and seconds <= 0:
                self.leave(f"was idle for {own.idle:g} s")
                return
            is_probed = own is not None and own.alive is not None
            waits = [next_probe - clock.now()] if is_probed else []
            waits += [] if seconds is None else [seconds]
            if clock.wait(self._wakeup, max(0.0, min(waits)) if waits else None):
                continue
            if is_probed and clock.now() >= next_probe and self.is_ready:
                assert own is not None
                misses = self._next_misses(own.alive, misses)
                next_probe = clock.now() + own.alive_every

    def _next_misses(self, path: str | None, misses: int) -> int:
        """Probe whether it is alive. Returns the number of probes that have failed in a row."""
        assert self._ready_port is not None
        problem = self._probe(self._ready_port, path)
        if problem is None or not self.is_ready:
            return 0
        log.warning("%r: %s", self.module, problem)
        if misses + 1 >= self.max_misses:
            words = f"failed {self.max_misses} liveness checks in a row: {problem}"
            self.module.fail(ModuleError(words))
        return misses + 1

    def _seconds_left(self) -> float | None:
        """Seconds until it has been idle for too long; None: it is not idle."""
        if self._own is None or self._own.idle is None or self._activities:
            return None
        return self.last_activity + self._own.idle - clock.now()
