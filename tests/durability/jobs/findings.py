"""What is wrong with what a pool of jobs knows after it was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from durability.jobs.ledger import Job, JobLedger
from durability.jobs.look import Look
from durability.ledger import Said

#: The states in which an item may have ended.
_ENDS = ("done", "failed", "removed", "lost")


def compare(ledger: JobLedger, look: Look, slots: int, is_over: bool = False) -> list[str]:
    """A line for each fault. `is_over`: all jobs must have ended."""
    by_number: dict[int, list[dict[str, Any]]] = {}
    for item in (*look.roster, *look.ended):
        by_number.setdefault(item["args"]["number"], []).append(item)
    faults = [*_of_all(look, slots)]
    for job in ledger.jobs:
        there = by_number.get(job.number, [])
        words = [*_of_job(job, there, look, is_over)]
        if len({item["uid"] for item in there}) == 1:
            words += _of_item(job, there[-1], look)
        faults += [f"{job.type} {job.number} ({job.does}, {job.uid}) {word}" for word in words]
    return faults


def _of_all(look: Look, slots: int) -> Iterator[str]:
    uids = {name: [item["uid"] for item in getattr(look, name)] for name in ("roster", "ended")}
    for uid in {*uids["roster"]} & {*uids["ended"]}:
        yield f"{uid} is in roster and history"
    for where, all_of in uids.items():
        for uid, count in Counter(all_of).items():
            if count > 1:
                yield f"{uid} is {count} times in {where}"
    playing = [item["type"] for item in look.roster if item["state"] == "playing"]
    if len(playing) > slots:
        yield f"{len(playing)} play in {slots} slots"
    if len([kind for kind in playing if kind == "hold"]) > 1:
        yield "several have the only gpu"
    for key in look.doubled_keys:
        yield f"several items have the key {key!r}"


def _of_job(job: Job, there: list[dict[str, Any]], look: Look, is_over: bool) -> Iterator[str]:
    """Whether it is there, and how often."""
    if (count := len({item["uid"] for item in there})) > 1:
        yield f"is there as {count} items"
    is_expected = job.added is Said.ANSWERED
    is_known = bool(there) or job.number in look.kept
    if job.is_scheduled:
        is_known = is_known or job.uid in look.schedules
        if job.removed is not Said.NOTHING:
            is_expected = False
        if job.removed is Said.ANSWERED and job.uid in look.schedules:
            yield "was unscheduled, and is scheduled again"
    elif job.removed is Said.ANSWERED and any(item["state"] not in _ENDS for item in there):
        yield "was removed, and is there again"
    if is_expected and not is_known:
        yield "is lost"
    if job.added is Said.REFUSED and there and there[0]["state"] != "failed":
        yield "was not to be added, and is there"
    for item in there:
        if is_over and item["state"] not in _ENDS:
            why = item.get("waits") or item.get("held")
            yield f"has not ended: it is {item['state']}, {why}"
    most = 1 + job.releases + (job.does in ("fail", "flaky"))  # which are tried again
    if job.type != "again" and look.runs.get(job.number, 0) > most:
        yield f"was run {look.runs[job.number]} times"


def _of_item(job: Job, item: dict[str, Any], look: Look) -> Iterator[str]:
    """Whether it has ended as it should."""
    state, reason = item["state"], str(item.get("reason"))
    if job.ended is not None and job.ended != (state, item.get("result")):
        yield f"had ended as {job.ended}, and now as {(state, item.get('result'))}"
    if state == "done":
        if job.does in ("fail", "stay"):
            yield "is done, and should not be"
        elif item.get("result") != job.number:
            yield f"has the result {item.get('result')!r}"
        if not look.runs.get(job.number):
            yield "is done, and has never run"
    if state == "lost" and job.type != "drop":
        yield f"is lost: {reason}"
    # A process may be killed with the guardian before the service is. What comes after an item that
    # has failed fails too.
    may_fail = job.does in ("fail", "stay") or "SIGKILL" in reason or job.after is not None
    if state == "failed" and not may_fail:
        yield f"has failed: {reason}"
    if job.after is not None and job.number in look.begun:
        ends = {ended["uid"]: ended["state"] for ended in look.ended}
        if ends.get(str(job.after.uid)) != "done":
            yield f"has begun before {job.after.uid} was done"
