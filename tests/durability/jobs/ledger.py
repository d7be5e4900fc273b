"""What clients have asked of a pool of jobs, and what it has answered."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from durability.ledger import Said

TYPES = ("again", "hold", "drop")
DOES = ("result", "fail", "flaky", "stay")


@dataclass
class Job:
    """One job that a client has asked for, by `add` or by a schedule for one moment."""

    number: int
    #: Its type, called after its `after_crash`, and what it does.
    type: str
    does: str
    #: The job that has to be done before it.
    after: Job | None = None
    #: Whether it comes from a schedule. Then `uid` is the id of that until it is known otherwise.
    is_scheduled: bool = False
    added: Said = Said.ASKED
    removed: Said = Said.NOTHING
    uid: str | None = None
    #: How often a client has asked that it is released.
    releases: int = 0
    #: Its state and result, once a client was told that it has ended.
    ended: tuple[str, object] | None = None


class JobLedger:
    """All jobs of one run, shared by its clients."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.jobs: list[Job] = []
        #: Commands that were answered.
        self.answered = 0

    def new(self, source: random.Random, is_scheduled: bool) -> Job:
        """Note a job before it is asked for."""
        does = source.choices(DOES, [6, 1, 2, 1])[0]
        after = None
        if not is_scheduled and source.random() < 0.2:
            after = self.choose(source, lambda job: job.uid is not None and not job.is_scheduled)
        with self._lock:
            job = Job(len(self.jobs), source.choice(TYPES), does, after, is_scheduled)
            self.jobs.append(job)
            return job

    def choose(self, source: random.Random, fits: Callable[[Job], bool]) -> Job | None:
        """One of the latest jobs that fit."""
        with self._lock:
            some = [job for job in self.jobs[-100:] if fits(job)]
        return source.choice(some) if some else None

    def count(self) -> None:
        """Note that a command was answered."""
        with self._lock:
            self.answered += 1

    @property
    def refused(self) -> int:
        """Jobs that could not be added or removed."""
        refused = Said.REFUSED
        return sum((job.added is refused) + (job.removed is refused) for job in self.jobs)
