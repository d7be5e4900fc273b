"""Web servers that need what there is little of: idle ones make room, for requests and for jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes import Fake, FakeClock, run_until_idle
from lives import LONG
from servers import SOON, A, Request, Service, served

from shmooze.modules import Module
from shmooze.pool import Pool


class Small(A):
    TYPE_STRING = "small"
    needs = {"gpu": 1}


class Other(Small):
    TYPE_STRING = "other"


class Large(A):
    TYPE_STRING = "large"
    needs = {"gpu": 2}


class Kept(Small):
    TYPE_STRING = "kept"
    keep = True


class Job(Fake):
    TYPE_STRING = "job"
    needs = {"gpu": 2}


class Sweep(Fake):
    TYPE_STRING = "sweep"


KINDS: list[type[Module]] = [A, Small, Other, Large, Kept, Job, Sweep]


@pytest.fixture
def gpus(clock: FakeClock) -> Iterator[Service]:
    """A pool with two GPUs."""
    with served(clock, lambda: Pool(KINDS, has={"gpu": 2})) as service:
        yield service


@pytest.fixture
def slot(clock: FakeClock) -> Iterator[Service]:
    """A pool with one slot, and GPUs enough."""
    with served(clock, lambda: Pool(KINDS, slots=1, has={"gpu": 8})) as service:
        yield service


def states(service: Service) -> dict[str, str]:
    run_until_idle()
    return {type: web or state for type, state, web in service.shown}


def soon(service: Service, request: Request) -> Module:
    service.clock.advance(SOON)
    return request.module


def test_as_many_idle_ones_make_room_as_it_takes_and_none_if_that_is_not_enough(
    gpus: Service,
) -> None:
    small = gpus.ready(Small)
    busy = gpus.on(Other)
    large = gpus.on(Large)
    gpus.clock.advance(SOON)
    assert large.waits
    assert states(gpus) == {"small": "ready", "other": "ready"}
    busy.end()
    gpus.clock.advance(LONG)
    assert large.module.grant is not None
    assert large.module.grant.words == {"gpu": "0,1"}
    assert small.reason.startswith("made room for large")
    assert states(gpus) == {"small": "resting", "other": "resting", "large": "ready"}


def test_one_that_needs_nothing_ends_nobody(gpus: Service) -> None:
    gpus.ready(Large)
    gpus.ready(A)
    assert states(gpus) == {"large": "ready", "a": "ready"}


def test_only_those_make_room_that_have_what_is_needed(gpus: Service) -> None:
    gpus.ready(A)
    gpus.ready(Small)
    gpus.ready(Large)
    assert states(gpus) == {"a": "ready", "small": "resting", "large": "ready"}


def test_one_that_is_kept_makes_no_room(gpus: Service) -> None:
    gpus.ready(Kept)
    gpus.ready(Small)
    request = gpus.on(Other)
    assert soon(gpus, request).TYPE_STRING == "other"
    assert states(gpus) == {"kept": "ready", "small": "resting", "other": "ready"}
    refused = gpus.on(Large)
    gpus.clock.advance(50.0)
    assert refused.waits
    assert states(gpus)["kept"] == "ready"
    refused.leave()


def test_idle_server_makes_room_for_a_job_that_waits(gpus: Service) -> None:
    gpus.ready(Small)
    gpus.broker.add("job")
    gpus.clock.advance(LONG)
    assert states(gpus) == {"small": "resting", "job": "playing"}


def test_job_that_waits_for_a_slot_gets_that_of_an_idle_server(slot: Service) -> None:
    slot.ready(A)
    slot.add(Sweep)
    slot.clock.advance(LONG)
    assert states(slot) == {"a": "resting", "sweep": "playing"}


def test_server_that_nobody_asks_for_ends_no_other(slot: Service) -> None:
    slot.ready(A)
    slot.add(Small)
    slot.clock.advance(LONG)
    assert states(slot) == {"a": "ready", "small": "suspended"}


def test_job_gets_its_turn_beside_a_server_with_requests_all_the_time(slot: Service) -> None:
    request = slot.on(A)
    slot.clock.advance(SOON)
    slot.add(Sweep)
    for _ in range(60):
        following = slot.on(A)
        slot.clock.advance(SOON)
        if request.is_under_way:
            request.end()
        slot.clock.advance(SOON)
        request = following
        if states(slot)["sweep"] == "playing":
            break
    assert states(slot) == {"a": "resting", "sweep": "playing"}
    request.leave()


def test_request_is_answered_before_jobs_that_have_come_later(slot: Service) -> None:
    first = slot.on(A)
    slot.clock.advance(SOON)
    small = slot.on(Small)
    slot.add(Sweep)
    slot.clock.advance(SOON)
    first.end()
    slot.clock.advance(LONG)
    assert soon(slot, small).TYPE_STRING == "small"
    assert states(slot)["sweep"] == "suspended"
    small.end()
    slot.clock.advance(LONG)
    assert states(slot)["sweep"] == "playing"
