"""Policies: who should play, and who is to be started, for the whole roster at once."""

from __future__ import annotations

import pytest
from fake_types import Lazy, Plain
from fakes import FakeLauncher

from shmooze.broker.policy import AllPlay, FirstPlays, SomePlay
from shmooze.broker.roster import Place, Roster
from shmooze.modules import Module
from shmooze.modules.exit import EndCause, ExitRecord
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


def test_as_many_of_a_pool_play_as_there_are_slots_and_those_that_play_go_on(
    roster: Roster,
) -> None:
    first, second, third = (put(roster, Plain, State.SUSPENDED) for _ in range(3))
    policy = SomePlay(2)
    assert list(policy.choose(roster)) == [first, second]
    put(roster, Plain, State.PLAYING)
    playing = roster.order[-1]
    assert list(policy.choose(roster)) == [playing, first]
    policy.wanted = [third]
    assert list(policy.choose(roster)) == [playing, third]
    assert second not in policy.choose(roster)


def test_slot_is_kept_free_for_a_wanted_module_that_is_about_to_come(roster: Roster) -> None:
    first, resting = put(roster, Plain, State.SUSPENDED), put(roster, Plain, State.HELD)
    policy = SomePlay(1)
    for wanted in (resting, None):
        policy.wanted = [wanted, first]
        assert list(policy.choose(roster)) == []
    policy.wanted = [first, resting]
    assert list(policy.choose(roster)) == [first]


def test_slot_is_taken_until_the_processes_of_a_module_that_has_played_are_gone(
    roster: Roster,
) -> None:
    policy = SomePlay(2)
    put(roster, Plain, State.PLAYING)
    for state, cause in (("playing", EndCause.removed("")), ("suspended", EndCause.left())):
        module = put(roster, Plain, State.SUSPENDED)
        module.exit = ExitRecord(cause, state)
        module.state = State.ENDING
        roster.change(module)
    assert policy.taken(roster) == 2
