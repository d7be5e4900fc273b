"""Faults are in the log as warnings or above."""

from __future__ import annotations

import logging

import pytest
from fake_types import Plain
from fakes import FakeClock, FakeLauncher, open_with
from memory_keeper import MemoryKeeper

from shmooze.broker.keeper import KeptItem
from shmooze.broker.roster import Place
from shmooze.modules.origin import Origin
from shmooze.pool import Pool
from shmooze.processes.output import ProcessOutput


def test_items_that_are_held_when_they_come_back_are_warned_of(
    clock: FakeClock, launcher: FakeLauncher, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [
        KeptItem(f"u{number}", Place.ORDER, "other", {}, Origin(None, 0.0)) for number in range(2)
    ]
    pool = Pool([Plain])
    pool.items.keeper = MemoryKeeper(kept)
    open_with(pool, launcher)
    words = "2 of them are held: there is no type 'other' in the settings"
    assert [each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == [words]


def test_a_crash_of_the_service_is_warned_of(
    clock: FakeClock, launcher: FakeLauncher, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [KeptItem("u", Place.ORDER, "plain", {}, Origin(None, 0.0))]
    pool = Pool([Plain])
    pool.items.keeper = MemoryKeeper(kept, was_stopped=False)
    open_with(pool, launcher)
    [warned] = caplog.records
    assert (warned.levelname, warned.getMessage()) == (
        *("WARNING", "1 items come back; the service crashed"),
    )


def test_output_that_is_not_logged_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    output = ProcessOutput("chatty")
    output.max_log_rate = 1
    output.add("one\ntwo\nthree")
    output.close(0)
    assert "chatty: (2 lines not logged)" in [
        each.getMessage() for each in caplog.records if each.levelname == "WARNING"
    ]
