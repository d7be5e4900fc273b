"""Clients that add jobs, schedule them, wait for them, release and remove them."""

from __future__ import annotations

import random
import sys
import time
from contextlib import suppress
from pathlib import Path

from support import ROOT, Refusal, wait_until

from durability.jobs.findings import compare
from durability.jobs.ledger import TYPES, Job, JobLedger
from durability.jobs.look import Look
from durability.ledger import Said
from durability.target import LIMITS, Connection, Target

CHILD = [sys.executable, "-S", str(ROOT / "tests" / "durability" / "jobs" / "child.py")]
SLOTS = 2
#: Seconds from now to the moment for which a job is scheduled.
AHEAD = (0.1, 2.0)
#: The schedule that adds a job again and again, without a number of the ledger.
TICKS = {"id": "ticks", "every": 1, "type": "again", "overlap": "queue"}
TICK = {"number": -1, "does": "result"}
#: Seconds within which more jobs have ended, after the last round, and between two looks at them.
LONG, MOMENT = 40.0, 0.2


class Jobs:
    """Jobs and schedules in a pool with slots. See Workload. `folder` is that of the target."""

    service = "pool"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ledger = JobLedger()
        self._ticks = Said.NOTHING
        kind = {"process": CHILD, "spawn": "lazy", "lookahead": 0, **LIMITS}
        kind |= {"retries": 1, "retry_delay": 0.1}
        types = {name: {**kind, "after_crash": name, "reuse": 5} for name in TYPES}
        types["hold"] |= {"needs": {"gpu": 1}, "reuse": 1}
        self.section = {"slots": SLOTS, "has": {"gpu": 1}, "modules": types}

    def work(self, connection: Connection, source: random.Random, number: int) -> None:
        choice = source.random()
        ledger = self._ledger
        if number == 0 and self._ticks is Said.NOTHING:
            self._tick(connection)
        elif choice < 0.35:
            self._add(connection, ledger.new(source, is_scheduled=False))
        elif choice < 0.5:
            self._schedule(connection, ledger.new(source, is_scheduled=True), source)
        elif choice < 0.8 and (job := ledger.choose(source, can_be_awaited)):
            self._wait(connection, job)
        elif choice < 0.9 and (job := ledger.choose(source, can_be_removed)):
            self._remove(connection, job)
        elif job := ledger.choose(source, can_be_released):
            self._release(connection, job)

    def compare(self, target: Target) -> list[str]:
        return compare(self._ledger, Look(target, self._folder), SLOTS)

    def ask_again(self, connection: Connection) -> None:
        for job in self._ledger.jobs:
            if job.added is Said.ASKED and not job.is_scheduled:
                self._add(connection, job)

    def finish(self, target: Target) -> list[str]:
        """Let all jobs end."""
        if self._ticks is not Said.NOTHING:
            target.ask("unschedule", id=TICKS["id"])

        left = sys.maxsize

        def are_fewer() -> bool:
            nonlocal left
            time.sleep(MOMENT)  # for there may be thousands
            roster = target.roster()
            held = [item for item in roster if "held" in item]
            for item in held:
                if (number := item["args"]["number"]) >= 0:
                    self._ledger.jobs[number].releases += 1
            target.ask("release", uids=[item["uid"] for item in held])
            stays = [item["uid"] for item in roster if item["args"]["does"] == "stay"]
            target.ask("rm", uids=stays)
            before, left = left, len(roster) + len(target.ask("schedules"))
            return left < before

        with suppress(AssertionError):  # then what has not ended is told
            while left:
                wait_until(are_fewer, "more jobs have ended", LONG)
        return compare(self._ledger, Look(target, self._folder), SLOTS, is_over=True)

    def answered(self) -> int:
        return self._ledger.answered

    def refused(self) -> int:
        return self._ledger.refused

    def _add(self, connection: Connection, job: Job) -> None:
        """Add a job. After a kill it is asked for again, with the same key."""
        args = {"number": job.number, "does": job.does}
        after = {"after": [job.after.uid]} if job.after else {}
        key = f"job {job.number}"
        try:
            answer = connection.ask("add", type=job.type, args=args, key=key, **after)
        except Refusal:
            job.added = Said.REFUSED
            raise
        if job.uid not in (None, answer["uid"]):
            raise Refusal(f"job {job.number} was {job.uid}, and is now {answer['uid']}")
        job.uid, job.added = answer["uid"], Said.ANSWERED
        self._ledger.count()

    def _schedule(self, connection: Connection, job: Job, source: random.Random) -> None:
        args = {"number": job.number, "does": job.does}
        at = time.time() + source.uniform(*AHEAD)
        try:
            answer = connection.ask("schedule", type=job.type, args=args, at=at, missed="once")
        except Refusal as refusal:
            job.added = Said.REFUSED
            if "is in the past" in str(refusal):  # on a busy machine
                return
            raise
        job.uid, job.added = answer["id"], Said.ANSWERED
        self._ledger.count()

    def _tick(self, connection: Connection) -> None:
        connection.ask("schedule", args=TICK, **TICKS)
        self._ticks = Said.ANSWERED
        self._ledger.count()

    def _wait(self, connection: Connection, job: Job) -> None:
        ended = connection.ask("wait", uid=job.uid, timeout=0.2)
        self._ledger.count()
        if ended is not None:
            job.ended = (ended["state"], ended.get("result"))

    def _remove(self, connection: Connection, job: Job) -> None:
        """Remove a job, or its schedule."""
        before, job.removed = job.removed, Said.ASKED
        command = {"id": job.uid} if job.is_scheduled else {"uids": [job.uid]}
        try:
            connection.ask("unschedule" if job.is_scheduled else "rm", **command)
        except Refusal as refusal:
            if job.is_scheduled and "no schedule" in str(refusal):  # its moment has come
                job.removed = before
                return
            job.removed = Said.REFUSED if before in (Said.NOTHING, Said.REFUSED) else before
            raise
        job.removed = Said.ANSWERED
        self._ledger.count()

    def _release(self, connection: Connection, job: Job) -> None:
        job.releases += 1
        try:
            connection.ask("release", uids=[job.uid])
        except Refusal as refusal:
            if "no " not in str(refusal):  # it has ended
                raise
        self._ledger.count()


def can_be_awaited(job: Job) -> bool:
    return job.uid is not None and not job.is_scheduled and job.ended is None


def can_be_removed(job: Job) -> bool:
    return job.uid is not None and job.removed in (Said.NOTHING, Said.REFUSED)


def can_be_released(job: Job) -> bool:
    return job.uid is not None and not job.is_scheduled and job.type == "hold"
