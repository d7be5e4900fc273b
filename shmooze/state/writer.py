"""The writer of a state file: one thread, and one transaction for all that has come meanwhile.

Strategy. A job is some writes that belong together. Jobs wait in line until the event loop has done
all that it can do at that moment, and until the thread is free, which then writes all of them in
one transaction (group commit). So the event loop never waits for a disk, commands that come
together wait for one `fsync`, and the thread rarely has to wait for the interpreter.

Whoever waits for a job may give up, because the disk hangs or the client has left. A job that the
thread has not begun to commit is withdrawn: it is never written. If it was being committed at that
moment, and turns out to have been committed, its `undo` is written as soon as possible. So what
was refused does not stay, unless the service is killed right between the two.

If a statement fails, the jobs of the transaction are written again, each with a savepoint, and
only those at fault fail. If the file or the disk fails, all jobs of the transaction do.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gevent
from gevent import monkey
from gevent.event import AsyncResult

from shmooze.errors import StateError
from shmooze.runtime.native_thread import NativeThread
from shmooze.state.connection import SYNC, Identity, connect, roll_back
from shmooze.state.problems import DISK_FULL, LOCKED, REPLACED, problem_of

#: One statement and its parameters.
Write = tuple[str, Any]

_new_lock: Any = monkey.get_original("_thread", "allocate_lock")


class Job:
    """Writes that are committed together, or not at all."""

    __slots__ = (
        "changed",
        "committed",
        "error",
        "is_undo",
        "result",
        "undo",
        "withdrawn",
        "writes",
    )

    def __init__(
        self, writes: Sequence[Write], undo: Iterable[Write] = (), is_undo: bool = False
    ) -> None:
        self.writes = writes
        self.undo = tuple(undo)
        self.is_undo = is_undo
        #: For those who wait: the number of rows that were changed, or an exception.
        self.result = AsyncResult()
        self.changed = 0
        self.error: Exception | None = None
        self.committed = False
        self.withdrawn = False


class Writer:
    """Writes jobs to the file at `path`.

    `report(problem)` is called in the event loop after each transaction, with None if the file
    could be written.
    """

    #: Jobs that may wait.
    max_waiting = 10_000

    def __init__(
        self, path: str, sync: str, lock_timeout: float, report: Callable[[str | None], None]
    ) -> None:
        self.path = path
        #: How many transactions were committed.
        self.transactions = 0
        self._sync = SYNC[sync]
        self._lock_timeout = lock_timeout
        self._report = report
        self._thread = NativeThread()
        self._waiting: deque[Job] = deque()
        #: Whether the thread will look for jobs that wait. It resets this when it does.
        self._is_called = False
        #: Undos that could not be written yet.
        self._owed: list[Job] = []
        #: Held to decide whether jobs are withdrawn or committed; never while waiting for a disk.
        self._deciding = _new_lock()
        #: When the thread began the current transaction, in time.monotonic().
        self._began: float | None = None
        # Used by the thread only:
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None

    # For the event loop.

    def call(self, function: Callable[[], Any]) -> AsyncResult:
        """Let the thread call `function` after the jobs so far. Returns what its result will be."""
        if self._waiting:
            self._hand_over()
        return self._thread.result(function)

    def busy_for(self) -> float:
        """Seconds since the thread began its current transaction; 0 if there is none."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def submit(self, job: Job) -> None:
        """Write a job soon; its result comes later. Raises StateError if too many wait."""
        if len(self._waiting) >= self.max_waiting:
            raise StateError("the state cannot be kept: too many changes wait for the disk")
        self._waiting.append(job)
        self._hand_over_soon()

    def withdraw(self, job: Job) -> None:
        """Nobody waits for a job any more: it is not written, or undone if it is too late."""
        with self._deciding:
            job.withdrawn = True

    def end(self) -> None:
        """Let the thread end after what waits."""
        self._thread.end()

    def _hand_over_soon(self) -> None:
        """Let the thread write what waits, unless it is about to."""
        if not self._is_called:
            self._is_called = True
            gevent.get_hub().loop.run_callback(self._hand_over)

    def _hand_over(self) -> None:
        self._thread.call(self._write_waiting, self._written)

    def _written(self, outcome: tuple[list[Job], str | None], error: BaseException | None) -> None:
        """Tell those who wait what has become of their jobs."""
        if error is not None:
            raise error
        jobs, problem = outcome
        for job in jobs:
            if job.error is None:
                job.result.set(job.changed)
            else:
                job.result.set_exception(job.error)
                if job.is_undo and problem is not None:
                    self._owed.append(Job(job.writes, is_undo=True))
            if job.undo and job.committed and (job.withdrawn or job.error is not None):
                self._owed.append(Job(job.undo, is_undo=True))
        if not jobs:
            return
        self._report(problem)
        if self._owed and problem is None:
            self._waiting.extend(self._owed)
            self._owed.clear()
            self._hand_over_soon()

    # For the thread.

    def open(self, connection: sqlite3.Connection) -> None:
        """Use a connection, which is to the right file."""
        connection.execute(f"PRAGMA synchronous = {self._sync}")
        self._connection = connection
        self._identity = Identity(self.path)

    def close(self) -> None:
        """Close the file. It is opened again by the next job."""
        connection, self._connection = self._connection, None
        if connection is not None and self._identity is not None:
            connection.close()
            self._identity.forget_wal()

    def _write_waiting(self) -> tuple[list[Job], str | None]:
        """Write all jobs that wait. Returns them, and what is wrong with the file, if anything."""
        # Before the jobs are taken, since one that comes from now on may be missed here.
        self._is_called = False
        jobs = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not jobs:
            return [], None
        problem = None
        self._began = time.monotonic()
        try:
            self._commit(jobs)
        except Exception as bad:
            problem = problem_of(bad)
            error = StateError(f"the state cannot be kept: {problem}") if problem else bad
            for job in jobs:
                job.error = job.error or error
            self._recover(problem)
        finally:
            self._began = None
        return jobs, problem

    def _commit(self, jobs: list[Job]) -> None:
        """Commit the jobs, except those that are withdrawn; those at fault get their error."""
        connection = self._connected()
        assert self._identity is not None
        self._identity.check()
        while True:
            wanted = [job for job in jobs if not job.withdrawn]
            connection.execute("BEGIN IMMEDIATE")
            self._execute(connection, wanted)
            with self._deciding:
                # From here on, they can only be undone.
                if not any(job.withdrawn for job in wanted):
                    break
            connection.execute("ROLLBACK")
        connection.execute("COMMIT")
        self.transactions += 1
        for job in wanted:
            job.committed = job.error is None
        self._identity.check()

    def _execute(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        try:
            for job in jobs:
                job.changed = _run(connection, job)
        except Exception as bad:
            if problem_of(bad):
                raise
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                _run_by_itself(connection, job)

    def _recover(self, problem: str | None) -> None:
        if self._connection is not None:
            roll_back(self._connection)
            if problem not in (DISK_FULL, LOCKED, REPLACED):
                self.close()  # opened again next time, when it may be writable

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            assert self._identity is not None
            connection = connect(self.path, self._lock_timeout)
            try:
                connection.execute(f"PRAGMA synchronous = {self._sync}")
                self._identity.check()
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _run(connection: sqlite3.Connection, job: Job) -> int:
    """Execute a job. Returns the number of rows that it has changed."""
    return sum(max(0, connection.execute(*write).rowcount) for write in job.writes)


def _run_by_itself(connection: sqlite3.Connection, job: Job) -> None:
    """Execute a job; if it is at fault, change nothing and note that."""
    connection.execute("SAVEPOINT job")
    try:
        job.changed = _run(connection, job)
    except Exception as bad:
        if problem_of(bad):
            raise
        job.error = bad
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")
