"""Requests to the web servers of modules: who answers them, who is started and ended for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from fakes import FakeClock, run_until_idle
from lives import LONG
from servers import SOON, A, Again, Alive, B, C, Few, Idle, Reports, Service, Talks, served
from support import PATIENCE

from shmooze.client.state import apply
from shmooze.queue import Queue
from shmooze.servers.line import Line
from shmooze.servers.refusals import find_reason


@pytest.fixture
def pool(clock: FakeClock) -> Iterator[Service]:
    with served(clock) as service:
        yield service


@pytest.fixture
def slot(clock: FakeClock) -> Iterator[Service]:
    """A pool with one slot."""
    with served(clock, slots=1) as service:
        yield service


# One module.


def test_first_request_starts_a_module_and_all_are_answered_when_it_is_ready(
    pool: Service,
) -> None:
    pool.are_quick = False
    requests = [pool.on(A) for _ in range(3)]
    pool.clock.advance(50)
    assert [request.waits for request in requests] == [True] * 3
    assert pool.shown == [("a", "playing", "loading")]
    pool.load(pool.broker.roster.order[0])
    assert [request.is_under_way for request in requests] == [True] * 3
    assert pool.shown == [("a", "playing", "ready")]
    assert len(pool.launcher.processes) == 1
    assert pool.on(A).is_under_way


def test_others_are_answered_although_the_client_that_caused_the_start_has_left(
    pool: Service,
) -> None:
    pool.launcher.may_go_on.clear()
    first, second = pool.on(A), pool.on(A)
    first.leave()
    pool.launcher.may_go_on.set()
    pool.clock.advance(SOON)
    assert second.is_under_way
    assert len(pool.launcher.processes) == 1


def test_module_that_was_started_for_a_client_that_left_is_started_again_after_its_end(
    pool: Service,
) -> None:
    pool.launcher.may_go_on.clear()
    pool.on(A).leave()
    pool.launcher.may_go_on.set()
    pool.clock.advance(SOON)
    pool.launcher.processes[0].exit(1)
    pool.clock.advance(LONG)
    request = pool.on(A)
    pool.clock.advance(SOON)
    assert request.is_under_way


def test_request_waits_for_a_module_that_a_client_is_adding(pool: Service) -> None:
    pool.keeper.may_go_on.clear()
    adding = gevent.spawn(pool.broker.add, "a")
    run_until_idle()
    request = pool.on(A)
    pool.keeper.may_go_on.set()
    pool.clock.advance(SOON)
    assert request.module.uid == adding.get()["uid"]
    assert len(pool.launcher.processes) == 1


def test_request_that_is_given_up_just_when_it_is_let_through_does_not_count(
    pool: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.are_quick = False
    request = pool.on(A)
    grant = Line.grant

    def leave_and_grant(*args: Any) -> None:
        request.leave_soon()
        grant(*args)

    monkeypatch.setattr(Line, "grant", leave_and_grant)
    module = pool.broker.roster.order[0]
    pool.load(module)
    server = pool.demand.servers.of(module)
    assert server is not None
    assert (server.is_ready, request.claim, server.requests) == (True, None, 0)


def test_module_is_released_once_however_often_it_is_looked_at_meanwhile(pool: Service) -> None:
    module = pool.ready(Idle)
    pool.clock.advance(11)
    pool.keeper.may_go_on.clear()
    request = pool.on(Idle)
    for _ in range(3):
        pool.on(A).leave()
    pool.keeper.may_go_on.set()
    pool.clock.advance(SOON)
    assert request.is_under_way
    assert pool.keeper.asked.count(f"held {module.uid}") == 2  # as it went to rest, and now


def test_module_that_fails_to_start_is_told_to_all_who_wait_and_started_once(
    pool: Service,
) -> None:
    pool.are_quick = False
    requests = [pool.on(A), pool.on(A)]
    pool.launcher.processes[0].errors.append("no such model")
    pool.launcher.processes[0].exit(3)
    pool.clock.advance(LONG)
    for request in requests:
        assert request.refusal is not None
        assert request.refusal.status == 502
        assert str(request.refusal) == "a exited with status 3; last output: no such model"
    assert len(pool.launcher.processes) == 1


def test_module_that_is_not_ready_in_time_has_failed(pool: Service) -> None:
    pool.are_quick = False
    request = pool.on(A)
    pool.clock.advance(99)
    assert request.waits
    pool.clock.advance(2 + LONG)
    assert str(request.refusal) == "a was not ready within 100 s: it does not listen"
    assert pool.launcher.living == []


def test_program_that_cannot_be_launched_is_told_in_one_line(pool: Service) -> None:
    pool.launcher.fault = "no such program"
    request = pool.on(A)
    pool.clock.advance(LONG)
    assert request.refusal is not None
    assert request.refusal.status == 502
    assert "cannot be started: no such program" in str(request.refusal)


def test_module_that_refuses_to_start_without_args_is_told_in_one_line(pool: Service) -> None:
    obedient = pool.launcher._on_launch
    pool.launcher._on_launch = lambda process: setattr(process, "is_obedient", False)
    request = pool.on(Talks)
    process = pool.launcher.processes[0]
    process.connect()
    run_until_idle()
    process.answer(success=False)
    pool.clock.advance(LONG)
    pool.launcher._on_launch = obedient
    assert request.refusal is not None
    assert request.refusal.status == 502
    assert str(request.refusal).startswith("a request could not start talks: ")
    assert "no init" in str(request.refusal)


def test_limit_of_modules_is_told_with_when_to_try_again(clock: FakeClock) -> None:
    with served(clock) as service:
        service.stop()
        service.start(max_modules=1)
        service.ready(A)
        request = service.on(B)
        run_until_idle()
        assert request.refusal is not None
        assert (request.refusal.status, request.refusal.retry_after) == (503, 1)


def test_restarted_module_answers_what_has_waited_meanwhile(pool: Service) -> None:
    pool.are_quick = False
    request = pool.on(Again)
    pool.launcher.processes[0].exit(1)
    pool.are_quick = True
    pool.clock.advance(LONG)
    assert request.is_under_way
    assert len(pool.launcher.processes) == 2


def test_module_that_ends_while_requests_wait_in_its_line_is_replaced(pool: Service) -> None:
    first, second = pool.on(Few), pool.on(Few)
    pool.clock.advance(SOON)
    assert (first.is_under_way, second.waits) == (True, True)
    pool.launcher.processes[0].exit(1)
    pool.clock.advance(SOON)
    first.end()
    pool.clock.advance(SOON)
    assert second.is_under_way
    assert len(pool.launcher.processes) == 2


def test_removed_module_is_told_to_those_who_wait_for_it(pool: Service) -> None:
    pool.are_quick = False
    uid = pool.add(A)
    request = pool.at(uid)
    gevent.spawn(pool.broker.rm, [uid])
    pool.clock.advance(LONG)
    assert request.refusal is not None
    assert (request.refusal.status, str(request.refusal)) == (502, "a was removed")
    later = pool.at(uid)
    assert later.refusal is not None
    assert str(later.refusal) == f"a {uid} was removed"
    unknown = pool.at("no-uid").refusal
    assert unknown is not None
    assert unknown.status == 404


def test_service_that_stops_refuses_those_who_wait(clock: FakeClock) -> None:
    with served(clock) as service:
        service.are_quick = False
        loading, busy = service.on(A), service.on(Few)
        service.load(service.broker.roster.order[1])
        in_line = service.on(Few)
        service.stop()
        for request in (loading, in_line):
            assert request.refusal is not None
            assert (request.refusal.status, request.refusal.retry_after) == (503, 1.0)
        busy.end()
        assert len(service.launcher.processes) == 2
        refusal = service.on(B).refusal
        assert refusal is not None
        assert refusal.status == 503


# Held, suspended, restarted.


def test_held_module_gets_no_requests_and_no_other_one_is_started_for_it(pool: Service) -> None:
    module = pool.ready(A)
    pool.broker.hold([module.uid])
    for request in (pool.at(module.uid), pool.on(A)):
        assert request.refusal is not None
        assert request.refusal.status == 503
        assert str(request.refusal) == f"a {module.uid} is held: held by a client"
    pool.broker.release([module.uid])
    request = pool.on(A)
    pool.clock.advance(SOON)
    assert request.is_under_way
    assert len(pool.launcher.processes) == 1


def test_module_whose_process_goes_on_while_it_is_held_still_shows_its_page(
    pool: Service,
) -> None:
    module = pool.ready(Talks)
    pool.broker.hold([module.uid])
    assert pool.at(module.uid).is_under_way
    assert pool.on(Talks).refusal is not None


def test_module_that_is_held_while_it_loads_may_take_its_time_when_it_is_released(
    pool: Service,
) -> None:
    pool.are_quick = False
    uid = pool.add(A)
    pool.clock.advance(90)
    pool.broker.hold([uid])
    pool.clock.advance(1000)
    pool.broker.release([uid])
    request = pool.at(uid)
    pool.clock.advance(90)
    assert request.waits
    pool.load(pool.find(uid))
    assert request.is_under_way


# Idle.


def test_idle_module_rests_and_the_next_request_starts_it(pool: Service) -> None:
    module = pool.ready(Idle)
    pool.clock.advance(9)
    assert pool.shown == [("idle", "playing", "ready")]
    pool.clock.advance(2)
    assert pool.shown == [("idle", "held", "resting")]
    assert pool.launcher.living == []
    request = pool.on(Idle)
    pool.clock.advance(SOON)
    assert request.module.uid == module.uid


def test_module_is_not_idle_while_a_request_is_under_way(pool: Service) -> None:
    pool.ready(Idle)
    pool.clock.advance(9)
    request = pool.on(Idle)
    pool.clock.advance(1000)
    assert pool.shown == [("idle", "playing", "ready")]
    request.end()
    pool.clock.advance(9)
    assert pool.shown == [("idle", "playing", "ready")]
    pool.clock.advance(2)
    assert pool.shown == [("idle", "held", "resting")]


def test_paths_that_are_no_activity_neither_keep_a_module_nor_start_one(pool: Service) -> None:
    assert pool.on(Idle, "/metrics").refusal is not None
    assert pool.launcher.processes == []
    module = pool.ready(Idle)
    request = pool.at(module.uid, "/metrics")
    assert request.is_under_way
    pool.clock.advance(11)
    assert pool.shown == [("idle", "held", "resting")]
    request.end()
    refusal = pool.at(module.uid, "/metrics").refusal
    assert refusal is not None
    assert refusal.status == 503
    assert pool.shown == [("idle", "held", "resting")]


def test_request_for_a_module_that_goes_to_rest_starts_it_when_its_process_has_gone(
    pool: Service,
) -> None:
    pool.ready(Idle)
    pool.launcher.processes[0].leaves_unread = True
    pool.clock.advance(10.1)
    request = pool.on(Idle)
    assert request.waits
    assert len(pool.launcher.processes) == 1
    pool.clock.advance(LONG)
    assert request.is_under_way
    assert pool.launcher.processes[0].exit_status is not None


def test_resting_item_still_rests_after_a_restart_of_the_service(pool: Service) -> None:
    module = pool.ready(Idle)
    pool.clock.advance(11)
    pool.crash()
    pool.clock.advance(LONG)
    assert pool.shown == [("idle", "held", "resting")]
    assert pool.launcher.processes == []
    request = pool.at(module.uid)
    pool.clock.advance(SOON)
    assert request.is_under_way


def test_item_that_a_client_holds_while_it_rests_is_not_started_by_requests(
    pool: Service,
) -> None:
    module = pool.ready(Idle)
    pool.clock.advance(11)
    told: list[str] = []
    pool.broker.roster.listen(lambda uid, what: told.append(uid))
    pool.broker.hold([module.uid])
    assert told
    assert pool.shown == [("idle", "held", None)]
    assert pool.on(Idle).refusal is not None
    pool.clock.advance(LONG)
    assert pool.launcher.living == []


def test_module_whose_program_is_stopped_says_nothing_because_of_that(pool: Service) -> None:
    module = pool.ready(A)
    assert find_reason(module, has_gone=False) == ""
    pool.broker.hold([module.uid])
    assert find_reason(module, has_gone=False) == "is held by a client"


def test_release_that_cannot_be_kept_is_told(pool: Service) -> None:
    pool.ready(Idle)
    pool.clock.advance(11)
    pool.keeper.fault = "the disk is full"
    request = pool.on(Idle)
    pool.clock.advance(SOON)
    assert str(request.refusal) == "a request could not start idle: the disk is full"
    pool.keeper.fault = ""


# Slots.


def test_idle_module_makes_room_and_the_next_one_starts_when_its_process_has_gone(
    slot: Service,
) -> None:
    first = slot.ready(A)
    slot.launcher.processes[0].leaves_unread = True
    request = slot.on(B)
    slot.clock.advance(1)
    assert slot.launcher.processes[0].exit_status is None
    assert len(slot.launcher.processes) == 1
    slot.clock.advance(LONG)
    assert request.module.TYPE_STRING == "b"
    assert slot.shown == [("a", "held", "resting"), ("b", "playing", "ready")]
    assert slot.broker.show_roster()[0]["held"] == "made room for b; the next request starts it"
    request.end()
    request = slot.at(first.uid)
    slot.clock.advance(LONG)
    assert request.module.uid == first.uid


def test_nothing_that_loads_or_has_requests_is_ended_for_another(slot: Service) -> None:
    slot.are_quick = False
    loading, other = slot.on(A), slot.on(B)
    slot.clock.advance(50)
    assert slot.shown == [("a", "playing", "loading")]
    slot.load(slot.broker.roster.order[0])
    assert (loading.is_under_way, other.waits) == (True, True)
    slot.clock.advance(5)
    assert slot.shown == [("a", "playing", "ready")]
    slot.are_quick = True
    loading.end()
    slot.clock.advance(LONG)
    assert other.is_under_way


def test_all_who_wait_for_a_module_are_answered_by_one_start(slot: Service) -> None:
    slot.ready(A)
    requests = [slot.on(kind) for kind in (B, C, B, C, B)]
    slot.clock.advance(LONG)
    assert [request.is_under_way for request in requests] == [True, False, True, False, True]
    for request in requests[::2]:
        request.end()
    slot.clock.advance(LONG)
    assert [request.is_under_way for request in requests[1::2]] == [True, True]
    assert len(slot.launcher.processes) == 3


def test_busy_module_gets_no_more_requests_once_another_was_waited_for_for_long(
    slot: Service,
) -> None:
    slot.ready(A)
    first = slot.on(A)
    other = slot.on(B)
    second = slot.on(A)
    assert (first.is_under_way, second.is_under_way) == (True, True)
    slot.clock.advance(6)
    third = slot.on(A)
    assert third.waits
    first.end()
    second.end()
    slot.clock.advance(LONG)
    assert (other.is_under_way, third.waits) == (True, True)
    other.end()
    slot.clock.advance(LONG)
    assert third.is_under_way


def test_connection_that_does_not_end_keeps_others_out_only_for_a_while(slot: Service) -> None:
    slot.ready(A)
    endless = slot.on(A)
    others = [slot.on(B)]
    slot.clock.advance(6)
    held_back = slot.on(A)
    for _ in range(12):
        slot.clock.advance(5)
        others.append(slot.on(B))
    assert held_back.is_under_way
    assert endless.is_under_way
    refusal = others[0].refusal
    assert refusal is not None
    assert refusal.status == 503
    assert (
        str(refusal)
        == "b is waiting for its turn; the request gave up after 60 s at place 1 in line"
    )
    endless.end()
    held_back.end()
    slot.clock.advance(LONG)
    assert others[-1].is_under_way


def test_with_two_slots_the_one_that_was_idle_for_longer_makes_room(clock: FakeClock) -> None:
    with served(clock, slots=2) as service:
        service.ready(A)
        service.ready(B)
        service.ready(A)
        request = service.on(C)
        service.clock.advance(LONG)
        assert request.is_under_way
        assert service.shown[:2] == [("a", "playing", "ready"), ("b", "held", "resting")]


def test_two_that_need_slots_end_two_that_are_idle(clock: FakeClock) -> None:
    with served(clock, slots=2) as service:
        service.ready(A)
        service.ready(B)
        requests = [service.on(C), service.on(Idle)]
        service.clock.advance(SOON)
        assert [request.is_under_way for request in requests] == [True, True]
        assert len(service.launcher.living) == 2


def test_wanted_module_gets_the_slot_before_one_that_was_only_added(slot: Service) -> None:
    slot.ready(A)
    slot.add(B)
    wanted = slot.on(C)
    slot.clock.advance(LONG)
    assert wanted.module.TYPE_STRING == "c"
    assert len(slot.launcher.processes) == 2
    resting = slot.on(A)
    wanted.end()
    slot.clock.advance(LONG)
    assert resting.is_under_way
    assert ("b", "suspended", None) in slot.shown


def test_client_that_leaves_while_it_waits_for_a_slot_leaves_nothing_behind(
    slot: Service,
) -> None:
    slot.ready(A)
    busy, other = slot.on(A), slot.on(B)
    other.leave()
    busy.end()
    slot.clock.advance(LONG)
    assert slot.shown == [("a", "playing", "ready")]


# Lines at one module.


def test_requests_beyond_the_limit_wait_in_line_and_are_told_their_place(pool: Service) -> None:
    pool.ready(Few)
    first, second, third = (pool.on(Few) for _ in range(3))
    assert (first.is_under_way, second.waits, third.waits) == (True, True, True)
    first.end()
    assert (second.is_under_way, third.waits) == (True, True)
    fourth = pool.on(Few)
    pool.clock.advance(21)
    for place, request in enumerate((third, fourth), start=1):
        refusal = request.refusal
        assert refusal is not None
        assert (refusal.status, refusal.retry_after) in ((503, 2.0), (503, 3.0)), place
        assert "(`max_requests`); the request gave up after 20 s at place" in str(refusal)
    second.end()
    assert pool.on(Few).is_under_way


# Alive, ports.


def test_module_that_is_not_alive_three_times_has_failed(pool: Service) -> None:
    module = pool.ready(Alive)
    pool.clock.advance(60)
    pool.deaf.add(module.port)
    pool.clock.advance(61)
    assert pool.shown == [("alive", "playing", "ready")]
    pool.deaf.clear()
    pool.clock.advance(31)
    pool.deaf.add(module.port)
    pool.clock.advance(91 + LONG)
    assert pool.shown == []
    reason = pool.broker.gone()[-1]["reason"]
    assert reason == "failed 3 liveness checks in a row: it does not listen"


def test_port_of_another_process_is_not_taken_for_the_module(pool: Service) -> None:
    pool.are_quick = False
    request = pool.on(A)
    port = pool.broker.roster.order[0].port
    pool.launcher.processes[0].foreign_ports.add(port)
    pool.answering.add(port)
    pool.clock.advance(101 + LONG)
    words = f"its port {port} belongs to another process"
    assert str(request.refusal) == f"a was not ready within 100 s: {words}"


def test_port_from_a_parameter_is_probed_again_when_it_changes(pool: Service) -> None:
    request = pool.on(Reports)
    pool.clock.advance(SOON)
    assert request.waits
    process = pool.launcher.processes[0]
    process.update("set_parameters", parameters={"web_port": 4000})
    pool.clock.advance(SOON)
    assert request.is_under_way
    assert pool.demand.servers.of(request.module).upstream.port == 4000
    process.foreign_ports.add(22)
    process.update("set_parameters", parameters={"web_port": 22})
    run_until_idle()
    later = pool.on(Reports)
    assert later.waits
    process.update("set_parameters", parameters={"web_port": 4001})
    pool.clock.advance(SOON)
    assert later.is_under_way
    assert pool.demand.servers.of(later.module).upstream.port == 4001


def test_port_that_is_never_reported_is_told(pool: Service) -> None:
    request = pool.on(Reports)
    pool.launcher.processes[0].update("set_parameters", parameters={"web_port": "none"})
    pool.clock.advance(101 + LONG)
    words = "it has not reported a port in the parameter 'web_port'"
    assert str(request.refusal) == f"reports was not ready within 100 s: {words}"


# A queue.


def test_in_a_queue_a_request_waits_until_the_turn_of_its_module_comes(clock: FakeClock) -> None:
    with served(clock, lambda: Queue([A, B, C])) as service:
        first = service.ready(A)
        request = service.on(B)
        service.clock.advance(10)
        assert request.waits
        assert service.shown == [("a", "playing", "ready"), ("b", "suspended", None)]
        service.broker.rm([first.uid])
        service.clock.advance(LONG)
        assert request.is_under_way
        late = service.on(C)
        service.clock.advance(61)
        assert (
            str(late.refusal)
            == "c is waiting for its turn; the request gave up after 60 s at place 1 in line"
        )


def test_module_of_a_queue_that_is_suspended_answers_by_its_uid_if_its_process_goes_on(
    clock: FakeClock,
) -> None:
    with served(clock, lambda: Queue([A, Talks])) as service:
        service.ready(A)
        uid = service.add(Talks)
        service.clock.advance(SOON)
        assert service.at(uid).is_under_way
        assert service.on(Talks).waits


# What clients see.


def test_web_server_of_each_item_is_shown(pool: Service) -> None:
    pool.are_quick = False
    request = pool.on(Idle)
    assert pool.shown == [("idle", "playing", "loading")]
    pool.load(pool.broker.roster.order[0])
    uid = request.module.uid
    assert pool.shown == [("idle", "playing", "ready")]
    pool.broker.hold([uid])
    assert pool.shown == [("idle", "suspended", None)]
    pool.broker.release([uid])
    pool.clock.advance(SOON)
    assert pool.shown == [("idle", "playing", "ready")]
    request.end()
    pool.clock.advance(11)
    assert pool.shown == [("idle", "held", "resting")]


def test_events_add_up_to_what_is_shown_of_web_servers(pool: Service) -> None:
    states: list[Any] = [None]

    def follow() -> None:
        for event in pool.broker.events.watch(None):
            fields = dict(line.split(": ", 1) for line in event.decode().splitlines() if line[1:])
            if data := fields.get("data"):
                states.append(apply(states[-1], fields["event"], json.loads(data)))

    def expect_told() -> None:
        with gevent.Timeout(PATIENCE, AssertionError("events do not add up to what is shown")):
            while states[-1] is None or states[-1]["modules"] != pool.broker.show_roster(True):
                gevent.sleep(0.01)

    watching = gevent.spawn(follow)
    module = pool.ready(Idle)
    expect_told()
    pool.clock.advance(11)
    expect_told()
    pool.broker.hold([module.uid])
    expect_told()
    pool.broker.release([module.uid])
    pool.clock.advance(SOON)
    expect_told()
    pool.broker.hold([module.uid])
    expect_told()
    watching.kill()
