"""The moments of schedules and windows, above all where clocks are set for daylight saving."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shmooze.modules.terms import Window
from shmooze.schedules import windows
from shmooze.schedules.recurrence import Cron, Every, Once, Recurrence, local_moment
from shmooze.schedules.zones import MACHINE, in_words, moment_of, zone

BERLIN = zone("Europe/Berlin")


def berlin(text: str) -> float:
    """A local time in Berlin."""
    return moment_of(datetime.fromisoformat(text), BERLIN)


def at(text: str) -> float:
    """A time with its offset."""
    return datetime.fromisoformat(text).timestamp()


def some(recurrence: Recurrence, since: float, count: int = 3) -> list[str]:
    def moments() -> Iterator[float]:
        found = recurrence.after(since)
        while found is not None:
            yield found
            found = recurrence.after(found)

    return [in_words(moment, BERLIN) for moment in islice(moments(), count)]


# In 2027, clocks go from 2:00 to 3:00 on March 28, and from 3:00 to 2:00 on October 31.


def test_time_that_does_not_exist_is_right_after_the_change() -> None:
    assert some(Cron("30 2 * * *", BERLIN), berlin("2027-03-27T12:00")) == [
        "2027-03-28T03:00:00+02:00",
        "2027-03-29T02:30:00+02:00",
        "2027-03-30T02:30:00+02:00",
    ]


def test_times_that_do_not_exist_are_one() -> None:
    assert some(Cron("10,50 2,3 * * *", BERLIN), berlin("2027-03-27T12:00"), 4) == [
        "2027-03-28T03:00:00+02:00",
        "2027-03-28T03:10:00+02:00",
        "2027-03-28T03:50:00+02:00",
        "2027-03-29T02:10:00+02:00",
    ]


def test_time_that_exists_twice_comes_once() -> None:
    expected = ["2027-10-31T02:30:00+02:00", "2027-11-01T02:30:00+01:00"]
    assert some(Cron("30 2 * * *", BERLIN), berlin("2027-10-30T12:00"), 2) == expected


def test_after_the_first_of_two_equal_times_comes_the_next_day() -> None:
    in_the_second_hour = at("2027-10-31T02:10:00+01:00")
    expected = ["2027-11-01T02:30:00+01:00"]
    assert some(Cron("30 2 * * *", BERLIN), in_the_second_hour, 1) == expected


def test_expression_that_begins_with_a_star_goes_by_the_time_that_passes() -> None:
    assert some(Cron("*/30 * * * *", BERLIN), berlin("2027-10-31T02:00"), 5) == [
        "2027-10-31T02:30:00+02:00",
        "2027-10-31T02:00:00+01:00",
        "2027-10-31T02:30:00+01:00",
        "2027-10-31T03:00:00+01:00",
        "2027-10-31T03:30:00+01:00",
    ]


@pytest.mark.parametrize("moment", ["2027-03-28T02:30", "2027-03-28T02:00", "2027-03-28T02:59:59"])
def test_local_time_that_does_not_exist_is_when_the_clocks_change(moment: str) -> None:
    assert in_words(berlin(moment), BERLIN) == "2027-03-28T03:00:00+02:00"


def test_local_time_that_exists_twice_is_the_first() -> None:
    assert in_words(berlin("2027-10-31T02:30"), BERLIN) == "2027-10-31T02:30:00+02:00"


def test_time_with_an_offset_is_not_a_local_one() -> None:
    assert local_moment("2027-03-01T08:00", BERLIN) == at("2027-03-01T08:00+01:00")
    assert local_moment("2027-03-01T08:00+01:00", BERLIN) is None
    assert local_moment("soon", BERLIN) is None


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_zone_of_the_machine_is_that_of_the_system(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", name)
    time.tzset()
    try:
        for month in range(1, 13):
            moment = at(f"2027-{month:02}-28T15:30:00+00:00")
            assert in_words(moment) == in_words(moment, zone(name))
        for text in ("2027-03-28T02:30", "2027-10-31T02:30", "2027-07-01T00:00"):
            local = datetime.fromisoformat(text)
            assert moment_of(local, MACHINE) == moment_of(local, zone(name))
        expected = Cron("30 2 * * *", zone(name)).after(at("2027-03-27T12:00+00:00"))
        assert Cron("30 2 * * *", MACHINE).after(at("2027-03-27T12:00+00:00")) == expected
    finally:
        monkeypatch.undo()
        time.tzset()


EXPRESSIONS = ["30 2 * * *", "*/20 2 * * *", "0 * * * *", "15 */2 * * *", "0 0 * * *"]
EXPRESSIONS += ["30 1,2,3 * * 0", "10 0-4 * * *", "30 0 L * *", "*/15 * * * *", "0 0 1 1 *"]
#: Not one whose clocks are set by half an hour: there, steps by hours may leave a time out.
ZONES = ["Europe/Berlin", "America/New_York", "America/Santiago", "Asia/Beirut", "UTC"]


@settings(deadline=None, max_examples=40)
@example("30 2 * * *", "Europe/Berlin", "2027-03-28", 0.99999)
@given(
    st.sampled_from(EXPRESSIONS),
    st.sampled_from(ZONES),
    st.sampled_from(["2027-03-14", "2027-03-28", "2027-04-04", "2027-10-31", "2027-11-07"]),
    st.floats(0, 1),
)
def test_last_time_until_a_moment_is_the_one_before_the_next(
    expression: str, name: str, day: str, part: float
) -> None:
    cron = Cron(expression, zone(name))
    first = cron.after(at(f"{day}T00:00+00:00") - 86400)
    for _ in range(30):
        assert first is not None
        second = cron.after(first)
        assert second is not None and first < second
        between = first + part * (second - first)
        assert cron.until(between) == (first if between < second else second)
        first = second


@settings(deadline=None)
@given(st.floats(1, 1e6), st.floats(1.7e9, 2e9), st.floats(0, 1e8))
def test_times_of_an_interval_are_exact(seconds: float, start: float, passed: float) -> None:
    every = Every(seconds, start)
    now = start + passed
    upcoming = every.after(now)
    assert upcoming is not None and now < upcoming <= now + seconds + 0.01
    last = every.until(now)
    assert (last is None) == (every.after(start) > now)  # type: ignore[operator]
    assert last is None or (last <= now and every.after(last) == upcoming)
    assert every.until(upcoming) == upcoming


def test_single_time_is_before_or_after() -> None:
    once = Once(10.0)
    assert (once.after(9.9), once.after(10.0)) == (10.0, None)
    assert (once.until(9.9), once.until(10.0)) == (None, 10.0)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("99 * * * *", "bad minute: '99 * * * *'"),
        ("* * * *", "wrong number of fields: '* * * *'"),
        ("0 0 30 2 *", "bad day-of-month: '0 0 30 2 *'"),
        ("* " * 200, "must have at most 200 characters"),
    ],
)
def test_bad_expression_is_refused_in_one_line(expression: str, words: str) -> None:
    with pytest.raises(ValueError) as bad:
        Cron(expression, BERLIN)
    assert str(bad.value) == words


# Windows.


def window(start: str, end: str, *days: str) -> Window:
    return Window(start=start, end=end, days=days, tz="Europe/Berlin")


def spans(window: Window, since: float, count: int = 4) -> list[tuple[str, bool]]:
    """When it opens and closes."""
    found, moment = [], since
    for _ in range(count):
        moment = windows.next_edge(window, moment)
        found.append((in_words(moment, BERLIN), windows.is_open(window, moment)))
    return found


def test_window_opens_and_closes_each_day() -> None:
    assert spans(window("08:00", "18:30"), berlin("2027-03-01T12:00")) == [
        ("2027-03-01T18:30:00+01:00", False),
        ("2027-03-02T08:00:00+01:00", True),
        ("2027-03-02T18:30:00+01:00", False),
        ("2027-03-03T08:00:00+01:00", True),
    ]


def test_window_over_midnight_belongs_to_the_day_on_which_it_opens() -> None:
    assert spans(window("22:00", "02:00", "fri"), berlin("2027-03-01T12:00"), 3) == [
        ("2027-03-05T22:00:00+01:00", True),
        ("2027-03-06T02:00:00+01:00", False),
        ("2027-03-12T22:00:00+01:00", True),
    ]


def test_window_of_a_whole_day_never_closes_between_its_days() -> None:
    night = window("00:00", "00:00", "sat", "sun")
    assert not windows.is_open(night, berlin("2027-03-05T23:59:59"))
    assert windows.is_open(night, berlin("2027-03-06T00:00"))
    assert windows.is_open(night, berlin("2027-03-07T00:00"))
    assert not windows.is_open(night, berlin("2027-03-08T00:00"))


def test_windows_that_meet_leave_no_gap_when_clocks_change() -> None:
    before, after = window("01:00", "02:30"), window("02:30", "04:00")
    for start in ("2027-03-28T00:59", "2027-10-31T00:59"):
        moment = berlin(start) + 60
        while in_words(moment, BERLIN)[11:16] < "04:00":
            assert windows.is_open(before, moment) is not windows.is_open(after, moment)
            moment += 600


def test_window_in_the_hour_that_is_skipped_does_not_open_that_day() -> None:
    hour = window("02:10", "02:50")
    edge = ("2027-03-29T02:10:00+02:00", True)
    assert edge in spans(hour, berlin("2027-03-28T01:00"), 2)
    assert not windows.is_open(hour, berlin("2027-03-28T03:00"))
