"""The lifecycle of a module: every step that is drawn is possible, and no other."""

from __future__ import annotations

import itertools

import pytest

from shmooze.modules import Module, lifecycle
from shmooze.modules.lifecycle import READY, IllegalTransition, State, step

#: As drawn on the architecture page; written down once more, so that a change is a decision.
DRAWN = {
    ("waiting", "starting"),
    ("waiting", "ending"),
    ("starting", "suspended"),
    ("suspended", "playing"),
    ("playing", "suspended"),
    ("starting", "ending"),
    ("suspended", "ending"),
    ("playing", "ending"),
    ("ending", "gone"),
}
ALL = set(itertools.product((state.value for state in State), repeat=2))


class NoLauncher:
    """Nothing is ever launched here."""


class Silent(Module):
    TYPE_STRING = "silent"
    process = ["true"]


@pytest.fixture
def heard() -> list[State]:
    return []


@pytest.fixture
def module(heard: list[State]) -> Module:
    """A module that is never started; its owner writes down each state that it hears of."""
    return Silent("uid", NoLauncher(), lambda module: heard.append(module.state), print)


def test_states_have_the_names_that_clients_see() -> None:
    assert {state.value for state in State} == {each for pair in DRAWN for each in pair}
    assert {state.value for state in READY} == {"suspended", "playing"}


@pytest.mark.parametrize("before, after", sorted(DRAWN))
def test_step_that_is_drawn_is_possible(before: str, after: str) -> None:
    assert step(State(before), State(after)) is State(after)


@pytest.mark.parametrize("before, after", sorted(ALL - DRAWN))
def test_step_that_is_not_drawn_is_an_error_that_names_both(before: str, after: str) -> None:
    with pytest.raises(IllegalTransition) as caught:
        step(State(before), State(after))
    assert str(caught.value) == f"a module that is {before} cannot become {after}"


def test_illegal_transition_is_our_own_bug_and_no_ones_fault() -> None:
    from shmooze.errors import ShmoozeError

    assert not issubclass(IllegalTransition, ShmoozeError)


@pytest.mark.parametrize("before, after", sorted(DRAWN))
def test_module_takes_a_step_and_its_owner_hears_of_it(
    module: Module, heard: list[State], before: str, after: str
) -> None:
    module.state = State(before)
    module._move_to(State(after))
    assert module.state is State(after)
    assert heard == [State(after)]


@pytest.mark.parametrize("before, after", sorted(ALL - DRAWN))
def test_illegal_step_changes_nothing_and_nobody_hears_of_it(
    module: Module, heard: list[State], before: str, after: str
) -> None:
    module.state = State(before)
    with pytest.raises(IllegalTransition):
        module._move_to(State(after))
    assert module.state is State(before)
    assert heard == []


@pytest.mark.parametrize("state", sorted(State))
def test_every_state_leads_to_gone_and_gone_leads_nowhere(state: State) -> None:
    reached, border = set(), {state}
    while border:
        reached |= border
        border = {after for each in border for after in lifecycle.TRANSITIONS[each]} - reached
    assert State.GONE in reached
    assert not lifecycle.TRANSITIONS[State.GONE]


def test_repr_tells_what_it_is_and_how_it_is(module: Module) -> None:
    assert repr(module) == "<Module silent uid: starting>"
