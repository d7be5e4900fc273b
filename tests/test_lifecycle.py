"""The lifecycle of a module: every step that is drawn is possible, and no other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import gevent
import pytest
from gevent.event import Event
from support import PATIENCE

from shmooze.errors import ModuleError
from shmooze.modules import Module, lifecycle
from shmooze.modules.lifecycle import READY, IllegalTransition, State, step
from shmooze.processes.contract import Endpoint, LaunchSpec

#: As drawn on the architecture page; written down once more, so that a change is a decision.
DRAWN = {
    ("waiting", "starting"),
    ("waiting", "held"),
    ("waiting", "ending"),
    ("held", "waiting"),
    ("held", "ending"),
    ("backoff", "starting"),
    ("backoff", "waiting"),
    ("backoff", "held"),
    ("backoff", "ending"),
    ("starting", "standby"),
    ("starting", "suspended"),
    ("starting", "ending"),
    ("standby", "starting"),
    ("standby", "ending"),
    ("suspended", "playing"),
    ("suspended", "ending"),
    ("playing", "suspended"),
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


def test_clients_see_only_the_states_of_the_protocol() -> None:
    seen = {"waiting", "held", "starting", "suspended", "playing", "ending", "gone"}
    assert {state.shown for state in State} == seen
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


class SlowLauncher:
    """Takes its time; gives itself as the process, and notes how `module` is when it is ended."""

    module: Module
    host: str | None = None
    loss: str | None = None
    exit_status: int | None = None
    output: Sequence[str] = ()
    errors: Sequence[str] = ()

    def __init__(self) -> None:
        self.begun, self.may_go_on = Event(), Event()
        self.ended: list[State] = []

    def launch(self, spec: LaunchSpec, endpoint: Endpoint) -> SlowLauncher:
        self.begun.set()
        self.may_go_on.wait()
        return self

    def withdraw(self, spec: LaunchSpec) -> None:
        pass

    def describe(self) -> str:
        return "in no place"

    def authenticate(self, connection: object) -> bool:
        return False

    def close(self, patience: float) -> None:
        pass

    def when_exited(self, call: Callable[[], None]) -> None:
        pass

    def wait(self, timeout: float | None = None) -> int | None:
        return None

    def end(self, patience: float | None) -> str:
        self.ended.append(self.module.state)
        return "SIGTERM"


def test_what_is_launched_while_it_is_removed_is_ended_before_it_is_gone() -> None:
    launcher = SlowLauncher()
    module = launcher.module = Silent("uid", launcher, lambda module: None, lambda *row: None)
    start = gevent.spawn(_refusal_of, module)
    launcher.begun.wait()
    module.cancel()
    gevent.idle()
    assert module.state is State.ENDING
    launcher.may_go_on.set()
    assert start.get(timeout=PATIENCE) == "was removed before it had started"
    assert module.gone.wait(PATIENCE)
    assert launcher.ended == [State.ENDING]
    assert module.state is State.GONE


def test_one_that_was_removed_before_its_turn_to_start_is_not_launched() -> None:
    launcher = SlowLauncher()
    module = Silent("uid", launcher, lambda module: None, lambda *row: None)
    module.cancel()
    assert _refusal_of(module) == "was removed before it had started"
    assert not launcher.begun.is_set()


def _refusal_of(module: Module) -> str:
    with pytest.raises(ModuleError) as refused:
        module.start({})
    return str(refused.value)
