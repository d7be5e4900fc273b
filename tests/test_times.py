"""Items that wait for a time, expire, or play alone in a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from fake_types import Again, Lazy, Plain
from fakes import FakeClock, FakeLauncher, open_with, run_until_idle
from gevent.event import Event
from lives import LONG, Lives
from memory_keeper import MemoryKeeper
from support import PATIENCE
from test_recurrence import berlin

from shmooze.broker.broker import Broker
from shmooze.errors import CommandError
from shmooze.modules.exit import Outcome
from shmooze.pool import Pool
from shmooze.queue import Queue
from shmooze.runtime.clock import Clock

NOON = berlin("2027-03-01T12:00")
NEWS = {"from": "20:00", "to": "20:15", "tz": "Europe/Berlin"}
KINDS = [Plain, Lazy, Again]


class Service(Lives):
    """A queue or pool, and what it keeps. It can stop and crash, and come back."""

    def __init__(self, clock: FakeClock, make: Callable[[], Any]) -> None:
        self.clock, self._make = clock, make
        self.keeper = MemoryKeeper()
        self.start()

    def start(self) -> None:
        self.launcher = FakeLauncher()
        self.broker: Any = self._make()
        self.broker.items.keeper = self.keeper
        self.broker.attach_schedules()
        open_with(self.broker, self.launcher)
        run_until_idle()

    def add(self, type: str = "plain", **terms: Any) -> str:
        adding = gevent.spawn(self.broker.add, type, **terms)
        run_until_idle()
        return str(adding.get()["uid"])

    def call(self, command: str, **args: Any) -> Any:
        return self.broker.commands[command](self.broker, **args)

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        run_until_idle()
        return {each["uid"]: each for each in self.broker.show_roster()}

    def playing(self) -> list[str]:
        return [uid for uid, each in self.items.items() if each["state"] == "playing"]

    def reason(self, uid: str) -> str:
        return next(str(each["reason"]) for each in self.broker.gone() if each["uid"] == uid)


MAKERS = {
    "queue": lambda: Queue(KINDS),
    "pool": lambda: Pool(KINDS),
    "pool with slots": lambda: Pool(KINDS, slots=2),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[], Broker]:
    return MAKERS[request.param]


@pytest.fixture
def service(clock: FakeClock, make: Callable[[], Broker]) -> Any:
    clock.set(NOON)
    service = Service(clock, make)
    yield service
    service.stop()


@pytest.fixture
def queue(clock: FakeClock) -> Any:
    clock.set(NOON)
    service = Service(clock, lambda: Queue(KINDS, [Plain]))
    yield service
    service.stop()


def fail(*args: Any) -> None:
    raise CommandError("the state cannot be kept: the disk is full")


# not_before


def test_item_waits_for_its_time_without_a_process(service: Service, clock: FakeClock) -> None:
    uid = service.add(not_before=NOON + 60)
    clock.advance(59.9)
    assert service.items[uid]["state"] == "waiting"
    assert service.items[uid]["waits"].startswith("not before 2027-03-01T")
    assert service.launcher.processes == []
    clock.advance(0.1)
    assert service.playing() == [uid]
    assert "waits" not in service.items[uid]


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_item_waits_by_the_clock_that_was_set(
    service: Service, clock: FakeClock, step: float
) -> None:
    uid = service.add(not_before=NOON + 7200)
    clock.set(NOON + step)
    clock.advance(7200 - step - 1)
    assert service.playing() == []
    clock.advance(1)
    assert service.playing() == [uid]


def test_item_that_has_begun_goes_on_when_the_clock_is_set_back(
    service: Service, clock: FakeClock
) -> None:
    uid = service.add(not_before=NOON + 60)
    service.add(not_before=NOON + 3600)
    clock.advance(60)
    clock.set(NOON)
    assert service.playing() == [uid]


def test_item_whose_time_comes_while_the_service_is_down_starts_with_it(
    service: Service, clock: FakeClock
) -> None:
    uid = service.add(not_before=NOON + 600)
    service.stop()
    clock.skip(600)
    service.start()
    assert service.playing() == [uid]


def test_item_waits_after_a_restart_too(service: Service, clock: FakeClock) -> None:
    uid = service.add(not_before=NOON + 600)
    service.crash()
    service.start()
    assert service.items[uid]["state"] == "waiting"
    clock.advance(600)
    assert service.playing() == [uid]


def test_real_clock_tells_at_once_that_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    shift = 0.0
    real = Clock()
    real.look_interval = 0.001
    monkeypatch.setattr(real, "time", lambda: Clock().time() + shift)
    waiting = gevent.spawn(real.wait_until, Event(), real.time() + 3600)
    gevent.sleep(0.01)
    assert not waiting.ready()
    shift = -7200.0
    waiting.get(timeout=PATIENCE)
    real.wait_until(Event(), real.time() + 0.01)
    real.wait_until(Event(), real.time() - 1)


# expires


def test_item_that_does_not_get_its_turn_in_time_is_removed(
    queue: Service, clock: FakeClock
) -> None:
    first, late = queue.add(), queue.add(expires=NOON + 60)
    clock.advance(60 + LONG)
    assert [*queue.items] == [first]
    assert queue.keeper.history == {late: Outcome.REMOVED}
    assert queue.reason(late).startswith("expired: it had not begun by 2027-03-01T")


def test_item_that_has_played_does_not_expire(queue: Service, clock: FakeClock) -> None:
    uid = queue.add(expires=NOON + 60)
    other = queue.add()
    queue.broker.mv([other])
    clock.advance(60 + LONG)
    assert [*queue.items] == [other, uid]


def test_item_that_has_played_does_not_expire_though_that_cannot_be_kept(
    queue: Service, clock: FakeClock
) -> None:
    other, uid = queue.add(), queue.add(expires=NOON + 60)
    queue.keeper.keep_terms = fail  # type: ignore[method-assign]
    queue.broker.hold([other])
    assert queue.playing() == [uid]
    queue.broker.release([other])
    assert queue.playing() == [other]
    clock.advance(60 + LONG)
    assert [*queue.items] == [other, uid]


def test_item_that_has_played_does_not_expire_after_a_restart_either(
    queue: Service, clock: FakeClock
) -> None:
    uid = queue.add(expires=NOON + 600)
    queue.add()
    queue.stop()
    clock.skip(600)
    queue.start()
    assert uid in queue.items


def test_item_that_expires_while_the_service_is_down_never_plays(
    queue: Service, clock: FakeClock
) -> None:
    first, late = queue.add(), queue.add(expires=NOON + 600)
    queue.stop()
    clock.skip(600)
    queue.start()
    clock.advance(LONG)
    assert [*queue.items] == [first]
    assert queue.keeper.history[late] is Outcome.REMOVED


def test_expired_item_goes_when_it_can_be_kept_again(queue: Service, clock: FakeClock) -> None:
    queue.add()
    late = queue.add(expires=NOON + 60)
    queue.keeper.fault = "the state cannot be kept: the disk is full"
    clock.advance(60 + LONG)
    assert late in queue.items
    queue.keeper.fault = ""
    clock.advance(60 + LONG)
    assert late not in queue.items


# window


@pytest.mark.parametrize("type", ["plain", "lazy"])
def test_item_plays_alone_in_its_window_and_the_others_go_on_after_it(
    service: Service, clock: FakeClock, type: str
) -> None:
    others = [service.add(), service.add()]
    before = service.playing()
    news = service.add(type, window=NEWS)
    assert service.items[news]["waits"] == "plays from 20:00 to 20:15 (Europe/Berlin)"
    clock.advance(8 * 3600 - 1)
    assert service.playing() == before
    clock.advance(1)
    assert service.playing() == [news]
    assert service.items[others[0]]["waits"] == f"{type} {news[:8]} plays alone"
    clock.advance(900)
    assert service.playing() == before
    clock.advance(86400 - 900)
    assert service.playing() == [news]


def test_watchers_hear_when_an_item_waits_for_something_else(
    service: Service, clock: FakeClock
) -> None:
    uid = service.add(not_before=NOON + 60, window=NEWS)
    heard: list[str] = []
    service.broker.roster.listen(lambda uid, what: heard.append(service.items[uid]["waits"]))
    clock.advance(60)
    assert heard == ["plays from 20:00 to 20:15 (Europe/Berlin)"]
    assert service.items[uid]["state"] == "waiting"


def test_new_item_waits_while_another_plays_alone(service: Service, clock: FakeClock) -> None:
    news = service.add(window=NEWS)
    clock.advance(8 * 3600)
    other = service.add()
    assert service.playing() == [news]
    assert service.items[other]["state"] == "waiting"
    clock.advance(900)
    assert service.playing() == [other]


def test_background_waits_while_an_item_plays_alone(queue: Service, clock: FakeClock) -> None:
    news = queue.add(window=NEWS)
    clock.advance(8 * 3600)
    setting = gevent.spawn(queue.broker.set_bg, "plain")
    run_until_idle()
    assert setting.ready()
    assert queue.playing() == [news]
    assert queue.broker.show_background()["state"] == "suspended"
    clock.advance(900)
    assert queue.broker.show_background()["state"] == "playing"


def test_others_go_on_when_the_item_with_the_window_has_left(
    service: Service, clock: FakeClock
) -> None:
    other, news = service.add(), service.add(window=NEWS)
    clock.advance(8 * 3600)
    assert service.playing() == [news]
    service.launcher.processes[-1].exit(0)
    clock.advance(LONG)
    assert service.playing() == [other]


def test_others_play_until_the_item_with_the_window_can(service: Service, clock: FakeClock) -> None:
    other, news = service.add(), service.add("again", window=NEWS)
    service.launcher.may_go_on.clear()
    clock.advance(8 * 3600)
    assert service.playing() == [other]
    service.launcher.may_go_on.set()
    assert service.playing() == [news]
    service.launcher.processes[-1].exit(1)  # it is started again after a while
    assert service.playing() == [other]
    clock.advance(LONG)
    assert service.playing() == [news]


def test_item_whose_process_needs_what_others_have_gets_it_in_its_window(clock: FakeClock) -> None:
    needy = type("Needy", (Plain,), {"TYPE_STRING": "needy", "needs": {"gpu": 1}})
    clock.set(NOON)
    service = Service(clock, lambda: Pool([Plain, needy], slots=1, has={"gpu": 1}))
    other, news = service.add(), service.add("needy", window=NEWS)
    assert service.playing() == [other]
    clock.advance(8 * 3600)
    assert service.playing() == [news]
    clock.advance(900)
    assert service.playing() == [other]
    service.stop()


@pytest.mark.parametrize("slots", [None, 3])
def test_item_plays_alone_from_its_first_moment_to_its_last(
    clock: FakeClock, slots: int | None
) -> None:
    clock.set(NOON)
    service = Service(clock, lambda: Pool(KINDS, slots=slots))
    other, news = service.add(), service.add(window=NEWS)
    first, second = service.launcher.processes[0], lambda: service.launcher.processes[-1]
    first.is_obedient = False
    clock.advance(8 * 3600)
    assert first.heard[-1] == "suspend"
    assert second().heard == ["init"]
    first.answer()
    assert service.playing() == [news]
    first.is_obedient, second().is_obedient = True, False
    clock.advance(900)
    assert (second().heard[-1], first.heard[-1]) == ("suspend", "suspend")
    second().answer()
    assert service.playing() == [other]
    service.stop()


def test_held_item_with_a_window_keeps_nobody_from_playing(
    service: Service, clock: FakeClock
) -> None:
    other, news = service.add(), service.add(window=NEWS)
    service.broker.hold([news])
    clock.advance(8 * 3600)
    assert service.playing() == [other]
    releasing = gevent.spawn(service.broker.release, [news])
    assert service.playing() == [news]
    assert releasing.ready()


def test_window_is_open_again_when_the_clock_is_set_back(
    service: Service, clock: FakeClock
) -> None:
    other, news = service.add(), service.add(window=NEWS)
    clock.advance(9 * 3600)
    assert service.playing() == [other]
    clock.set(NOON + 8 * 3600 + 60)
    assert service.playing() == [news]
    clock.set(NOON)
    assert service.playing() == [other]


def test_window_is_known_after_a_restart(service: Service, clock: FakeClock) -> None:
    other, news = service.add(), service.add(window=NEWS)
    service.crash()
    clock.set(NOON + 8 * 3600)
    service.start()
    assert service.playing() == [news]
    clock.advance(900)
    assert service.playing() == [other]


def test_many_items_with_times_cost_little(queue: Service, clock: FakeClock) -> None:
    looked: list[str] = []
    queue.add(not_before=NOON + 1)
    times = queue.broker.items.conditions._all[-1]
    look, times._look = times._look, lambda uid, now: (looked.append(uid), look(uid, now))
    for number in range(200):
        queue.add("lazy", not_before=NOON + 1000 + number)
    clock.advance(1)
    assert len(looked) < 1000
