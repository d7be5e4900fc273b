"""Requests to modules under any order of events: nothing that loads or has requests is ended for
another or for idleness, every request gets something in time, and nothing is left behind.

No process is started, nobody listens, and no time passes; see servers.py.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import gevent
import machines
import pytest
from fakes import fake_clock, run_until_idle
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)
from lives import LONG
from servers import A, Again, B, Few, Idle, Request, Talks, served

from shmooze.broker.broker import Broker
from shmooze.errors import CommandError
from shmooze.modules import Module
from shmooze.pool import Pool
from shmooze.servers.server import ModuleServer

COMMANDS: list[type[Module]] = [A, B, Few, Idle, Again]
KINDS = [*COMMANDS, Talks]
#: Seconds in which every request has got something: it waits in line, then what it waits for loads.
IN_TIME = 60.0 + 100.0 + 20.0

seconds = st.sampled_from([0.1, 3.0, 11.0, 40.0])
paths = st.sampled_from(["/", "/", "/", "/metrics"])


class Interleavings(RuleBasedStateMachine):
    slots: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self._resources = ExitStack()
        self.clock = self._resources.enter_context(fake_clock())
        self.service = self._resources.enter_context(served(self.clock, self.make))
        self.service.are_quick = False
        #: Those that wait or are under way, and since when.
        self.requests: dict[Request, float] = {}
        self.paths: dict[Request, str] = {}
        self.added = 0
        self.errors: list[Any] = []
        hub = gevent.get_hub()
        self._resources.callback(setattr, hub, "handle_error", hub.handle_error)
        hub.handle_error = lambda *error: self.errors.append(error)
        leave = ModuleServer.leave
        self._resources.callback(setattr, ModuleServer, "leave", leave)
        ModuleServer.leave = lambda server, reason: self._leave(leave, server, reason)  # type: ignore[method-assign]

    def make(self) -> Broker:
        return Pool(KINDS, slots=self.slots)

    def _leave(self, leave: Any, server: ModuleServer, reason: str) -> None:
        busy = [
            request
            for request in self.requests
            if request.claim is not None
            and request.claim.server is server
            and not (self.paths[request] == "/metrics" and isinstance(server.module, Idle))
        ]
        if busy:  # a pass logs what is raised in it, and goes on
            self.errors.append(f"{server.module} has requests")
        if server.port not in self.service.answering:
            self.errors.append(f"{server.module} loads")
        leave(server, reason)

    @property
    def uids(self) -> list[str]:
        return [module.uid for module in self.service.broker.roster.order]

    def _in_background(self, function: Any, *args: Any) -> None:
        def attempt() -> None:
            try:
                function(*args)
            except CommandError:
                pass

        gevent.spawn(attempt)
        run_until_idle()

    # What clients do.

    @rule(kind=st.sampled_from(KINDS), path=paths)
    def request_to_a_type(self, kind: type[Module], path: str) -> None:
        self._note(self.service.on(kind, path), path)

    @precondition(lambda self: self.uids)
    @rule(data=st.data(), path=paths)
    def request_to_a_module(self, data: st.DataObject, path: str) -> None:
        self._note(self.service.at(data.draw(st.sampled_from(self.uids)), path), path)

    def _note(self, request: Request, path: str) -> None:
        self.requests[request], self.paths[request] = self.clock.seconds, path

    @precondition(lambda self: any(each.is_under_way for each in self.requests))
    @rule(data=st.data())
    def request_ends(self, data: st.DataObject) -> None:
        under_way = [each for each in self.requests if each.is_under_way]
        request = data.draw(st.sampled_from(under_way))
        request.end()
        del self.requests[request]

    @precondition(lambda self: any(each.waits for each in self.requests))
    @rule(data=st.data())
    def client_leaves(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from([each for each in self.requests if each.waits]))
        request.leave()
        del self.requests[request]

    @rule(kind=st.sampled_from(KINDS))
    def add(self, kind: type[Module]) -> None:
        self.added += 1
        self._in_background(self.service.broker.add, kind.TYPE_STRING)

    @precondition(lambda self: self.uids)
    @rule(data=st.data(), command=st.sampled_from(["rm", "hold", "release", "release"]))
    def command(self, data: st.DataObject, command: str) -> None:
        uid = data.draw(st.sampled_from(self.uids))
        self._in_background(getattr(self.service.broker, command), [uid])

    # What programs do.

    @precondition(lambda self: self._loading())
    @rule(data=st.data())
    def module_becomes_ready(self, data: st.DataObject) -> None:
        self.service.load(data.draw(st.sampled_from(self._loading())))

    def _loading(self) -> list[Module]:
        return [
            module
            for module in self.service.broker.roster.order
            if module.port is not None
            and module.has_process
            and module.port not in self.service.answering
        ]

    @precondition(lambda self: self.service.launcher.living)
    @rule(data=st.data(), status=st.sampled_from([0, 1]))
    def process_exits(self, data: st.DataObject, status: int) -> None:
        data.draw(st.sampled_from(self.service.launcher.living)).exit(status)
        run_until_idle()

    @precondition(lambda self: self.service.launcher.living)
    @rule(data=st.data())
    def process_will_take_its_time_to_end(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.service.launcher.living)).leaves_unread = True

    @rule(takes_time=st.booleans())
    def keeping_takes_its_time(self, takes_time: bool) -> None:
        (self.service.keeper.may_go_on.clear if takes_time else self.service.keeper.may_go_on.set)()
        run_until_idle()

    @rule(seconds=seconds)
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def service_crashes_and_comes_back(self) -> None:
        self.service.keeper.may_go_on.set()
        self.service.crash()
        self.requests.clear()

    # What always holds.

    @invariant()
    def no_greenlet_has_failed(self) -> None:
        assert self.errors == []

    @invariant()
    def as_many_programs_run_as_there_are_slots(self) -> None:
        if self.slots is not None:
            running = [
                process
                for process in self.service.launcher.living
                if not process.label.startswith("talks") and not process.is_suspended
            ]
            assert len(running) <= self.slots

    @invariant()
    def each_request_under_way_counts_once(self) -> None:
        for module in self.service.broker.roster.order:
            server = self.service.demand.servers.of(module)
            claims = [each.claim for each in self.requests if each.claim is not None]
            if server is not None:
                assert server.requests == sum(claim.server is server for claim in claims)
                most = None if module.http is None else module.http.max_requests
                assert most is None or server.requests <= most

    @invariant()
    def no_module_is_started_twice(self) -> None:
        """For requests to a type at most one is there that nobody has added."""
        for kind in KINDS:
            there = [each for each in self.service.broker.roster.order if type(each) is kind]
            assert len(there) <= self.added + 1

    @invariant()
    def every_request_gets_something_in_time(self) -> None:
        if self.service.keeper.may_go_on.is_set():
            for request, since in self.requests.items():
                assert not request.waits or self.clock.seconds - since < IN_TIME

    @invariant()
    def nothing_is_done_over_and_over(self) -> None:
        run_until_idle()
        version = self.service.broker.roster.version
        run_until_idle()
        assert self.service.broker.roster.version == version
        assert not self.service.demand._is_awake

    def teardown(self) -> None:
        try:
            self._come_to_rest()
        finally:
            self._resources.close()
        assert self.errors == []

    def _come_to_rest(self) -> None:
        """Once programs do what they should, everyone who waits is answered or refused."""
        self.service.keeper.may_go_on.set()
        for _ in range(60):
            for module in self._loading():
                assert module.port is not None
                self.service.answering.add(module.port)
            self.clock.advance(LONG / 10)
            for request in self.requests:
                if request.is_under_way:
                    request.end()
        assert not [request for request in self.requests if request.waits]
        demand = self.service.demand
        assert not demand._line.targets
        assert not demand._awaited
        assert not demand._starts.under_way


class WithoutSlots(Interleavings):
    pass


class WithOneSlot(Interleavings):
    slots = 1


class WithTwoSlots(Interleavings):
    slots = 2


@pytest.mark.parametrize("machine", [WithoutSlots, WithOneSlot, WithTwoSlots])
def test_requests_end_well_in_every_order_of_events(machine: type[Interleavings]) -> None:
    machines.run(machine, examples=30, steps=30)
