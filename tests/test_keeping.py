"""Each change is kept before it is carried out, and comes back after a crash. All in memory."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gevent
import pytest
from fake_types import AfterFailure, Again, Ahead, Lazy, Plain
from fakes import Fake, FakeClock, FakeLauncher, open_with, run_until_idle
from lives import LONG, Lives, begin
from memory_keeper import MemoryKeeper

from shmooze.broker import restoring
from shmooze.broker.admission import Admission
from shmooze.broker.broker import Broker
from shmooze.broker.keeper import KeepsNothing, KeptItem
from shmooze.broker.roster import Place
from shmooze.errors import CommandError, TooMany
from shmooze.modules.exit import Outcome
from shmooze.modules.lifecycle import State
from shmooze.modules.origin import Origin
from shmooze.pool import Pool
from shmooze.queue import Queue


class Hold(Fake):
    TYPE_STRING = "hold"
    after_crash = "hold"


class Drop(Fake):
    TYPE_STRING = "drop"
    after_crash = "drop"


KINDS = [Plain, Lazy, Again, AfterFailure, Hold, Drop]


class Service(Lives):
    """A queue or pool, and what it keeps. It can crash and come back."""

    def __init__(self, clock: FakeClock, make: Callable[[], Broker]) -> None:
        self.clock, self._make = clock, make
        self.keeper = MemoryKeeper()
        self.broker: Any = None
        self.start()

    def start(self, max_starting: int | None = None) -> None:
        self.launcher = FakeLauncher()
        self.broker = self._make()
        self.broker.items.keeper = self.keeper
        self.broker._reconciler.max_starting = max_starting
        open_with(self.broker, self.launcher)
        run_until_idle()

    def call(self, function: Callable[..., Any], *args: Any, **named: Any) -> gevent.Greenlet:
        return begin(function, *args, **named)

    def add(self, type: str = "plain", **args: Any) -> str:
        return str(self.broker.add(type, **args)["uid"])

    @property
    def states(self) -> list[str]:
        return [each["state"] for each in self.broker.show_roster()]

    @property
    def uids(self) -> list[str]:
        return [each["uid"] for each in self.broker.show_roster()]


@pytest.fixture
def service(clock: FakeClock) -> Iterator[Service]:
    service = Service(clock, lambda: Queue(KINDS, backgrounds=[Plain, Again]))
    yield service
    service.keeper.fault = ""
    service.stop()


@pytest.fixture
def pool(clock: FakeClock) -> Iterator[Service]:
    service = Service(clock, lambda: Pool(KINDS))
    yield service
    service.stop()


def item(uid: str, type: str = "plain", place: Place = Place.ORDER, **rest: Any) -> KeptItem:
    return KeptItem(uid, place, type, {"of": uid}, Origin("ann", 1.0, None), **rest)


# Kept first, then carried out.


def test_item_is_kept_before_its_process_is_started(service: Service) -> None:
    service.keeper.may_go_on.clear()
    adding = service.call(service.add)
    assert service.launcher.processes == []
    service.keeper.may_go_on.set()
    run_until_idle()
    assert service.launcher.processes[0].heard == ["init", "play"]
    assert service.keeper.asked == [f"new {adding.get()}", f"order {adding.get()}"]


def test_add_is_answered_when_its_place_is_kept(service: Service) -> None:
    process = hold_start(service)
    adding = service.call(service.add)
    service.keeper.may_go_on.clear()
    accept(process[0])
    run_until_idle()
    assert not adding.ready()
    assert service.broker.roster.order == []
    service.keeper.may_go_on.set()
    run_until_idle()
    process[0].answer()  # to `play`
    run_until_idle()
    assert service.uids == [adding.get()]


@pytest.mark.parametrize("has_started", [False, True])
def test_add_whose_process_is_killed_is_refused_only_if_the_service_lives_on(
    service: Service, has_started: bool
) -> None:
    process = hold_start(service)
    adding = service.call(service.add)
    if has_started:
        service.keeper.may_go_on.clear()
        accept(process[0])
        run_until_idle()
    process[0].exit(-signal.SIGKILL)
    run_until_idle()
    service.keeper.may_go_on.set()
    run_until_idle()
    assert not adding.ready()
    assert service.keeper.history == {}  # if the service is killed now, the item has not ended
    service.clock.advance(2)
    assert isinstance(adding.get(), CommandError)
    assert [*service.keeper.history.values()] == [Outcome.FAILED]


def accept(process: Any, success: bool = True) -> None:
    """Let a process connect, and accept or refuse `init`."""
    process.connect()
    run_until_idle()
    process.answer(success)
    run_until_idle()


def hold_start(service: Service) -> list[Any]:
    """The processes that are started from now on, which do nothing by themselves."""
    started: list[Any] = []

    def on_launch(process: Any) -> None:
        process.is_obedient = False
        started.append(process)

    service.launcher._on_launch = on_launch
    return started


@pytest.mark.parametrize("type", ["plain", "lazy", "ahead"])
def test_add_that_cannot_be_kept_starts_nothing_and_leaves_nothing(
    service: Service, type: str
) -> None:
    service.stop()
    service._make = lambda: Queue([Plain, Lazy, Ahead])
    service.start()
    service.add()
    service.add("lazy")
    service.clock.advance(1)
    before, processes = service.uids, len(service.launcher.processes)
    service.keeper.fault = "the disk is full"
    with pytest.raises(CommandError, match="the disk is full"):
        service.broker.add(type)
    service.clock.advance(1)
    assert service.uids == before
    assert len(service.launcher.processes) == processes
    assert service.broker.standby_available()["ahead"]["available"] == 1
    service.keeper.fault = ""
    service.add(type)


def test_waiting_items_count_for_the_limit_while_they_are_kept(service: Service) -> None:
    service.broker._factory._admission = Admission({}, 4, None)
    service.add()
    service.add()
    service.keeper.may_go_on.clear()
    adding = [service.call(service.add, "lazy") for _ in range(3)]
    service.keeper.may_go_on.set()
    run_until_idle()
    assert [type(each.get()) for each in adding] == [str, str, TooMany]


def test_item_whose_place_cannot_be_kept_ends(service: Service) -> None:
    processes = hold_start(service)
    adding = service.call(service.add)
    service.keeper.fault = "the disk is full"
    accept(processes[0])
    service.clock.advance(LONG)
    assert str(adding.get()) == "the disk is full"
    assert service.launcher.living == []
    assert service.uids == []


def test_removal_is_kept_first(service: Service) -> None:
    uid = service.add()
    service.keeper.may_go_on.clear()
    removing = service.call(service.broker.rm, [uid])
    assert service.states == ["playing"]
    service.keeper.may_go_on.set()
    run_until_idle()
    assert removing.get() is None
    assert service.uids == []
    assert service.keeper.history == {uid: Outcome.REMOVED}


def test_removal_that_was_kept_is_carried_out_though_its_caller_gives_up(
    service: Service,
) -> None:
    uid = service.add()
    service.keeper.may_go_on.clear()
    removing = service.call(service.broker.rm, [uid])
    removing.kill(gevent.Timeout(), block=False)
    run_until_idle()
    service.keeper.may_go_on.set()
    service.clock.advance(1)
    assert service.uids == []


def test_item_that_is_restarted_while_its_removal_is_kept_is_removed(service: Service) -> None:
    uid = service.add("again")
    service.keeper.may_go_on.clear()
    service.call(service.broker.rm, [uid])
    service.launcher.processes[0].exit(1)
    run_until_idle()
    service.keeper.may_go_on.set()
    service.clock.advance(LONG)
    assert service.uids == []
    assert len(service.launcher.processes) == 1


@pytest.mark.parametrize("command", ["rm", "mv", "hold"])
def test_change_that_cannot_be_kept_is_not_made(service: Service, command: str) -> None:
    uids = [service.add("lazy") for _ in range(4)]
    states = service.states
    service.keeper.fault = "the disk is full"
    with pytest.raises(CommandError, match=r"^the disk is full$"):
        getattr(service.broker, command)([uids[3]])
    run_until_idle()
    assert (service.uids, service.states) == (uids, states)


def test_orders_are_carried_out_as_they_are_kept(service: Service) -> None:
    uids = [service.add("lazy") for _ in range(4)]
    service.keeper.may_go_on.clear()
    moving = [service.call(service.broker.mv, [uid]) for uid in uids[2:]]
    assert service.keeper.asked.count("order") == 1
    service.keeper.may_go_on.set()
    service.clock.advance(1)
    gevent.joinall(moving)
    assert service.uids == service.keeper.order == [uids[3], uids[2], *uids[:2]]


def test_background_that_cannot_be_kept_leaves_the_old_one(service: Service) -> None:
    old = service.broker.set_bg("plain")["uid"]
    processes = hold_start(service)
    setting = service.call(service.broker.set_bg, "plain")
    service.keeper.fault = "the disk is full"
    accept(processes[0])
    service.clock.advance(LONG)
    assert str(setting.get()) == "the disk is full"
    assert service.broker.roster.background.uid == old
    assert service.broker.roster.background.state is State.PLAYING
    assert service.keeper.items[old].place is Place.BACKGROUND


def test_two_backgrounds_at_once_leave_the_last(service: Service) -> None:
    old = service.broker.set_bg("plain")["uid"]
    service.keeper.may_go_on.clear()
    setting = [service.call(service.broker.set_bg, "plain") for _ in range(2)]
    service.keeper.may_go_on.set()
    service.clock.advance(LONG)
    first, second = (each.get()["uid"] for each in setting)
    kept = [uid for uid, each in service.keeper.items.items() if each.place is Place.BACKGROUND]
    assert kept == [service.broker.roster.background.uid]
    assert set(service.keeper.history) == {old, first, second} - set(kept)


@pytest.mark.parametrize(
    ("how", "outcome"), [(0, Outcome.DONE), (1, Outcome.FAILED), ("rm", Outcome.DONE)]
)
def test_item_that_ends_while_its_place_is_kept_has_ended(
    service: Service, how: Any, outcome: Outcome
) -> None:
    processes = hold_start(service)
    adding = service.call(service.add)
    processes[0].connect()
    run_until_idle()
    service.keeper.may_go_on.clear()
    processes[0].answer()
    run_until_idle()
    processes[0].update("rm") if how == "rm" else processes[0].exit(how)
    service.clock.advance(LONG)
    service.keeper.may_go_on.set()
    run_until_idle()
    assert adding.ready()
    assert list(service.keeper.history.values()) == [outcome]
    assert service.keeper.items == {}


# Ends.


def test_each_item_ends_once_as_it_ended(service: Service) -> None:
    done, left, failed, removed = (service.add() for _ in range(4))
    processes = service.launcher.processes
    processes[0].exit(0)
    processes[1].update("rm")
    processes[2].exit(3)
    service.call(service.broker.rm, [removed])
    service.clock.advance(LONG)
    assert service.keeper.history == {
        done: Outcome.DONE,
        left: Outcome.DONE,
        failed: Outcome.FAILED,
        removed: Outcome.REMOVED,
    }
    assert service.keeper.items == {}


def test_refused_add_has_failed_and_is_no_item(service: Service) -> None:
    processes = hold_start(service)
    adding = service.call(service.add)
    accept(processes[0], success=False)
    service.clock.advance(LONG)
    assert "no init" in str(adding.get())
    assert list(service.keeper.history.values()) == [Outcome.FAILED]
    assert service.keeper.items == {}


def test_stop_is_no_end(service: Service) -> None:
    uids = [service.add(type) for type in ("plain", "again", "lazy", "lazy")]
    service.stop()
    assert service.keeper.was_stopped
    assert (list(service.keeper.items), service.keeper.history) == (uids, {})
    assert service.keeper.gone == []
    service.start()
    assert service.uids == uids
    assert service.states == ["playing", "suspended", "waiting", "waiting"]


def test_item_that_a_signal_has_ended_comes_back_if_the_service_ends_too(service: Service) -> None:
    uid = service.add()
    service.launcher.processes[0].exit(-15)
    run_until_idle()
    assert service.uids == []
    service.stop()
    service.start()
    assert service.uids == [uid]


def test_item_that_a_signal_has_ended_can_be_removed_and_does_not_come_back(
    service: Service,
) -> None:
    uid = service.add()
    service.launcher.processes[0].exit(-9)
    run_until_idle()
    service.broker.rm([uid])
    assert service.keeper.history == {uid: Outcome.REMOVED}
    service.crash()
    service.start()
    assert service.uids == []


def test_background_that_a_signal_has_ended_can_be_replaced(service: Service) -> None:
    old = service.broker.set_bg("plain")["uid"]
    service.launcher.processes[0].exit(-9)
    run_until_idle()
    new = service.broker.set_bg("plain")["uid"]
    assert service.keeper.history == {old: Outcome.REMOVED}
    service.crash()
    service.start()
    assert service.broker.show_background()["uid"] == new


def test_item_that_a_signal_has_ended_has_failed_if_the_service_goes_on(service: Service) -> None:
    uid = service.add()
    service.launcher.processes[0].exit(-15)
    service.clock.advance(2)
    assert service.keeper.history == {uid: Outcome.FAILED}


def test_life_that_is_restarted_is_no_end(service: Service) -> None:
    uid = service.add("after-failure")
    service.launcher.processes[0].exit(1)
    service.clock.advance(2)
    assert service.keeper.history == {}
    assert len(service.keeper.gone) == 1
    service.launcher.processes[1].exit(0)
    service.clock.advance(2)
    assert service.keeper.history == {uid: Outcome.DONE}
    assert service.uids == []


def test_item_that_leaves_by_itself_is_not_shown_as_starting_again(service: Service) -> None:
    uid = service.add("after-failure")
    service.launcher.processes[0].update("rm")
    run_until_idle()
    assert service.uids == []
    service.clock.advance(LONG)
    assert service.keeper.history == {uid: Outcome.DONE}


def test_item_that_is_given_up_has_failed(service: Service) -> None:
    uid = service.add("again")
    for _ in range(4):
        service.launcher.living[0].exit(1)
        service.clock.advance(10)
    assert service.keeper.history == {uid: Outcome.FAILED}


# Coming back.


def test_items_come_back_as_they_were(service: Service) -> None:
    service.keeper = MemoryKeeper(
        [
            item("a", "lazy", has_begun=True, restarts=3, saved=b"[1]"),
            item("b", has_begun=True),
            item("c", "lazy", held="by hand"),
            item("d", "lazy"),
            item("bg", place=Place.BACKGROUND, has_begun=True),
        ]
    )
    service.start()
    shown = service.broker.show_roster()
    assert [each["uid"] for each in shown] == ["a", "b", "c", "d"]
    assert [each["state"] for each in shown] == ["playing", "suspended", "held", "waiting"]
    assert shown[0]["restarts"] == 3
    assert shown[2]["held"] == "by hand"
    assert {(each["by"], each["added"]) for each in shown} == {("ann", "1970-01-01T00:00:01.000Z")}
    assert [each["args"]["of"] for each in shown] == ["a", "b", "c", "d"]
    assert service.broker.roster.find("a").saved == b"[1]"
    assert service.broker.show_background()["uid"] == "bg"
    assert service.broker.show_background()["state"] == "suspended"


def test_items_that_had_a_process_start_in_order_and_a_few_at_a_time(service: Service) -> None:
    kept = [item(f"{number}", "lazy", has_begun=True) for number in range(6)]
    service.keeper = MemoryKeeper(kept)
    service.launcher = FakeLauncher()
    started = []

    class SlowLauncher(FakeLauncher):
        def launch(self, *args: Any) -> Any:
            process = super().launch(*args)
            process.is_obedient = False
            started.append(process)
            return process

    service.launcher = launcher = SlowLauncher()
    service.broker = Queue(KINDS)
    service.broker.items.keeper = service.keeper
    service.broker._reconciler.max_starting = 2
    open_with(service.broker, launcher)
    run_until_idle()
    for number in range(6):
        assert len(started) == min(number + 2, 6)
        started[number].is_obedient = True
        started[number].connect()
        run_until_idle()
    assert [process.label for process in started] == [f"lazy {number}" for number in range(6)]


def test_nothing_starts_before_the_service_is_open(service: Service) -> None:
    broker, launcher = Queue(KINDS), FakeLauncher()
    broker.items.keeper = MemoryKeeper([item("a", has_begun=True), item("b", "lazy")])
    from fakes import FakeLaunchers

    broker.restore(FakeLaunchers(launcher))
    service.clock.advance(LONG)
    assert launcher.processes == []
    assert [each["state"] for each in broker.show_roster()] == ["waiting", "waiting"]


def test_types_say_what_a_crash_does_to_their_items(service: Service) -> None:
    again, hold, drop = service.add("plain"), service.add("hold"), service.add("drop")
    service.crash()
    service.start()
    assert service.uids == [again, hold]
    assert service.states == ["playing", "held"]
    assert service.keeper.history == {drop: Outcome.LOST}
    service.broker.release([hold])
    run_until_idle()
    assert service.states == ["playing", "suspended"]


def test_clean_stop_is_no_crash(service: Service) -> None:
    uids = [service.add(type) for type in ("plain", "hold", "drop")]
    service.stop()
    service.start()
    assert service.uids == uids
    assert service.states == ["playing", "suspended", "suspended"]


def test_item_whose_add_was_never_answered_comes_back_last_and_is_known_by_its_key(
    service: Service,
) -> None:
    hold_start(service)
    service.call(service.add, key="k")
    (uid,) = service.keeper.items
    service.keeper.items["first"] = item("first")
    service.crash()
    service.start()
    assert service.uids == ["first", uid]
    assert service.add(key="k") == uid


def test_background_whose_command_was_never_answered_is_lost(service: Service) -> None:
    hold_start(service)
    service.call(service.broker.set_bg, "plain")
    (uid,) = service.keeper.items
    service.crash()
    service.start()
    assert service.broker.show_background() is None
    assert service.keeper.history == {uid: Outcome.LOST}


def test_item_during_whose_start_the_service_dies_three_times_is_held(service: Service) -> None:
    uid = service.add()
    for attempt in range(1, 4):
        service.crash()
        service.broker = Queue(KINDS, backgrounds=[Plain])
        service.broker.items.keeper = service.keeper
        service.launcher = FakeLauncher(lambda process: setattr(process, "is_obedient", False))
        open_with(service.broker, service.launcher)
        run_until_idle()
        assert service.states == ["starting"]
        assert service.keeper.items[uid].attempts == attempt
    service.crash()
    service.start()
    (shown,) = service.broker.show_roster()
    assert shown["held"] == "the service died 3 times running while this item started"
    service.broker.release([uid])
    run_until_idle()
    assert service.states == ["playing"]
    assert service.broker.roster.find(uid).attempts == 0


def test_items_of_a_missing_type_are_held_and_come_back_with_it(service: Service) -> None:
    uids = [service.add("hold"), service.add("plain")]
    background = service.broker.set_bg("plain")["uid"]
    service.stop()
    complete = service._make
    service._make = lambda: Queue([Hold])
    service.start()
    assert service.uids == uids
    assert service.states == ["playing", "held"]
    words = "there is no type 'plain' in the settings"
    assert service.broker.show_roster()[1]["held"] == words
    assert service.broker.show_background()["held"] == words
    with pytest.raises(CommandError, match=words):
        service.broker.release(uids)
    service.broker.mv([uids[1]])
    service.stop()
    service._make = complete
    service.start()
    assert service.uids == [uids[1], uids[0]]
    assert service.states == ["playing", "suspended"]
    assert service.broker.show_background()["uid"] == background


# Held items.


def test_held_item_keeps_its_place_and_is_passed_over(service: Service) -> None:
    first, *others = (service.add("lazy") for _ in range(5))
    held = others[1]
    service.broker.hold([held])
    service.broker.rm([first])
    service.broker.rm([others[0]])
    service.clock.advance(1)
    assert service.uids == others[1:]
    assert service.states == ["held", "playing", "suspended"]
    with pytest.raises(CommandError, match="is held: it has no process until it is released"):
        service.broker.tell_module(held, "x")
    service.broker.release([held])
    service.clock.advance(1)
    assert service.states == ["playing", "suspended", "suspended"]


def test_hold_and_release_name_unknown_uids_and_change_nothing(service: Service) -> None:
    *_, last = (service.add("lazy") for _ in range(4))
    for command in (service.broker.hold, service.broker.release):
        with pytest.raises(CommandError, match=r"no item with uid 'x', 'y' in queue"):
            command(["x", last, "y"])
    assert service.states[-1] == "waiting"


def test_item_with_a_process_is_suspended_while_it_is_held(service: Service) -> None:
    first, second = service.add(), service.add()
    service.broker.hold([first])
    assert service.states == ["suspended", "playing"]
    assert service.broker.show_roster()[0]["held"] == "held by a client"
    service.broker.hold([second])
    assert service.states == ["suspended", "suspended"]
    service.broker.release([first, second])
    assert service.states == ["playing", "suspended"]
    assert "held" not in service.broker.show_roster()[0]


def test_held_background_does_not_let_an_item_start_before_its_turn(service: Service) -> None:
    background = service.broker.set_bg("plain")["uid"]
    service.broker.hold([background])
    for _ in range(3):
        service.add("lazy")
    assert service.states == ["playing", "suspended", "waiting"]


def test_held_item_of_a_pool_is_suspended_too(pool: Service) -> None:
    first, second = pool.add(), pool.add()
    pool.broker.hold([first])
    assert pool.states == ["suspended", "playing"]
    pool.broker.release([first])
    assert pool.states == ["playing", "playing"]
    pool.broker.hold([second])
    pool.broker.rm([second])
    assert pool.uids == [first]


def test_item_with_a_process_stays_held_after_a_restart_of_it_or_of_the_service(
    service: Service,
) -> None:
    uid = service.add("again")
    service.broker.hold([uid])
    service.launcher.processes[0].exit(1)
    service.clock.advance(LONG)
    assert service.states == ["suspended"]
    assert service.launcher.processes[-1].heard == ["init"]
    service.crash()
    service.start()
    assert service.states == ["held"]
    service.broker.release([uid])
    service.clock.advance(1)
    assert service.states == ["playing"]


def test_item_that_rests_keeps_its_place_and_comes_back_when_it_is_released(
    service: Service,
) -> None:
    first, _ = service.add(), service.add()
    resting = service.call(service.broker.items.rest, service.broker.roster.find(first), "was idle")
    service.clock.advance(LONG)
    assert resting.ready()
    assert service.states == ["held", "playing"]
    shown, _ = service.broker.show_roster()
    assert shown["held"] == "was idle; the next request starts it"
    assert service.launcher.processes[0].heard == ["init", "play", "rm"]
    assert service.keeper.history == {}

    service.crash()
    service.start()
    service.clock.advance(LONG)
    assert service.states == ["held", "playing"]
    service.broker.release([first])
    service.clock.advance(1)
    assert service.states == ["playing", "suspended"]


def test_item_that_is_released_while_it_goes_to_rest_starts_when_its_process_has_gone(
    service: Service,
) -> None:
    uid = service.add()
    service.launcher.processes[0].leaves_unread = True
    service.call(service.broker.items.rest, service.broker.roster.find(uid), "was idle")
    service.clock.advance(2.5)
    releasing = service.call(service.broker.release, [uid])
    assert len(service.launcher.processes) == 1
    service.clock.advance(LONG)
    assert releasing.get() is None
    assert service.states == ["playing"]
    assert service.launcher.processes[0].exit_status is not None


def test_item_that_rests_can_be_held_and_removed(service: Service) -> None:
    first, second = service.add(), service.add()
    for uid in (first, second):
        service.call(service.broker.items.rest, service.broker.roster.find(uid), "was idle")
    service.clock.advance(LONG)
    service.broker.hold([first])
    assert service.broker.show_roster()[0]["held"] == "held by a client"
    service.broker.rm([second])
    service.clock.advance(LONG)
    assert service.uids == [first]
    assert service.states == ["held"]


def test_item_that_is_restarted_while_its_release_is_kept_is_released(service: Service) -> None:
    uid = service.add("again")
    service.broker.hold([uid])
    service.keeper.may_go_on.clear()
    releasing = service.call(service.broker.release, [uid])
    service.launcher.processes[0].exit(1)
    service.clock.advance(1)
    service.keeper.may_go_on.set()
    service.clock.advance(LONG)
    assert releasing.get() is None
    assert service.states == ["playing"]


def test_hold_of_an_item_that_is_restarted_meanwhile_is_refused(service: Service) -> None:
    uid = service.add("again")
    service.keeper.may_go_on.clear()
    holding = service.call(service.broker.hold, [uid])
    service.launcher.processes[0].exit(1)
    service.clock.advance(1)
    service.keeper.may_go_on.set()
    service.clock.advance(LONG)
    assert "has been started meanwhile" in str(holding.get())
    assert service.states == ["playing"]
    assert service.keeper.items[uid].held is None


def test_item_that_is_starting_cannot_be_held(service: Service) -> None:
    first, *others, last = (service.add("lazy") for _ in range(5))
    hold_start(service)
    service.broker.rm([first])
    with pytest.raises(CommandError, match=r"is starting\. Nothing was changed"):
        service.broker.hold([last, others[1]])
    assert service.states[-1] == "waiting"


# Keys.


def test_same_key_starts_nothing_while_its_item_lives_or_after(service: Service) -> None:
    uid = service.add(key="k")
    assert service.add("lazy", key="k") == uid
    service.broker.rm([uid])
    service.clock.advance(LONG)
    assert service.add(key="k") == uid
    assert service.uids == []


def test_same_key_works_for_living_items_without_a_state_file(service: Service) -> None:
    service.broker.items.keeper = KeepsNothing()
    uid = service.add(key="k")
    assert service.add(key="k") == uid
    assert service.broker.set_bg("plain", key="k")["uid"] == uid
    service.broker.rm([uid])
    assert service.add(key="k") != uid


def test_key_is_known_after_a_crash(service: Service) -> None:
    uid = service.add(key="k")
    service.crash()
    service.start()
    assert service.add(key="k") == uid
    assert service.uids == [uid]


def test_two_adds_with_one_key_at_once_share_the_outcome(service: Service) -> None:
    processes = hold_start(service)
    adding = [service.call(service.add, key="k") for _ in range(2)]
    assert len(processes) == 1
    accept(processes[0], success=False)
    service.clock.advance(LONG)
    assert [str(each.get()) for each in adding] == ["plain refused `init`: no init"] * 2
    service.launcher._on_launch = lambda process: None
    assert service.add(key="k") in service.uids


def test_second_add_tries_itself_if_the_first_is_given_up(service: Service) -> None:
    processes = hold_start(service)
    first = service.call(service.add, key="k")
    second = service.call(service.add, key="k")
    service.launcher._on_launch = lambda process: None
    first.kill(gevent.Timeout(), block=False)
    service.clock.advance(LONG)
    assert len(processes) == 1
    assert second.get() in service.uids


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_key_has_a_length(service: Service, key: str) -> None:
    with pytest.raises(CommandError, match="`key` must have 1 to 200 characters"):
        service.add(key=key)


def test_pool_comes_back_whole(pool: Service) -> None:
    uids = [pool.add(type) for type in ("plain", "lazy", "again")]
    pool.crash()
    pool.start(max_starting=1)
    assert pool.uids == uids
    assert pool.states == ["playing"] * 3


def test_add_during_the_start_of_the_service_waits_for_it(
    clock: FakeClock, launcher: FakeLauncher
) -> None:
    queue = Queue(KINDS)
    adding = gevent.spawn(queue.add, "plain")
    run_until_idle()
    assert not adding.ready()
    open_with(queue, launcher)
    run_until_idle()
    assert adding.get(block=False)["uid"] == queue.show_roster()[0]["uid"]


def test_add_during_a_start_that_is_given_up_is_refused(clock: FakeClock) -> None:
    pool = Pool(KINDS)
    adding = gevent.spawn(pool.add, "plain")
    run_until_idle()
    pool.stop()
    with pytest.raises(CommandError, match="pool is shutting down"):
        adding.get(timeout=LONG)


def test_ten_thousand_items_come_back_without_a_process(service: Service) -> None:
    kept = [item(f"{number}", "lazy") for number in range(10_000)]
    service.keeper = MemoryKeeper(kept)
    service.start()
    assert len(service.uids) == 10_000
    assert len(service.launcher.processes) == 2
    assert restoring.MAX_ATTEMPTS == 3
    assert replace(kept[0]).uid == service.uids[0]
