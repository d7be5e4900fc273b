"""The order of items: moving, pausing, skipping, clearing, shuffling. All in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fake_types import Lazy, Plain
from fakes import FakeClock, run_until_idle
from test_keeping import Service

from shmooze.broker.line import STEP
from shmooze.errors import CommandError
from shmooze.modules.exit import Outcome
from shmooze.pool import Pool
from shmooze.queue import Queue


@pytest.fixture
def queue(clock: FakeClock) -> Iterator[Service]:
    service = Service(clock, lambda: Queue([Plain, Lazy], backgrounds=[Plain]))
    yield service
    service.keeper.fault = ""
    service.stop()


@pytest.fixture
def pool(clock: FakeClock) -> Iterator[Service]:
    service = Service(clock, lambda: Pool([Plain, Lazy], slots=2))
    yield service
    service.stop()


def kept_order(service: Service) -> list[str]:
    """The order that the items have when the service comes back."""
    return service.keeper.order


# Moving


@pytest.mark.parametrize(
    ("args", "order"),
    [
        ({}, "dbace"),
        ({"to": 0}, "dbace"),
        ({"to": 1}, "adbce"),
        ({"to": 99}, "acedb"),
        ({"before": "a"}, "dbace"),
        ({"before": "c"}, "adbce"),
        ({"before": "e"}, "acdbe"),
        ({"after": "a"}, "adbce"),
        ({"after": "e"}, "acedb"),
    ],
)
def test_mv_puts_items_together_where_it_is_told(
    queue: Service, args: dict[str, Any], order: str
) -> None:
    names = {queue.add("lazy"): name for name in "abcde"}
    uids = {name: uid for uid, name in names.items()}
    place = {key: uids.get(value, value) for key, value in args.items()}
    queue.broker.mv([uids["d"], "unknown", uids["b"], uids["d"]], **place)
    assert "".join(names[uid] for uid in queue.uids) == order
    assert kept_order(queue) == queue.uids


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"before": "x"}, "mv: no item with uid 'x' in the order of queue"),
        ({"before": "A"}, "mv: argument `before`: 'A' is one of those to be moved"),
        ({"after": "x", "to": 1}, "mv: takes only one of `before`, `after` and `to`"),
        ({"to": -1}, "mv: argument `to`: must be 0 or more"),
    ],
)
def test_mv_to_a_place_that_there_is_not_moves_nothing(
    queue: Service, args: dict[str, Any], words: str
) -> None:
    first, second = queue.add(), queue.add()
    args = {key: second if value == "A" else value for key, value in args.items()}
    with pytest.raises(CommandError) as refusal:
        queue.broker.mv([second], **args)
    assert str(refusal.value).replace(second, "A") == words
    assert queue.uids == kept_order(queue) == [first, second]


def test_items_of_a_pool_with_slots_can_be_moved_and_those_that_play_go_on(pool: Service) -> None:
    uids = [pool.add() for _ in range(4)]
    assert pool.states == ["playing", "playing", "suspended", "suspended"]
    pool.broker.commands["mv"](pool.broker, uids=[uids[3]])
    assert pool.uids == [uids[3], *uids[:3]]
    assert pool.states == ["suspended", "playing", "playing", "suspended"]
    pool.call(pool.broker.rm, [uids[0]])
    pool.clock.advance(10)
    assert pool.uids == [uids[3], uids[1], uids[2]]
    assert pool.states == ["playing", "playing", "suspended"]


def test_items_of_a_pool_without_slots_cannot_be_moved() -> None:
    assert not {"mv", "shuffle"} & {*Pool([Plain]).commands}


# Places of new items


def test_item_can_be_added_at_a_place(queue: Service) -> None:
    first, last = queue.add(), queue.add("lazy")
    second = queue.add("lazy", at=1)
    zeroth = queue.add(at=0)
    end = queue.add(at=99)
    assert queue.uids == kept_order(queue) == [zeroth, first, second, last, end]
    assert queue.states[:2] == ["playing", "suspended"]
    with pytest.raises(CommandError, match=r"^add: argument `at`: must be 0 or more$"):
        queue.add(at=-1)


def test_items_that_are_added_and_moved_while_others_are_kept_come_back_in_the_same_order(
    queue: Service,
) -> None:
    for _ in range(3):
        queue.add("lazy")
    queue.keeper.may_go_on.clear()
    calls = [
        queue.call(queue.add, "lazy", at=1),
        queue.call(queue.broker.mv, [queue.uids[2]], to=1),
        queue.call(queue.add, "lazy", at=1),
        queue.call(queue.add, at=1),
        queue.call(queue.broker.mv, [queue.uids[0]], after=queue.uids[1]),
        queue.call(queue.add),
        queue.call(queue.broker.shuffle),
    ]
    queue.keeper.may_go_on.set()
    run_until_idle()
    assert not [call for call in calls if isinstance(call.get(), CommandError)]
    before = queue.uids
    assert len(before) == 7
    assert kept_order(queue) == before
    queue.crash()
    queue.start()
    assert queue.uids == before


def test_place_between_two_can_be_taken_again_and_again(queue: Service) -> None:
    first, last = queue.add("lazy"), queue.add("lazy")
    added = [queue.add("lazy", at=1) for _ in range(100)]
    assert queue.uids == kept_order(queue) == [first, *reversed(added), last]
    added_before_last = [queue.add("lazy", at=101 + n) for n in range(100)]
    assert queue.uids == [first, *reversed(added), *added_before_last, last]
    assert kept_order(queue) == queue.uids


def test_new_numbers_that_cannot_be_kept_are_kept_later(queue: Service) -> None:
    first, last = queue.add("lazy"), queue.add("lazy")
    for item in queue.keeper.items.values():
        item.position = float(item.uid == last)
    queue.crash()
    queue.start()
    module = queue.broker.roster.find(last)
    module.position = 5e-324
    queue.keeper.fault = "the disk is full"
    with pytest.raises(CommandError, match=r"^the disk is full$"):
        queue.add("lazy", at=1)
    assert queue.uids == [first, last]
    queue.keeper.fault = ""
    second = queue.add("lazy", at=1)
    assert queue.uids == kept_order(queue) == [first, second, last]
    assert queue.keeper.items[last].position == 2 * STEP


# Pausing


def test_while_paused_nobody_begins_to_play_and_whoever_plays_goes_on(queue: Service) -> None:
    first, second = queue.add(), queue.add()
    queue.broker.pause()
    assert queue.states == ["playing", "suspended"]
    queue.broker.mv([second])
    assert queue.states == ["suspended", "playing"]
    queue.broker.rm([first])
    queue.add()
    queue.add("lazy", at=0)
    run_until_idle()
    assert queue.states == ["waiting", "suspended", "suspended"]
    queue.broker.resume()
    run_until_idle()
    assert queue.states == ["playing", "suspended", "suspended"]


@pytest.mark.parametrize("slots", [1, 2, None])
def test_pause_suspends_those_that_play_if_that_is_wanted(
    clock: FakeClock, slots: int | None
) -> None:
    service = Service(clock, lambda: Pool([Plain], slots=slots))
    for _ in range(3):
        service.add()
    before = service.states
    service.broker.pause(suspend=True)
    assert service.states == ["suspended"] * 3
    service.broker.resume()
    assert service.states == before
    service.stop()


def test_background_does_not_begin_while_paused(queue: Service) -> None:
    uid = queue.add()
    queue.broker.set_bg("plain")
    queue.broker.pause()
    queue.broker.rm([uid])
    assert queue.broker.show_background()["state"] == "suspended"
    queue.broker.resume()
    assert queue.broker.show_background()["state"] == "playing"


def test_background_that_plays_when_the_service_is_paused_goes_on(queue: Service) -> None:
    queue.broker.set_bg("plain")
    queue.broker.pause()
    queue.add()
    assert queue.broker.show_background()["state"] == "playing"
    assert queue.states == ["suspended"]


def test_pause_survives_a_crash_and_is_shown(queue: Service) -> None:
    queue.add()
    queue.broker.pause(suspend=True)
    queue.crash()
    queue.start()
    assert queue.states == ["suspended"]
    assert queue.broker.status() == {"paused": {"suspend": True}, "repeat": "off"}
    queue.broker.resume()
    assert queue.states == ["playing"]
    assert queue.broker.status()["paused"] is None
    queue.crash()
    queue.start()
    assert queue.states == ["playing"]


def test_pause_that_cannot_be_kept_is_refused(queue: Service) -> None:
    queue.add()
    queue.keeper.fault = "the disk is full"
    with pytest.raises(CommandError, match=r"^the disk is full$"):
        queue.broker.pause(suspend=True)
    assert queue.states == ["playing"]


# Skipping, clearing, shuffling


def test_skip_ends_the_one_that_plays_and_says_so(queue: Service) -> None:
    first, second = queue.add(), queue.add()
    assert queue.broker.skip() == first
    assert queue.states == ["playing"]
    queue.clock.advance(10)
    (report,) = queue.broker.gone()
    assert (report["uid"], report["state"], report["reason"]) == (first, "removed", "was skipped")
    assert queue.keeper.history == {first: Outcome.REMOVED}
    with pytest.raises(CommandError, match=f"^skip: '{first}' does not play in queue$"):
        queue.broker.skip(first)
    assert queue.broker.skip(second) == second
    assert queue.broker.skip() is None


def test_skip_of_a_pool_names_one_of_those_that_play(pool: Service) -> None:
    first, second, third = (pool.add() for _ in range(3))
    with pytest.raises(CommandError) as refusal:
        pool.broker.skip()
    words = "skip: 2 items play in pool: name one of them by `uid`"
    assert str(refusal.value) == words
    skipping = pool.call(pool.broker.skip, second)
    pool.clock.advance(10)
    assert skipping.get() == second
    assert pool.uids == [first, third]
    assert pool.states == ["playing", "playing"]


def test_one_that_a_pause_suspends_can_be_skipped(queue: Service) -> None:
    first, second = queue.add(), queue.add()
    queue.broker.pause(suspend=True)
    assert queue.broker.skip() == first
    assert queue.uids == [second]
    assert queue.states == ["suspended"]


def test_skip_that_cannot_be_kept_leaves_the_reason_of_a_later_end_alone(queue: Service) -> None:
    uid = queue.add()
    queue.keeper.fault = "the disk is full"
    with pytest.raises(CommandError):
        queue.broker.skip()
    queue.keeper.fault = ""
    queue.broker.rm([uid])
    queue.clock.advance(10)
    assert queue.broker.gone()[0]["reason"] == "was removed"


def test_clear_removes_what_waits_and_if_wanted_what_plays(queue: Service) -> None:
    queue.broker.set_bg("plain")
    uids = [queue.add(), queue.add(), queue.add("lazy")]
    queue.broker.clear()
    assert queue.uids == uids[:1]
    queue.broker.clear(playing=True)
    assert queue.uids == []
    assert queue.broker.show_background()["state"] == "playing"
    assert {*queue.keeper.history} == {*uids}


def test_shuffle_moves_those_that_do_not_play(
    queue: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.shuffle", lambda modules: modules.reverse())
    uids = [queue.add("lazy") for _ in range(5)]
    queue.broker.shuffle()
    assert queue.uids == [uids[0], *reversed(uids[1:])] == kept_order(queue)
    assert queue.states[0] == "playing"


def test_watchers_are_told_of_a_pause(queue: Service) -> None:
    events = queue.broker.events.watch(None)
    next(events)
    assert b'"paused"' not in next(events)
    queue.broker.pause()
    assert b'data: {"paused":{"suspend":false}}' in next(events)
    again = queue.broker.events.watch(None)
    next(again)
    assert b'"background":null,"paused":{"suspend":false}}' in next(again)
    queue.broker.resume()
    assert b'data: {"paused":null}' in next(events)


# Repeating


def finish(queue: Service, uid: str) -> None:
    """Let the process of an item end by itself."""
    queue.broker.roster.find(uid)._process.exit(0)
    run_until_idle()


def films(queue: Service) -> list[int]:
    """The args of all items, in order."""
    return [each["args"]["film"] for each in queue.broker.show_roster()]


def test_item_that_is_done_is_put_at_the_end_again(queue: Service) -> None:
    for film in range(3):
        queue.add(args={"film": film})
    queue.broker.repeat("all")
    queue.clock.advance(5)
    for expected in ([1, 2, 0], [2, 0, 1], [0, 1, 2]):
        first = queue.uids[0]
        finish(queue, first)
        queue.clock.advance(5)
        assert films(queue) == expected
        assert queue.states == ["playing", "suspended", "suspended"]
        assert queue.keeper.order == queue.uids
        assert first in queue.keeper.history
    queue.broker.skip()
    assert films(queue) == [1, 2]
    queue.broker.roster.find(queue.uids[0])._process.exit(1)
    queue.clock.advance(5)
    assert films(queue) == [2]
    queue.broker.repeat("off")
    finish(queue, queue.uids[0])
    queue.clock.advance(5)
    assert queue.uids == []


def test_item_that_is_done_is_repeated_in_its_place_and_nobody_else_plays_meanwhile(
    queue: Service,
) -> None:
    queue.broker.set_bg("plain")
    queue.broker.repeat("one")
    for film in range(2):
        queue.add(args={"film": film})
    for _ in range(3):
        queue.clock.advance(5)
        finish(queue, queue.uids[0])
        queue.clock.advance(5)
        assert films(queue) == [0, 1]
        assert queue.states == ["playing", "suspended"]
    background, _, second = queue.launcher.processes[:3]
    assert second.heard == ["init"]
    assert background.heard == ["init", "play", "suspend"]


def test_repeated_item_waits_until_it_is_kept_and_for_a_moment_if_it_was_done_at_once(
    queue: Service,
) -> None:
    queue.broker.repeat("all")
    first = queue.add()
    finish(queue, first)
    assert queue.states == ["waiting"]
    assert len(queue.launcher.processes) == 1
    queue.clock.advance(1)
    assert queue.states == ["playing"]


def test_repeating_survives_a_crash_and_neither_loses_nor_doubles_an_item(queue: Service) -> None:
    queue.broker.repeat("all")
    queue.add(args={"film": 0})
    queue.add(args={"film": 1})
    queue.clock.advance(5)
    finish(queue, queue.uids[0])
    queue.crash()
    queue.start()
    assert films(queue) == [1, 0]
    assert queue.broker.status() == {"paused": None, "repeat": "all"}
    queue.clock.advance(5)
    finish(queue, queue.uids[0])
    queue.clock.advance(5)
    assert films(queue) == [0, 1]


def test_removed_item_is_not_repeated_though_it_ends_by_itself_at_that_time(
    queue: Service,
) -> None:
    queue.broker.repeat("all")
    uid = queue.add()
    queue.clock.advance(5)
    queue.keeper.may_go_on.clear()
    removing = queue.call(queue.broker.rm, [uid])
    queue.launcher.processes[0].exit(0)
    queue.keeper.may_go_on.set()
    queue.clock.advance(10)
    assert removing.get() is None
    assert len(queue.keeper.history) == 1


def test_repeat_has_three_modes(queue: Service) -> None:
    with pytest.raises(CommandError, match=r"^repeat: argument `mode`: must be one of off, one, a"):
        queue.broker.repeat("some")
