"""Policies: who should play, and who is to be started, for the whole roster at once."""

from __future__ import annotations

import pytest
from fake_types import Lazy, Plain
from fakes import FakeLauncher

from shmooze.broker.policy import AllPlay, FirstPlays
from shmooze.broker.roster import Place, Roster
from shmooze.modules import Module
from shmooze.modules.lifecycle import State


class Early(Lazy):
    TYPE_STRING = "early"
    lookahead = 3


@pytest.fixture
def roster() -> Roster:
    return Roster()


def put(roster: Roster, kind: type[Module], state: State, place: Place = Place.ORDER) -> Module:
    number = str(len(roster.everyone))
    module = kind(number, FakeLauncher(), lambda module: None, lambda *row: None, state=state)
    roster.change(module, place)
    return module


@pytest.mark.parametrize("state", [State.WAITING, State.BACKOFF, State.STARTING])
def test_first_that_can_play_does_and_one_that_cannot_is_passed_over(
    roster: Roster, state: State
) -> None:
    put(roster, Plain, state)
    second = put(roster, Plain, State.SUSPENDED)
    put(roster, Plain, State.PLAYING)
    put(roster, Plain, State.SUSPENDED, Place.BACKGROUND)
    assert list(FirstPlays([Plain]).choose(roster)) == [second]


def test_background_plays_while_nobody_of_the_order_can(roster: Roster) -> None:
    policy = FirstPlays([Plain])
    assert list(policy.choose(roster)) == []
    put(roster, Plain, State.STARTING)
    put(roster, Plain, State.SUSPENDED, Place.ARRIVING)
    background = put(roster, Plain, State.SUSPENDED, Place.BACKGROUND)
    assert list(policy.choose(roster)) == [background]


def test_lazy_module_of_a_queue_is_due_as_many_places_ahead_as_its_type_says(
    roster: Roster,
) -> None:
    policy = FirstPlays([Plain, Lazy, Early])
    put(roster, Plain, State.PLAYING)
    second = put(roster, Lazy, State.WAITING)
    put(roster, Lazy, State.WAITING)
    early = put(roster, Early, State.WAITING)
    put(roster, Early, State.WAITING)
    assert list(policy.due(roster)) == [second, early]
    assert [policy.is_due(Early, place) for place in (3, 4)] == [True, False]


def test_eager_module_without_a_process_need_not_wait_for_its_turn(roster: Roster) -> None:
    modules = [put(roster, Plain, State.WAITING) for _ in range(5)]
    assert list(roster.returning) == modules
    assert list(FirstPlays([Plain]).due(roster)) == []


def test_held_module_is_passed_over(roster: Roster) -> None:
    held, waiting = put(roster, Lazy, State.HELD), [put(roster, Lazy, State.WAITING) for _ in "abc"]
    held.held = "by a test"
    policy = FirstPlays([Lazy])
    assert list(policy.due(roster)) == waiting[:2]
    playing = put(roster, Plain, State.SUSPENDED)
    assert list(policy.choose(roster)) == [playing]
    assert held in roster.order


def test_everybody_of_a_pool_plays_and_is_due(roster: Roster) -> None:
    policy = AllPlay()
    playing, suspended = put(roster, Plain, State.PLAYING), put(roster, Plain, State.SUSPENDED)
    waiting, starting = put(roster, Lazy, State.WAITING), put(roster, Plain, State.STARTING)
    put(roster, Lazy, State.WAITING, Place.NOWHERE)
    assert list(policy.choose(roster)) == [playing, suspended]
    assert list(policy.due(roster)) == [waiting]
    assert starting not in policy.choose(roster)
