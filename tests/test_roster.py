"""The roster: the one owner of places and states; its indices and listeners agree with them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from fake_types import Lazy, Plain
from fakes import FakeLauncher, fake_clock, open_with, run_until_idle
from memory_keeper import MemoryKeeper

from shmooze.broker.keeper import KeptItem
from shmooze.broker.roster import Change, Place, Roster
from shmooze.modules import Module
from shmooze.modules.lifecycle import State
from shmooze.modules.origin import Origin
from shmooze.queue import Queue


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with fake_clock():
        yield


@pytest.fixture
def roster() -> Roster:
    return Roster()


def module(uid: str, kind: type[Module] = Plain, state: State = State.SUSPENDED) -> Module:
    return kind(uid, FakeLauncher(), lambda module: None, lambda *row: None, state=state)


def placed(roster: Roster, *uids: str) -> list[Module]:
    modules = [module(uid) for uid in uids]
    for each in modules:
        roster.change(each, Place.ORDER)
    return modules


def test_module_is_restored_with_its_uid_type_args_and_place() -> None:
    queue, launcher = Queue([Plain, Lazy]), FakeLauncher()
    queue.items.keeper = MemoryKeeper(
        KeptItem(uid, Place.ORDER, kind.TYPE_STRING, {"of": uid}, Origin(None, 0.0))
        for uid, kind in [("b", Plain), ("a", Lazy), ("c", Lazy), ("d", Plain)]
    )
    open_with(queue, launcher)
    run_until_idle()
    shown = [(each["uid"], each["type"], each["state"]) for each in queue.show_roster()]
    assert shown == [
        ("b", "plain", "playing"),
        ("a", "lazy", "suspended"),
        ("c", "lazy", "waiting"),
        ("d", "plain", "suspended"),
    ]
    assert [each.args for each in queue.roster.order] == [{"of": uid} for uid in "bacd"]
    assert len(launcher.living) == 3


def test_listener_gets_the_uid_and_what_has_changed(roster: Roster) -> None:
    heard: list[tuple[str, Change]] = []
    roster.listen(lambda uid, what: heard.append((uid, what)))
    a = module("a")
    roster.change(a)
    roster.change(a, Place.ORDER)
    roster.change(a, Place.ORDER)  # where it is already
    a.state = State.PLAYING
    roster.change(a)
    roster.tell(a, Change.PARAMETERS)
    roster.change(a, Place.NOWHERE)
    assert heard == [
        ("a", Change.STATE),
        ("a", Change.PLACE),
        ("a", Change.STATE),
        ("a", Change.PARAMETERS),
        ("a", Change.PLACE),
    ]


def test_listener_hears_only_of_the_changes_that_it_wants(roster: Roster) -> None:
    places, saves = list[Change](), list[Change]()
    roster.listen(lambda uid, what: places.append(what), Change.PLACE)
    (a,) = placed(roster, "a")
    roster.tell(a, Change.SAVED)
    roster.listen(lambda uid, what: saves.append(what), Change.SAVED)
    roster.tell(a, Change.SAVED)
    assert places == [Change.PLACE | Change.STATE]
    assert saves == [Change.SAVED]


def test_exception_in_one_listener_does_not_keep_others_from_hearing(
    roster: Roster, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    roster.listen(lambda uid, what: {}[uid])
    roster.listen(lambda uid, what: heard.append(uid))
    with caplog.at_level(logging.ERROR):
        placed(roster, "a")
    assert heard == ["a"]
    assert "a listener failed" in caplog.text


def test_listener_finds_the_indices_up_to_date(roster: Roster) -> None:
    seen: list[tuple[list[Module], list[Module], bool]] = []

    def look(uid: str, what: Change) -> None:
        ready, dismissed = list(roster.ready), list(roster.dismissed)
        seen.append((ready, dismissed, roster.find("a") is a))

    a = module("a")
    roster.listen(look)
    roster.change(a, Place.ORDER)
    roster.change(a, Place.NOWHERE)
    assert seen == [([a], [], True), ([], [a], False)]


def test_new_order_names_the_first_and_keeps_the_others_in_theirs(roster: Roster) -> None:
    a, b, c, d = placed(roster, *"abcd")
    roster.reorder(roster.line.promise_before(["d", "unknown", "b"], a))
    assert list(roster.order) == [d, b, a, c]


def test_same_order_again_is_no_change(roster: Roster) -> None:
    a, _ = placed(roster, "a", "b")
    version = roster.version
    roster.reorder(roster.line.promise_before(["a"], a))
    assert roster.version == version


def test_successor_takes_the_place_and_the_uid_in_one_change(roster: Roster) -> None:
    heard: list[str] = []
    a, b, c = placed(roster, *"abc")
    b.state = State.ENDING
    roster.change(b)
    roster.listen(lambda uid, what: heard.append(uid))
    successor = module("b", state=State.BACKOFF)
    roster.change(successor, instead_of=b)
    assert list(roster.order) == [a, successor, c]
    assert roster.find("b") is successor
    assert roster.place_of(b) is Place.NOWHERE
    assert heard == ["b"]
    b.state = State.GONE
    roster.change(b)
    assert roster.find("b") is successor
    assert list(roster.everyone) == [a, c, successor]


@pytest.mark.parametrize("state", [State.ENDING, State.GONE])
def test_module_that_has_ended_gets_no_new_place(roster: Roster, state: State) -> None:
    (a,) = placed(roster, "a")
    roster.change(a, Place.NOWHERE)
    a.state = state
    roster.change(a)
    roster.change(a, Place.ORDER)
    assert list(roster.order) == []
    assert roster.find("a") is None
    assert list(roster.everyone) == ([a] if state is State.ENDING else [])


def test_module_that_is_gone_is_told_of_once(roster: Roster) -> None:
    heard: list[str] = []
    (a,) = placed(roster, "a")
    a.state = State.GONE
    roster.listen(lambda uid, what: heard.append(uid))
    roster.change(a, Place.NOWHERE)
    roster.change(a, Place.ORDER)
    assert heard == ["a"]


def test_only_those_with_a_place_wait_for_a_process(roster: Roster) -> None:
    a, b = module("a", Lazy, State.WAITING), module("b", Plain, State.WAITING)
    roster.change(a)
    roster.change(b, Place.ORDER)
    assert (list(roster.waiting_for_turn), list(roster.returning)) == ([], [b])
    roster.change(a, Place.ORDER)
    assert list(roster.waiting_for_turn) == [a]
    roster.change(a, Place.NOWHERE)
    b.state = State.STARTING
    roster.change(b)
    assert (list(roster.waiting_for_turn), list(roster.returning)) == ([], [])
