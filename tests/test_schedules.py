"""Schedules: each time gets its item once, whatever happens to the service and the clock."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import gevent
import pytest
from fake_types import Plain
from fakes import FakeClock, fake_clock, open_with, run_until_idle
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support import Site, wait_until
from test_recurrence import berlin
from test_times import KINDS, LONG, NOON, Service

from shmooze.access.caller import Caller, caller
from shmooze.access.scopes import Scopes
from shmooze.broker.section import OwnerLimits
from shmooze.errors import CommandError, StateError
from shmooze.modules.exit import Outcome
from shmooze.ordering.limits import Limits
from shmooze.pool import Pool
from shmooze.queue import Queue

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
#: At eight in the morning.
MORNING = {"type": "plain", "cron": "0 8 * * *", "tz": "Europe/Berlin"}
EIGHT = berlin("2027-03-02T08:00")


@pytest.fixture
def pool(clock: FakeClock) -> Any:
    clock.set(NOON)
    service = Service(clock, lambda: Pool(KINDS))
    yield service
    if not service.broker.is_closed:
        service.stop()


def added(service: Service) -> list[str]:
    """When the items were added, in UTC."""
    return sorted(each.origin.added_at for each in service.keeper.items.values())


def last(service: Service) -> dict[str, Any]:
    (schedule,) = service.call("schedules")
    return dict(schedule["last"])


# Adding.


def test_item_is_added_at_each_time(pool: Service, clock: FakeClock) -> None:
    pool.call("schedule", **MORNING, overlap="queue", args={"title": "news"}, label="News")
    clock.advance(3 * DAY)
    times = ["2027-03-02T07:00:00.000Z", "2027-03-03T07:00:00.000Z", "2027-03-04T07:00:00.000Z"]
    assert added(pool) == times
    assert [each["args"] for each in pool.items.values()] == [{"title": "news"}] * 3
    assert {each["label"] for each in pool.items.values()} == {"News"}
    assert len(pool.playing()) == 3


def test_next_five_times_are_shown_in_local_time(pool: Service) -> None:
    scheduled = pool.call("schedule", type="plain", cron="30 2 * 3 *", tz="Europe/Berlin")
    assert scheduled["next"][0] == "2027-03-02T02:30:00+01:00"
    (shown,) = pool.call("schedules")
    assert shown["next"] == scheduled["next"]
    assert len(shown["next"]) == 5
    assert (shown["cron"], shown["tz"]) == ("30 2 * 3 *", "Europe/Berlin")
    assert (shown["missed"], shown["overlap"], shown["by"]) == ("skip", "skip", None)


def test_schedule_at_a_time_ends_with_it(pool: Service, clock: FakeClock) -> None:
    scheduled = pool.call("schedule", type="plain", at="2027-03-02T08:00", tz="Europe/Berlin")
    assert scheduled["next"] == ["2027-03-02T08:00:00+01:00"]
    clock.advance(2 * DAY)
    assert added(pool) == ["2027-03-02T07:00:00.000Z"]
    assert pool.call("schedules") == []
    assert pool.keeper.values == {}


def test_interval_begins_when_it_is_scheduled(pool: Service, clock: FakeClock) -> None:
    pool.call("schedule", type="plain", every=90, overlap="queue")
    clock.advance(200)
    assert added(pool) == ["2027-03-01T11:01:30.000Z", "2027-03-01T11:03:00.000Z"]


def test_schedule_ends_after_until(pool: Service, clock: FakeClock) -> None:
    until = "2027-03-03T08:00:00+01:00"
    scheduled = pool.call("schedule", **MORNING, overlap="queue", until=until)
    assert len(scheduled["next"]) == 2
    clock.advance(5 * DAY)
    assert len(added(pool)) == 2
    assert pool.call("schedules") == []


def test_unscheduled_adds_no_more_and_what_it_has_added_stays(
    pool: Service, clock: FakeClock
) -> None:
    id = pool.call("schedule", **MORNING, id="news")["id"]
    clock.advance(DAY)
    pool.call("unschedule", id=id)
    clock.advance(DAY)
    assert len(pool.items) == 1
    with pytest.raises(CommandError, match="unschedule: no schedule with id 'news' in pool"):
        pool.call("unschedule", id=id)


def test_schedule_with_the_id_of_another_replaces_it(pool: Service, clock: FakeClock) -> None:
    pool.call("schedule", **MORNING, id="news")
    pool.call("schedule", type="lazy", every=3600, id="news")
    clock.advance(DAY - 1)
    (item,) = pool.items.values()
    assert item["type"] == "lazy"
    assert item["schedule"] == "news"


@pytest.mark.parametrize("slots", [None, 2])
def test_nothing_waits_for_items_that_start_slowly(
    pool: Service, clock: FakeClock, slots: int | None
) -> None:
    pool.stop()
    pool._make = lambda: Pool(KINDS, slots=slots)
    pool.start()
    pool.launcher.may_go_on.clear()
    pool.call("schedule", **MORNING)
    pool.call("schedule", **MORNING)
    clock.advance(DAY)
    assert len(pool.items) == 2
    assert all("uid" in each["last"] for each in pool.call("schedules"))
    pool.launcher.may_go_on.set()
    assert len(pool.playing()) == 2


def test_item_is_that_of_the_client_who_has_scheduled_it(pool: Service, clock: FakeClock) -> None:
    token = caller.set(Caller("control", "10.0.0.1", "anna"))
    pool.call("schedule", **MORNING)
    caller.reset(token)
    clock.advance(DAY)
    assert [each["by"] for each in pool.items.values()] == ["anna"]


def test_schedule_that_is_removed_while_its_item_is_kept_stays_removed(
    pool: Service, clock: FakeClock
) -> None:
    pool.call("schedule", **MORNING, id="news")
    clock.advance(EIGHT - NOON - 1)
    pool.keeper.may_go_on.clear()
    clock.advance(1)
    removing = gevent.spawn(pool.call, "unschedule", id="news")
    run_until_idle()
    pool.keeper.may_go_on.set()
    clock.advance(DAY)
    assert removing.ready()
    assert len(pool.items) == 1
    assert pool.call("schedules") == []
    assert "schedule:news" not in pool.keeper.values


# Overlap.


def test_time_is_skipped_while_the_item_before_has_not_ended(
    pool: Service, clock: FakeClock
) -> None:
    pool.call("schedule", **MORNING)
    clock.advance(2 * DAY)
    assert added(pool) == ["2027-03-02T07:00:00.000Z"]
    expected = {"time": "2027-03-03T07:00:00.000Z", "reason": "the one before has not ended"}
    assert last(pool) == expected
    pool.launcher.processes[0].exit(0)
    clock.advance(DAY)
    assert added(pool) == ["2027-03-04T07:00:00.000Z"]


def test_item_replaces_the_one_before(pool: Service, clock: FakeClock) -> None:
    other = pool.add()
    pool.call("schedule", **MORNING, overlap="replace")
    clock.advance(DAY)
    (first,) = {*pool.items} - {other}
    clock.advance(DAY)
    (second,) = {*pool.items} - {other}
    assert first != second
    assert pool.keeper.history == {first: Outcome.REMOVED}
    assert pool.reason(first).startswith("was replaced by the next one of its schedule")


# The clock.


@pytest.mark.parametrize("seconds", [1.0, 59.0])
def test_time_that_is_skipped_by_a_small_step_is_late(
    pool: Service, clock: FakeClock, seconds: float
) -> None:
    pool.call("schedule", **MORNING)
    clock.advance(EIGHT - NOON - 0.5)
    clock.set(EIGHT + seconds)
    assert len(pool.items) == 1


@pytest.mark.parametrize(("missed", "count"), [("skip", 0), ("once", 1)])
def test_time_that_is_skipped_by_a_large_step_is_missed(
    pool: Service, clock: FakeClock, missed: str, count: int
) -> None:
    pool.call("schedule", **MORNING, missed=missed)
    clock.set(EIGHT + HOUR)
    assert len(pool.items) == count
    assert last(pool)["time"] == "2027-03-02T07:00:00.000Z"
    assert ("reason" in last(pool)) is (missed == "skip")


@pytest.mark.parametrize("step", [0.5, 30.0, HOUR, 2 * DAY])
def test_time_that_comes_again_adds_nothing(pool: Service, clock: FakeClock, step: float) -> None:
    pool.call("schedule", **MORNING, overlap="queue")
    clock.advance(EIGHT - NOON)
    assert len(pool.items) == 1
    clock.set(EIGHT - step)
    clock.advance(step + HOUR)
    times = {"2027-03-02T07:00:00.000Z"} if step < DAY else set()
    assert {each.origin.added_at for each in pool.keeper.items.values()} >= times
    keys = [each.origin.key for each in pool.keeper.items.values()]
    assert len(keys) == len({*keys})
    assert sum(str(key).endswith("2027-03-02T07:00:00.000Z") for key in keys) == 1


def test_clock_that_was_far_ahead_for_a_while_stops_no_schedule(
    pool: Service, clock: FakeClock
) -> None:
    pool.call("schedule", **MORNING, missed="once", overlap="queue")
    clock.set(NOON + 1000 * DAY)
    assert len(pool.items) == 1
    clock.set(NOON)
    clock.advance(DAY)
    assert len(pool.items) == 2


@pytest.mark.parametrize("day", ["2027-03-26", "2027-10-29"])
def test_daily_item_comes_once_on_each_day_while_clocks_change(
    pool: Service, clock: FakeClock, day: str
) -> None:
    clock.set(berlin(f"{day}T12:00"))
    pool.call("schedule", type="plain", cron="30 2 * * *", tz="Europe/Berlin", overlap="queue")
    clock.advance(berlin(f"{day}T12:00") + 5 * DAY - clock.time())
    assert len({each[:10] for each in added(pool)}) == len(added(pool)) == 5


# The end of the service.


def test_schedules_come_back_with_the_service(pool: Service, clock: FakeClock) -> None:
    pool.call("schedule", **MORNING)
    before = pool.call("schedules")
    pool.stop()
    pool.start()
    assert pool.call("schedules") == before
    clock.advance(EIGHT - clock.time())
    assert len(pool.playing()) == 1


def test_service_that_is_down_for_a_moment_is_late(pool: Service, clock: FakeClock) -> None:
    pool.call("schedule", **MORNING)
    clock.advance(EIGHT - NOON - LONG - 1)
    pool.stop()
    clock.skip(30)
    pool.start()
    assert len(pool.playing()) == 1


@pytest.mark.parametrize(("missed", "times"), [("skip", []), ("once", ["2027-03-04"])])
def test_of_all_times_while_the_service_was_down_the_last_one_counts(
    pool: Service, clock: FakeClock, missed: str, times: list[str]
) -> None:
    pool.call("schedule", **MORNING, missed=missed)
    pool.stop()
    clock.set(EIGHT + 2 * DAY + HOUR)
    pool.start()
    assert [time[:10] for time in added(pool)] == times
    assert last(pool)["time"] == "2027-03-04T07:00:00.000Z"


def test_single_time_that_was_missed_is_over(pool: Service, clock: FakeClock) -> None:
    pool.call("schedule", type="plain", at=EIGHT)
    pool.stop()
    clock.set(EIGHT + HOUR)
    pool.start()
    assert (pool.call("schedules"), pool.items) == ([], {})


def crash_while_keeping(pool: Service, what: str) -> None:
    """Let the service die at eight, just before it keeps this."""
    keeper, die = pool.keeper, RuntimeError("it is dead")
    keep = keeper._keep
    survivors: list[Any] = []

    def crash(name: str, modules: Any) -> None:
        if survivors or name.startswith(what):
            survivors.append(survivors[0] if survivors else keeper.copy())
            raise StateError(str(die))
        keep(name, modules)

    keeper._keep = crash  # type: ignore[method-assign]
    pool.clock.advance(EIGHT - pool.clock.time())
    pool.stop()
    pool.keeper = survivors[0]


@pytest.mark.parametrize("what", ["new", "value"])
@pytest.mark.parametrize("missed", ["skip", "once"])
@pytest.mark.parametrize("down", [LONG, HOUR])
def test_crash_at_any_moment_adds_no_second_item(
    pool: Service, clock: FakeClock, what: str, missed: str, down: float
) -> None:
    pool.call("schedule", **MORNING, missed=missed)
    crash_while_keeping(pool, what)
    assert len(pool.keeper.items) == (1 if what == "value" else 0)
    clock.set(EIGHT + down)
    pool.start()
    is_late_only = down <= MINUTE or missed == "once"
    assert len(pool.items) == (1 if what == "value" or is_late_only else 0)
    assert ("uid" in last(pool)) is (len(pool.items) == 1)
    clock.advance(DAY - HOUR - 1)
    assert len(pool.items) <= 1


def test_crash_after_an_item_has_ended_adds_no_second_one(pool: Service, clock: FakeClock) -> None:
    pool.call("schedule", **MORNING)
    crash_while_keeping(pool, "value")
    for uid in [*pool.keeper.items]:
        pool.keeper._end(uid, Outcome.DONE)
    pool.start()
    clock.advance(MINUTE)
    assert pool.items == {}
    assert "uid" in last(pool)


def test_replaced_item_goes_after_a_crash_too(pool: Service, clock: FakeClock) -> None:
    pool.call("schedule", **MORNING, overlap="replace")
    clock.advance(EIGHT - NOON)
    (old,) = pool.items
    clock.advance(DAY - 1)
    keep = pool.keeper.keep_removed

    def fail(*args: Any) -> None:
        raise StateError("it is dead")

    pool.keeper.keep_removed = fail  # type: ignore[method-assign, assignment]
    clock.advance(1)
    assert len(pool.items) == 2
    pool.keeper.keep_removed = keep  # type: ignore[method-assign]
    pool.crash()
    pool.start()
    clock.advance(LONG)
    assert len(pool.items) == 1
    assert pool.keeper.history == {old: Outcome.REMOVED}


def test_real_service_that_is_killed_adds_one_item_at_each_time(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    state = tmp_path / "state.db"
    types = {"job": {"process": ["true"], "adapter": "command"}}
    settings = {"state_path": str(state), "queue": {"modules": types}}
    site = make_site(services=("queue",), settings=settings).start()

    def keys() -> list[str]:
        sql = "SELECT key FROM queue_items UNION ALL SELECT key FROM queue_history"
        with closing(sqlite3.connect(state)) as connection:
            return [key for (key,) in connection.execute(sql)]

    site.ask("queue", "schedule", type="job", every=1, overlap="queue", id="tick")
    site.ask("queue", "schedule", type="job", cron="0 8 * * *", tz="Europe/Berlin")
    for count in (1, 2):
        wait_until(lambda at_least=count: len(keys()) >= at_least, "items are added")
        site.stop(signal_number=signal.SIGKILL)
        site.start()
    tick, morning = site.ask("queue", "schedules")
    assert (tick["id"], len(morning["next"])) == ("tick", 5)
    site.ask("queue", "unschedule", id="tick")
    site.stop()
    assert len(keys()) == len({*keys()}) >= 2


# What goes wrong.


def test_time_is_tried_again_when_there_is_no_room(clock: FakeClock) -> None:
    clock.set(NOON)
    service = Service(clock, lambda: Pool(KINDS))
    service.stop()
    service.launcher = type(service.launcher)()
    service.broker = Pool(KINDS)
    service.broker.items.keeper = service.keeper
    service.broker.attach_schedules()
    open_with(service.broker, service.launcher, max_modules=1)
    other = service.add()
    service.call("schedule", **MORNING)
    clock.advance(EIGHT - clock.time())
    assert [*service.items] == [other]
    service.broker.rm([other])
    clock.advance(LONG)
    assert len(service.items) == 1
    clock.advance(DAY + 2 * MINUTE - LONG)  # which is too long
    assert last(service)["reason"] == "the one before has not ended"
    service.call("unschedule", id=service.call("schedules")[0]["id"])
    service.call("schedule", **MORNING, overlap="queue")
    clock.advance(DAY)
    words = "missed 2027-03-04T08:00:00+01:00, which was 65 s ago: limit reached (1 modules)"
    assert last(service)["reason"] == words
    service.stop()


def test_time_is_tried_again_when_it_can_be_kept(pool: Service, clock: FakeClock) -> None:
    pool.call("schedule", **MORNING)

    def fail(*args: Any) -> None:
        raise StateError("the state cannot be kept: the disk is full")

    keep, pool.keeper._keep = pool.keeper._keep, fail  # type: ignore[method-assign]
    clock.advance(EIGHT - NOON)
    assert pool.items == {}
    pool.keeper._keep = keep  # type: ignore[method-assign]
    clock.advance(10)
    assert len(pool.items) == 1


def test_schedule_of_a_type_that_is_gone_says_so(pool: Service, clock: FakeClock) -> None:
    pool.call("schedule", **MORNING)
    pool.stop()
    other = type("Other", (Plain,), {"TYPE_STRING": "other"})
    pool._make = lambda: Pool([other])
    pool.start()
    (shown,) = pool.call("schedules")
    assert shown["problem"] == "there is no type 'plain' in the settings"
    assert "args" not in shown
    clock.advance(DAY)
    assert last(pool)["reason"] == "there is no type 'plain' in the settings"


def test_schedule_without_the_library_for_it_says_so(
    pool: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cronsim", None)
    with pytest.raises(CommandError) as refused:
        pool.call("schedule", **MORNING)
    words = "schedule: argument `cron`: needs cronsim: pip install 'shmooze[schedules]>=2'"
    assert str(refused.value) == words
    assert pool.call("schedule", type="plain", every=60)["next"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "schedule: needs one of `cron`, `at` and `every`"),
        ({"cron": "* * * * *", "every": 5}, "schedule: needs one of `cron`, `at` and `every`"),
        ({"cron": "x"}, "schedule: argument `cron`: wrong number of fields: 'x'"),
        ({"at": "tomorrow"}, "schedule: argument `at`: must be a time with a zone"),
        ({"at": "2027-03-01T11:59:00+01:00"}, "schedule: argument `at`: is in the past"),
        ({"every": 5, "tz": "Mars"}, "schedule: argument `tz`: there is no time zone 'Mars'"),
        ({"every": 5, "missed": "no"}, "argument `missed`: must be one of skip, once"),
        ({"every": 5, "overlap": "no"}, "`overlap`: must be one of skip, queue, replace"),
        ({"every": 5, "until": 7}, "it has no time to come, or none before `until`"),
        ({"every": 5, "id": ""}, "argument `id`: must be a line of 1 to 100 characters"),
        ({"every": 5, "label": ""}, "schedule: argument `label`: must be a line"),
        ({"every": 5, "type": "x"}, "unknown module type 'x'; known: plain, lazy, again"),
    ],
)
def test_bad_schedule_is_refused_in_one_line(
    pool: Service, args: dict[str, Any], words: str
) -> None:
    with pytest.raises(CommandError) as refused:
        pool.call("schedule", **{"type": "plain", **args})
    assert words in str(refused.value)
    assert pool.call("schedules") == []


def test_schedule_that_cannot_be_kept_is_refused(pool: Service) -> None:
    pool.keeper.fault = "the state cannot be kept: the disk is full"
    with pytest.raises(CommandError, match="the disk is full"):
        pool.call("schedule", **MORNING)
    pool.keeper.fault = ""
    assert pool.call("schedules") == []


def test_service_without_a_state_file_says_what_schedules_need() -> None:
    queue = Queue([Plain])
    answer = queue.single_command({"cmd": "schedules"})
    assert answer["error"] == "schedules needs `state_path` in the settings"


# Who may do what.


def as_token(pool: Service, name: str, scopes: list[str], cmd: str, **args: Any) -> Any:
    chosen = Scopes.of(scopes)
    token = caller.set(Caller(chosen.role, "10.0.0.1", name, scopes=chosen))
    try:
        answer = pool.broker.single_command({"cmd": cmd, "args": args})
    finally:
        caller.reset(token)
    return answer["result"] if answer["success"] else answer["error"]


def test_schedule_gives_a_token_no_more_than_add(pool: Service) -> None:
    words = "schedule: argument `priority`: this token needs the scope `order` or `control`"
    assert as_token(pool, "anna", ["add"], "schedule", **MORNING, priority=1) == words
    # What schedules add is not limited.
    limits = Limits(OwnerLimits(waiting=1), pool.broker.roster)
    pool.broker.items.admit = limits.admit
    words = "schedule: with `limits`, a token needs the scope `order` or `control`"
    assert as_token(pool, "anna", ["add"], "schedule", **MORNING) == words
    assert "id" in as_token(pool, "anna", ["add", "order"], "schedule", **MORNING)


def test_token_may_schedule_with_add_and_unschedule_its_own(pool: Service) -> None:
    pool.call("schedule", **MORNING, id="old")
    as_token(pool, "anna", ["add", "own"], "schedule", **MORNING, id="new")
    words = "schedule: 'old' was added with another token"
    assert as_token(pool, "anna", ["add", "own"], "schedule", **MORNING, id="old") == words
    refused = as_token(pool, "anna", ["own"], "unschedule", id="old")
    assert refused == "unschedule: this token may only change its own modules, and old is not one"
    assert as_token(pool, "anna", ["own"], "unschedule", id="new") is None
    assert "needs the scope `add`" in as_token(pool, "anna", ["own"], "schedule", **MORNING)
    refused = as_token(pool, "anna", ["add", "type:lazy"], "schedule", **MORNING)
    assert refused == "schedule: this token may not add modules of type 'plain'"


def test_args_that_a_type_hides_are_not_shown(clock: FakeClock) -> None:
    clock.set(NOON)
    secret = type("Secret", (Plain,), {"TYPE_STRING": "secret", "show_args": False})
    service = Service(clock, lambda: Pool([secret]))
    service.call("schedule", type="secret", every=60, args={"password": "x"})
    assert "args" not in service.call("schedules")[0]
    service.stop()


# All at once.


class Steps(RuleBasedStateMachine):
    """Time passes, the clock is set, the service stops and crashes: no time gets two items, and
    while nothing of that happens, each gets one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fakes = fake_clock()
        self.clock = self._fakes.__enter__()
        self.clock.set(NOON)
        self.service = Service(self.clock, lambda: Pool(KINDS))
        self.count = 0
        #: When something last happened after which times may be missed.
        self.quiet_since: dict[str, float] = {}

    @rule(
        when=st.sampled_from([{"every": 7.0}, {"every": 600.0}, {"cron": "*/20 * * * *"}]),
        missed=st.sampled_from(["skip", "once"]),
    )
    def schedule(self, when: dict[str, Any], missed: str) -> None:
        self.count += 1
        id = str(self.count)
        more = {"missed": missed, "overlap": "queue", "id": id, "tz": "Europe/Berlin"}
        self.service.call("schedule", type="lazy", **when, **more)
        self.quiet_since[id] = self.clock.time()

    @rule(seconds=st.sampled_from([1.0, 30.0, 1200.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([0.5, 45.0, 3600.0, -0.5, -45.0, -3600.0]))
    def set_clock(self, seconds: float) -> None:
        self.clock.set(self.clock.time() + seconds)
        self.disturb()

    @rule(down=st.sampled_from([0.0, 45.0, 3600.0]), crashes=st.booleans())
    def restart(self, down: float, crashes: bool) -> None:
        (self.service.crash if crashes else self.service.stop)()
        self.clock.skip(down)
        self.service.start()
        self.disturb()

    def disturb(self) -> None:
        now = self.clock.time()
        self.quiet_since = dict.fromkeys(self.quiet_since, now)

    @invariant()
    def each_time_has_one_item(self) -> None:
        keys = [str(each.origin.key) for each in self.service.keeper.items.values()]
        assert len(keys) == len({*keys})
        now = self.clock.time()
        for schedule in self.service.call("schedules"):
            since = self.quiet_since[schedule["id"]]
            known = self.service.broker._tables["schedules"]._scheduler.find(schedule["id"])
            moment = known.recurrence.after(since)
            while moment is not None and moment <= now:
                assert known.key(moment) in keys
                moment = known.recurrence.after(moment)

    def teardown(self) -> None:
        self.service.stop()
        self._fakes.__exit__(None, None, None)


TestSteps = Steps.TestCase
TestSteps.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
