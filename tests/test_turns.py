"""Turns: slots, limits of types, needs and what a pool has, preemption, and what clients see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from fake_types import Lazy, Plain
from fakes import AnyPriority, Fake, FakeClock, FakeLauncher, open_with, run_until_idle
from memory_keeper import MemoryKeeper

from shmooze import settings
from shmooze.errors import CommandError, SettingsError
from shmooze.modules import Module
from shmooze.modules.lifecycle import State
from shmooze.pool import Pool, _from_settings
from shmooze.queue import Queue
from shmooze.settings import Settings

#: Seconds in which everything has ended.
LONG = 60.0


class Sd(Fake):
    """A program that needs a GPU from its launch until its end."""

    TYPE_STRING = "sd"
    needs = {"gpu": 1}
    environment = {"CUDA_VISIBLE_DEVICES": "{gpu}", "MODE": "{mode}"}


class Big(Fake):
    TYPE_STRING = "big"
    needs = {"gpu": 2, "memory_mb": 6000.5}


class Job(Module):
    """A program that knows nothing of us, and is launched when it plays."""

    TYPE_STRING = "job"
    process = ("job",)
    adapter = "command"
    needs = {"gpu": 1}


class Yields(Job):
    """One that is ended when it is suspended, and so gives back what it has."""

    TYPE_STRING = "yields"
    preempt = True
    suspend_by = "end"


class Music(Fake):
    TYPE_STRING = "music"
    preempt = True


class Twice(Fake):
    TYPE_STRING = "twice"
    max_playing = 2


class Restarts(Sd):
    TYPE_STRING = "restarts"
    restart = "on-failure"


class Early(Lazy):
    TYPE_STRING = "early"
    lookahead = 2


class Late(Lazy):
    TYPE_STRING = "late"
    lookahead = 0


KINDS = [Plain, Lazy, Early, Late, Sd, Big, Job, Yields, Music, Twice, Restarts]


class Service:
    """A pool in memory."""

    def __init__(self, clock: FakeClock, **keys: Any) -> None:
        self.clock, self.launcher = clock, FakeLauncher()
        has = keys.get("has", {})
        fitting = [kind for kind in KINDS if all(has.get(n, 0) >= x for n, x in kind.needs.items())]
        self.pool = Pool(fitting, **keys)
        self.pool.items.ordering = AnyPriority("pool")
        open_with(self.pool, self.launcher)

    def add(self, type: str, **args: Any) -> str:
        """Returns its uid."""
        adding = gevent.spawn(self.pool.add, type, **args)
        run_until_idle()
        assert adding.ready()
        uid: str = adding.get()["uid"]
        return uid

    def rm(self, uid: str) -> None:
        gevent.spawn(self.pool.rm, [uid])
        self.clock.advance(LONG)

    @property
    def states(self) -> list[str]:
        run_until_idle()
        return [each["state"] for each in self.pool.show_roster()]

    @property
    def waits(self) -> list[str | None]:
        run_until_idle()
        return [each.get("waits") for each in self.pool.show_roster()]

    def find(self, uid: str) -> Any:
        return self.pool.roster.find(uid)

    def name(self, uid: str) -> str:
        return f"{self.find(uid).TYPE_STRING} {uid[:8]}"

    def environ(self, uid: str) -> dict[str, str]:
        environ: dict[str, str] = self.find(uid)._process.spec.environ
        return environ

    def end(self, uid: str, status: int = 0) -> None:
        """Its process ends by itself."""
        self.find(uid)._process.exit(status)
        run_until_idle()

    def stop(self) -> None:
        ending = gevent.spawn(self.pool.stop)
        self.clock.advance(LONG)
        assert ending.ready()
        assert self.launcher.living == []


Make = Callable[..., Service]


@pytest.fixture
def make(clock: FakeClock) -> Iterator[Make]:
    made: list[Service] = []

    def make(**keys: Any) -> Service:
        made.append(Service(clock, **keys))
        return made[-1]

    yield make
    for service in made:
        service.stop()


# Slots.


def test_as_many_play_as_there_are_slots_and_the_first_of_the_others_comes_next(
    make: Make,
) -> None:
    service = make(slots=2)
    uids = [service.add("plain") for _ in range(4)]
    assert service.states == ["playing", "playing", "suspended", "suspended"]
    service.rm(uids[0])
    assert service.states == ["playing", "playing", "suspended"]


def test_those_that_play_go_on_whoever_comes_before_them(make: Make) -> None:
    service = make(slots=1)
    first, second = service.add("plain"), service.add("plain")
    service.pool.items.move([second])
    assert service.states == ["suspended", "playing"]
    service.rm(first)
    assert service.states == ["playing"]


def test_slot_is_taken_until_the_processes_of_a_module_that_has_played_are_gone(
    make: Make,
) -> None:
    service = make(slots=1)
    first = service.add("plain")
    service.add("plain")
    service.launcher.processes[0].leaves_unread = True
    service.launcher.processes[0].is_obedient = False
    gevent.spawn(service.pool.rm, [first])
    service.clock.advance(2.5)
    assert service.states == ["suspended"]
    service.clock.advance(LONG)
    assert service.states == ["playing"]


def test_lazy_one_gets_its_process_as_many_places_before_its_turn_as_its_type_says(
    make: Make,
) -> None:
    service = make(slots=2)
    for _ in range(4):
        service.add("lazy")
    assert service.states == ["playing", "playing", "suspended", "waiting"]
    service.add("early")
    service.add("early")
    assert service.states[4:] == ["waiting", "waiting"]
    service.end(service.pool.roster.order[0].uid)
    assert service.states == ["playing", "playing", "suspended", "suspended", "waiting"]


def test_one_whose_turn_has_come_keeps_its_slot_while_it_starts(make: Make) -> None:
    service = make(slots=1)
    first = service.add("plain")
    service.add("late")
    service.add("plain")
    service.launcher._on_launch = lambda process: setattr(process, "is_obedient", False)
    service.end(first)
    assert service.states == ["starting", "suspended"]
    late = service.launcher.processes[-1]
    late.is_obedient = True
    late.connect()
    assert service.states == ["playing", "suspended"]


# Limits of types.


def test_as_many_of_a_type_play_as_it_says_and_others_pass_them(make: Make) -> None:
    service = make(slots=3)
    for type in ("twice", "twice", "twice", "plain"):
        service.add(type)
    assert service.states == ["playing", "playing", "suspended", "playing"]
    assert service.waits == [None, None, "2 of type twice play already", None]


def test_limit_of_a_type_holds_in_a_pool_without_slots(make: Make) -> None:
    service = make()
    for _ in range(3):
        service.add("twice")
    service.add("plain")
    assert service.states == ["playing", "playing", "suspended", "playing"]


# Needs.


def test_process_is_told_by_number_what_it_has(make: Make) -> None:
    service = make(has={"gpu": 3, "memory_mb": 16000})
    uids = [service.add(type) for type in ("sd", "big")]
    assert service.environ(uids[0]) == {
        "SHMOOZE_GPU": "0",
        "CUDA_VISIBLE_DEVICES": "0",
        "MODE": "{mode}",
    }
    assert service.environ(uids[1]) == {"SHMOOZE_GPU": "1,2", "SHMOOZE_MEMORY_MB": "6000.5"}
    service.end(uids[0])
    service.end(uids[1])
    assert service.environ(service.add("sd"))["SHMOOZE_GPU"] == "0"


def test_one_for_which_there_is_not_enough_waits_without_a_process_and_says_why(
    make: Make,
) -> None:
    service = make(has={"gpu": 1})
    first = service.add("sd")
    second, third = service.add("sd"), service.add("sd")
    assert service.states == ["playing", "waiting", "waiting"]
    assert service.waits == [
        None,
        f"needs gpu 1, used by {service.name(first)}",
        f"needs gpu 1, used by {service.name(first)}, kept for {service.name(second)}",
    ]
    assert len(service.launcher.processes) == 1
    service.end(first)
    assert service.states == ["playing", "waiting"]
    assert service.waits[0] is None
    assert service.environ(second)["SHMOOZE_GPU"] == "0"
    assert service.find(third).grant is None


def test_nothing_is_granted_again_before_the_process_that_has_it_is_gone(make: Make) -> None:
    service = make(has={"gpu": 1})
    first = service.add("sd")
    second = service.add("sd")
    service.launcher.processes[0].leaves_unread = True
    service.launcher.processes[0].is_obedient = False
    gevent.spawn(service.pool.rm, [first])
    service.clock.advance(2.5)
    assert service.states == ["waiting"]
    assert service.waits == [f"needs gpu 1, used by sd {first[:8]}"]
    service.clock.advance(LONG)
    assert service.states == ["playing"]
    assert service.find(second).grant.words == {"gpu": "0"}


def test_two_that_start_at_the_same_time_get_different_numbers(make: Make) -> None:
    service = make(has={"gpu": 2, "memory_mb": 6000.5})
    keeper = service.pool.items.keeper = MemoryKeeper()
    big = service.add("big")
    uids = [service.add("sd"), service.add("sd")]
    keeper.may_go_on.clear()  # both are about to be started, then
    service.end(big)
    keeper.may_go_on.set()
    assert service.states == ["playing", "playing"]
    assert [service.environ(uid)["SHMOOZE_GPU"] for uid in uids] == ["0", "1"]


def test_one_that_waits_is_not_overtaken_for_ever_by_others_that_need_less(make: Make) -> None:
    service = make(has={"gpu": 2, "memory_mb": 6000.5})
    first = service.add("sd")
    big = service.add("big")
    service.add("sd")
    assert service.states == ["playing", "waiting", "waiting"]
    service.end(first)
    assert service.states == ["playing", "waiting"]
    assert service.find(big).state is State.PLAYING


def test_others_that_do_not_need_it_pass_one_that_waits_for_it(make: Make) -> None:
    service = make(slots=2, has={"gpu": 1})
    service.add("sd")
    service.add("sd")
    service.add("plain")
    assert service.states == ["playing", "waiting", "playing"]


def test_one_that_is_held_keeps_what_its_process_has(make: Make) -> None:
    service = make(has={"gpu": 1})
    first = service.add("sd")
    service.add("sd")
    service.pool.hold([first])
    assert service.states == ["suspended", "waiting"]
    service.pool.release([first])
    assert service.states == ["playing", "waiting"]


def test_add_waits_for_its_process_if_there_is_enough_and_tells_why_it_fails(
    make: Make,
) -> None:
    service = make(has={"gpu": 1})
    service.launcher.fault = "no such program"
    with pytest.raises(CommandError, match=r"sd cannot be started: no such program"):
        service.pool.add("sd")
    service.launcher.fault = ""
    service.add("sd")
    assert service.states == ["playing"]


def test_one_that_is_started_again_waits_for_what_it_needs(make: Make, clock: FakeClock) -> None:
    service = make(has={"gpu": 1})
    first = service.add("restarts")
    second = service.add("sd")
    service.end(first, status=1)
    clock.advance(LONG)
    assert service.states == ["waiting", "playing"]
    assert service.waits[0] == f"needs gpu 1, used by {service.name(second)}"
    service.end(second)
    assert service.states == ["playing"]


def test_command_needs_something_only_while_it_plays(make: Make) -> None:
    service = make(slots=2, has={"gpu": 1})
    first, second = service.add("job"), service.add("job")
    assert service.states == ["playing", "suspended"]
    assert service.waits[1] == f"needs gpu 1, used by {service.name(first)}"
    service.end(first)
    assert service.states == ["playing"]
    assert service.environ(second)["SHMOOZE_GPU"] == "0"


# Preemption.


def test_one_of_higher_priority_suspends_one_that_may_be_which_goes_on_after_it(
    make: Make,
) -> None:
    service = make(slots=1)
    music = service.add("music")
    bell = add_first(service, "plain", priority=1)
    assert service.states == ["playing", "suspended"]
    service.end(bell)
    assert service.states == ["playing"]
    assert service.pool.roster.order[0].uid == music


def test_nobody_is_suspended_who_may_not_be_or_for_one_of_the_same_priority(make: Make) -> None:
    service = make(slots=1)
    service.add("plain")
    add_first(service, "plain", priority=1)
    assert service.states == ["suspended", "playing"]
    other = make(slots=1)
    other.add("music")
    add_first(other, "plain")
    assert other.states == ["suspended", "playing"]


def test_what_one_has_that_is_ended_when_it_is_suspended_is_free_for_the_other(
    make: Make,
) -> None:
    service = make(has={"gpu": 1})
    yields = service.add("yields")
    sd = add_first(service, "sd", priority=1)
    assert service.states == ["playing", "suspended"]
    assert service.find(yields).grant is None
    assert service.environ(sd)["SHMOOZE_GPU"] == "0"
    service.end(sd)
    assert service.states == ["playing"]
    assert service.environ(yields)["SHMOOZE_GPU"] == "0"


def add_first(service: Service, type: str, priority: float = 0.0) -> str:
    """Add one that has the first place."""
    kind = service.pool.modules_available_dict[type]
    uid = service.add(type, priority=priority)
    service.pool.items.move([uid])
    run_until_idle()
    assert kind is type_of(service, uid)
    return uid


def type_of(service: Service, uid: str) -> type[Module]:
    return type(service.find(uid))


# What clients see.


def test_those_that_wait_have_a_place_and_an_estimate_where_the_history_knows_their_types(
    make: Make, clock: FakeClock
) -> None:
    service = make(slots=2, has={"gpu": 1})
    usual = {"plain": 100.0, "sd": 40.0}
    service.pool.durations = usual.get
    for type in ("sd", "plain", "sd", "plain", "early", "plain"):
        service.add(type)
    clock.advance(10.0)
    shown = service.pool.show_roster()
    assert [each.get("place") for each in shown] == [None, None, 1, 2, 3, 4]
    # In seconds: `sd` ends at 30 and 70, `plain` at 90, and the next one at 170.
    assert [each.get("estimate") for each in shown] == [None, None, 30.0, 70.0, 90.0, 170.0]


def test_modules_may_begin_to_play_while_the_history_is_read_for_an_estimate(make: Make) -> None:
    service = make(slots=3)
    service.add("plain"), service.add("plain")
    service.pool.pause()
    service.add("plain")

    def usual(_type: str) -> float:
        service.pool.resume()
        run_until_idle()
        return 60.0

    service.pool.durations = usual
    assert [each.get("place") for each in service.pool.show_roster()] == [None, None, 1]
    assert service.states == ["playing"] * 3


def test_queue_with_a_history_shows_places_and_estimates(clock: FakeClock) -> None:
    queue = Queue([Plain, Lazy])
    open_with(queue, FakeLauncher())
    for type in ("plain", "plain", "lazy", "plain"):
        queue.add(type)
    assert [each.get("place") for each in queue.show_roster()] == [None] * 4
    queue.durations = {"plain": 60.0}.get
    clock.advance(20.0)
    shown = queue.show_roster()
    assert [each.get("place") for each in shown] == [None, 1, 2, 3]
    assert [each.get("estimate") for each in shown] == [None, 40.0, 100.0, None]
    ending = gevent.spawn(queue.stop)
    clock.advance(LONG)
    assert ending.ready()


# Mistakes.


@pytest.mark.parametrize(
    ("has", "words"),
    [
        ({}, r"Sd: `needs` names 'gpu', which the pool does not have; it has: nothing"),
        ({"cpu": 2}, r"Sd: `needs` names 'gpu', which the pool does not have; it has: cpu"),
        ({"gpu": 0}, r"Sd: `needs` is 1 of 'gpu', and the pool has 0"),
        ({"gpu": -1}, r"Pool: `has` must be"),
        ({"gpu": 1, "settings": 1}, r"`has`: 'settings' would be the environment variable SHMOO"),
        ({"gpu": 1, "GPU": 1}, r"would be the environment variable SHMOOZE_GPU, as that of 'gpu'"),
    ],
)
def test_what_a_type_needs_and_the_pool_does_not_have_is_told_in_one_line(
    has: dict[str, float], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        Pool([Sd], has=has)


def test_type_that_needs_something_has_nothing_on_standby() -> None:
    class Ahead(Sd):
        standby = 1

    with pytest.raises(SettingsError, match=r"Ahead: `standby` must be 0 for a type that `needs`"):
        Pool([Ahead], has={"gpu": 1})


def test_type_that_needs_something_has_no_process_that_waits_for_items() -> None:
    class Reused(Sd):
        reuse = 2

    with pytest.raises(SettingsError, match=r"Reused: `reuse` must be 1 for a type that `needs`"):
        Pool([Reused], has={"gpu": 1})


def test_keys_of_pools_are_refused_in_a_queue() -> None:
    for kind, words in ((Sd, "Sd: `needs` is for pools"), (Twice, "Twice: `max_playing` is for p")):
        with pytest.raises(SettingsError, match=words):
            Queue([kind])


SD = {"process": ["true"], "needs": {"gpu": 1}}
PLAIN = {"process": ["true"]}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"modules": {"sd": SD}}, r"`pool.modules.sd.needs` names 'gpu', which the pool does not"),
        (
            {"has": {"gpu": 1}, "modules": {"sd": SD | {"needs": {"gpu": -1}}}},
            r"`pool.modules.sd.needs.gpu` must be a number, 0 or more, not -1",
        ),
        ({"has": {"gpu": "one"}, "modules": {"sd": SD}}, r"`pool.has.gpu` must be a number"),
        (
            {"slots": 1, "modules": {"a": PLAIN | {"preempt": True}}},
            r'`pool.modules.a.preempt` has no meaning unless `order` is "priority"',
        ),
        (
            {"slots": 1, "modules": {"a": PLAIN | {"keep": True}}},
            r"`pool.modules.a.keep` has no meaning for a type without `http`",
        ),
        (
            {"modules": {"a": PLAIN | {"max_playing": 0}}},
            r"`pool.modules.a.max_playing` must be a whole number above 0",
        ),
    ],
)
def test_mistakes_in_a_section_are_told_in_one_line(
    section: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"pool": section}))
    settings.use(Settings.load({"SHMOOZE_SETTINGS": str(path)}))
    try:
        with pytest.raises(SettingsError, match=words):
            _from_settings("pool").start()
    finally:
        settings.use(None)
