"""The harness of scripts/durability, in a short run: a service is killed under load, and forgets
nothing.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from durability.jobs.findings import compare
from durability.jobs.ledger import Job, JobLedger
from durability.jobs.workload import Jobs
from durability.ledger import Said
from durability.moving import Moving
from durability.rounds import kill_in_rounds
from durability.troubles import Trouble
from durability.workload import Workload

SLOTS = 2


@pytest.mark.slow
@pytest.mark.parametrize("workload", [Moving, Jobs])
def test_nothing_is_lost_or_run_twice_when_a_service_is_killed(
    workload: type[Workload], tmp_path: Path
) -> None:
    source = random.Random(8)
    made = workload(tmp_path)
    faults = kill_in_rounds(made, tmp_path, source, 2, 3, Trouble(tmp_path, source))
    assert not faults
    assert made.answered()


class Seen:
    """What a look has seen: nothing wrong, apart from what a test changes."""

    def __init__(self) -> None:
        self.begun, self.runs = {0}, {0: 1}
        self.schedules: set[str] = set()
        self.kept = {0}
        self.doubled_keys: list[str] = []
        self.ended = [item("done", result=0)]
        self.roster: list[dict[str, object]] = []


def item(state: str, uid: str = "a", **more: object) -> dict[str, object]:
    return {"uid": uid, "type": "hold", "state": state, "args": {"number": 0}, **more}


@pytest.fixture
def job() -> Job:
    return Job(0, "hold", "result", added=Said.ANSWERED, uid="a")


def faults(job: Job, seen: Seen, is_over: bool = True) -> list[str]:
    ledger = JobLedger()
    ledger.jobs.append(job)
    return compare(ledger, seen, SLOTS, is_over)


def test_a_job_that_is_done_with_its_result_is_no_fault(job: Job) -> None:
    assert not faults(job, Seen())


def test_a_job_that_is_run_again_after_a_crash_is_a_fault_unless_it_was_released(job: Job) -> None:
    seen = Seen()
    seen.runs = {0: 2}
    assert faults(job, seen) == ["hold 0 (result, a) was run 2 times"]
    job.releases = 1
    assert not faults(job, seen)


def test_a_job_that_is_known_no_more_is_lost(job: Job) -> None:
    seen = Seen()
    seen.ended, seen.kept = [], set()
    assert faults(job, seen) == ["hold 0 (result, a) is lost"]


def test_a_scheduled_job_may_still_be_a_schedule(job: Job) -> None:
    seen = Seen()
    seen.ended, seen.kept, seen.schedules = [], set(), {"a"}
    job.is_scheduled = True
    assert not faults(job, seen)
    seen.schedules = set()
    assert faults(job, seen) == ["hold 0 (result, a) is lost"]


def test_a_job_that_is_there_twice_is_a_fault(job: Job) -> None:
    seen = Seen()
    seen.roster = [item("playing", "b")]
    found = faults(job, seen, is_over=False)
    assert found == ["hold 0 (result, a) is there as 2 items"]


def test_an_end_that_a_client_was_told_must_stay(job: Job) -> None:
    seen = Seen()
    job.ended = ("done", 0)
    assert not faults(job, seen)
    seen.ended = [item("lost", reason="the service crashed")]
    assert len(faults(job, seen)) == 2


def test_more_than_the_slots_that_play_are_a_fault(job: Job) -> None:
    seen = Seen()
    seen.ended, seen.roster = [], [item("playing", uid) for uid in "abc"]
    assert "3 play in 2 slots" in faults(job, seen, is_over=False)
