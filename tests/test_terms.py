"""The terms of items: what `add` takes, what is kept of it, and what clients see."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gevent
import pytest
from fake_types import Plain
from fakes import AnyPriority, FakeClock, FakeLauncher, open_with, run_until_idle
from memory_keeper import MemoryKeeper

from shmooze.broker.terms import moment, terms_of
from shmooze.errors import CommandError
from shmooze.modules.module import Module
from shmooze.modules.terms import PLAIN, Terms, from_json, to_json
from shmooze.pool import Pool
from shmooze.state import tables
from shmooze.state.file import StateFile

pytestmark = pytest.mark.usefixtures("clock")


class Evening:
    """A condition that lets nothing with a priority play before the evening."""

    def __init__(self) -> None:
        self.has_come = False

    def obstacle(self, kind: type[Module], terms: Terms) -> str | None:
        return None if self.has_come or not terms.priority else "not before the evening"


def make_pool(evening: Evening) -> Pool:
    pool = Pool([Plain])
    pool.items.conditions.add(evening)
    pool.items.ordering = AnyPriority("pool")
    return pool


@pytest.fixture
def evening() -> Evening:
    return Evening()


@pytest.fixture
def launcher() -> FakeLauncher:
    return FakeLauncher()


@pytest.fixture
def pool(evening: Evening, launcher: FakeLauncher, clock: FakeClock) -> Iterator[Pool]:
    pool = make_pool(evening)
    open_with(pool, launcher)
    yield pool
    stop(pool, clock)


def stop(pool: Pool, clock: FakeClock) -> None:
    ending = gevent.spawn(pool.stop)
    clock.advance(60.0)
    assert ending.ready()


def test_blocked_item_gets_no_process_and_says_what_it_waits_for(
    pool: Pool, launcher: FakeLauncher
) -> None:
    pool.add("plain", priority=1, label="news")
    run_until_idle()
    (shown,) = pool.show_roster()
    assert launcher.processes == []
    assert (shown["state"], shown["waits"]) == ("waiting", "not before the evening")
    assert (shown["label"], shown["priority"]) == ("news", 1.0)


def test_item_starts_as_soon_as_nothing_blocks_it(
    pool: Pool, evening: Evening, launcher: FakeLauncher
) -> None:
    pool.add("plain", priority=1)
    evening.has_come = True
    pool.items.conditions.update_all()
    run_until_idle()
    (shown,) = pool.show_roster()
    assert shown["state"] == "playing"
    assert "waits" not in shown
    assert launcher.processes[0].heard == ["init", "play"]


def test_item_that_plays_is_suspended_while_it_is_blocked(pool: Pool, evening: Evening) -> None:
    evening.has_come = True
    pool.add("plain", priority=1)
    evening.has_come = False
    pool.items.conditions.update_all()
    run_until_idle()
    assert [each["state"] for each in pool.show_roster()] == ["suspended"]


def test_terms_come_back_with_the_service(
    evening: Evening, launcher: FakeLauncher, clock: FakeClock
) -> None:
    keeper = MemoryKeeper()
    for _ in range(2):
        pool = make_pool(evening)
        pool.items.keeper = keeper
        open_with(pool, launcher)
        if not keeper.items:
            pool.add("plain", priority=2.5, batch="morning")
        (shown,) = pool.show_roster()
        assert (shown["priority"], shown["batch"]) == (2.5, "morning")
        assert shown["waits"] == "not before the evening"
        stop(pool, clock)


def test_file_of_the_first_version_gets_columns_for_terms(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as connection:
        tables.prepare(connection, ["queue"], to=1)
        connection.execute(
            "INSERT INTO queue_items (uid, place, position, type, args, added, begun)"
            " VALUES ('a', 'order', 1, 'plain', '{}', 1.0, 0)"
        )
        connection.commit()
    file = StateFile(str(path))
    file.open("queue")
    try:
        rows = file.read(lambda db: db.execute("SELECT uid, terms FROM queue_items").fetchall())
    finally:
        file.close()
    assert rows == [("a", None)]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None),
        (90, 90.0),
        ("1970-01-01T00:01:30Z", 90.0),
        ("1970-01-01T01:01:30.5+01:00", 90.5),
    ],
)
def test_time_may_be_text_or_a_number(given: Any, seconds: float | None) -> None:
    assert moment("not_before", given) == seconds


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"not_before": "2027-03-01T08:00:00"},
            "argument `not_before`: must be a time with a zone",
        ),
        ({"expires": -1}, "argument `expires`: must be in seconds since 1970"),
        ({"expires": 5}, "argument `expires`: is in the past"),
        ({"label": "two\nlines"}, "argument `label`: must be a line of 1 to 200 characters"),
        ({"batch": ""}, "argument `batch`: must be a line of 1 to 200 characters"),
        ({"after": ["x"] * 101}, "argument `after`: must be at most 100 uids"),
        ({"window": {"from": "8", "to": "9"}}, "`from` must be a time of day such as 08:00"),
        ({"window": {"from": "08:00"}}, 'argument `window`: must be {"from"'),
        ({"window": {"from": "08:00", "to": "09:00", "days": ["mo"]}}, "'mo' is not a day"),
        ({"window": {"from": "08:00", "to": "09:00", "tz": "X/Y"}}, "there is no time zone 'X/Y'"),
    ],
)
def test_bad_term_is_refused_in_one_line_that_names_it(given: dict[str, Any], words: str) -> None:
    with pytest.raises(CommandError) as refused:
        terms_of("add", **given)
    assert words in str(refused.value)
    assert str(refused.value).startswith("add: ")


def test_plain_terms_take_no_room_in_the_state() -> None:
    assert to_json(PLAIN) is None
    assert from_json(None) is PLAIN
    assert from_json(to_json(Terms(priority=2, after=("a",)))) == Terms(priority=2, after=("a",))
