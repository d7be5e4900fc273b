"""StateFile: the SQLite file in which a service keeps what must survive its end.

Commands wait until their changes are on disk, all those that come together for one transaction.
The event loop never waits for the disk: one thread writes (see state/writer.py), one reads.

If the file cannot be written, `commit` refuses, and the service goes on. Each commit is a new
attempt, so it recovers by itself when the cause is gone. The log says when that begins and ends.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

import gevent
from gevent.event import AsyncResult

from shmooze.errors import SettingsError, StateError
from shmooze.runtime.native_thread import NativeThread
from shmooze.runtime.printable import printable
from shmooze.state.connection import check_and_prepare, connect, create, make_folder
from shmooze.state.lock import UseLock
from shmooze.state.problems import NO_ANSWER, advice, problem_of
from shmooze.state.writer import Job, Write, Writer

__all__ = ["StateError", "StateFile", "Write"]

log = logging.getLogger(__name__)

T = TypeVar("T")


class StateFile:
    """The state file at `path`. `sync` is a value of the setting `state_sync`."""

    #: Seconds for which a commit waits for the disk.
    commit_timeout = 10.0
    #: Seconds for which a transaction waits for another program's lock.
    lock_timeout = 5.0
    #: Seconds for which `read` waits for its result.
    read_timeout = 20.0
    #: Seconds for which `check` waits for the disk.
    check_timeout = 2.0
    #: Seconds for which `open` waits for the disk.
    open_timeout = 20.0
    #: Seconds for which `close` waits for the last changes, and for the file to be closed.
    close_timeout = 5.0

    def __init__(self, path: str | os.PathLike[str], sync: str = "full") -> None:
        self.path = os.fspath(path)
        self._name: str | None = None
        self._lock = UseLock(self.path)
        self._writer = Writer(self.path, sync, self.lock_timeout, self._report)
        self._reader = NativeThread()
        #: Used by the thread of the reader only.
        self._reading: sqlite3.Connection | None = None
        self._outage: str | None = None
        self._is_open = False

    @property
    def transactions(self) -> int:
        """How many transactions were committed."""
        return self._writer.transactions

    def open(self, name: str | None = None) -> None:
        """Open the file for the service `name`, and make its tables if they are missing.

        Raises SettingsError, one line that says what to do, if the file cannot be used or another
        process runs this service on it. A fork of this process has neither the lock nor the
        threads, so open it in the process that uses it.
        """
        opening = self._writer.call(lambda: self._open(name))
        opening.wait(self.open_timeout)
        if not opening.ready():
            raise self._wrong(NO_ANSWER)
        try:
            opening.get()
        except SettingsError as bad:
            raise self._wrong(str(bad)) from bad
        except Exception as bad:
            problem = problem_of(bad)
            if problem is None:
                raise
            raise self._wrong(advice(self.path, problem)) from bad
        self._name = name
        self._is_open = True

    def commit(self, *writes: Write, undo: Iterable[Write] = ()) -> int:
        """Execute the writes, and wait until they are on disk. Returns how many rows changed.

        Raises StateError, and nothing is changed, if that is impossible, or takes too long. In the
        second case nobody may know yet whether they get to the disk. If they do, `undo` is
        written. It must only concern rows that no other commit changes, such as new ones, and must
        do no harm if it has nothing to undo.
        """
        job = Job(writes, undo)
        self._submit(job)
        try:
            job.result.wait(self.commit_timeout)
        finally:
            if not job.result.ready():
                self._writer.withdraw(job)
        if not job.result.ready():
            self._report(NO_ANSWER)
            raise StateError(f"the state cannot be kept: {NO_ANSWER}")
        changed: int = job.result.get()
        return changed

    def submit(self, *writes: Write) -> AsyncResult:
        """Execute the writes soon. Returns what will be the number of changed rows, or StateError.

        Raises StateError if too many writes wait already.
        """
        job = Job(writes)
        self._submit(job)
        return job.result

    def check(self, *writes: Write) -> str | None:
        """Why the file does not take these writes within `check_timeout`; None: it does."""
        try:
            result = self.submit(*writes)
            result.wait(self.check_timeout)
            if not result.ready():
                return NO_ANSWER
            result.get()
        except StateError as bad:
            return str(bad).partition(": ")[2] or str(bad)
        return None

    def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """What `function` returns for a connection that can only read, called in a thread.

        It sees all that was committed before. Raises what it raises, and StateError if the file
        cannot be read.
        """
        if not self._is_open:
            raise StateError("the state cannot be read: the file is closed")
        reading = self._reader.result(lambda: self._read(function))
        reading.wait(self.read_timeout)
        if not reading.ready():
            raise StateError(f"the state cannot be read: {NO_ANSWER}")
        try:
            result: T = reading.get()
        except (sqlite3.Error, OSError) as bad:
            problem = problem_of(bad)
            if problem is None:
                raise
            raise StateError(f"the state cannot be read: {problem}") from bad
        return result

    def damaged(self) -> SettingsError:
        """The error for a file with rows that no service has written."""
        return self._wrong(advice(self.path, "the file is damaged"))

    def close(self) -> None:
        """Write what waits, and close the file. May be called twice.

        Takes at most `close_timeout`, even if the disk hangs.
        """
        if not self._is_open:
            return
        self._is_open = False
        reader = self._reader.result(self._close_reader)
        writer = self._writer.call(self._close)
        gevent.wait([reader, writer], self.close_timeout)
        if not (reader.ready() and writer.ready()):
            log.error("state file %s: %s, the file is not closed", self.path, NO_ANSWER)
        for closing in (reader, writer):
            with suppress(Exception):
                closing.get(block=False)
        self._reader.end()
        self._writer.end()

    def _submit(self, job: Job) -> None:
        if not self._is_open:
            raise StateError("the state cannot be kept: the file is closed")
        if self._writer.busy_for() > self.commit_timeout:
            raise StateError(f"the state cannot be kept: {NO_ANSWER}")
        self._writer.submit(job)

    def _report(self, problem: str | None) -> None:
        """Log when the file can no longer be written, and when it can again."""
        if problem is not None and problem != self._outage:
            log.error("state file %s: cannot be written: %s", self.path, problem)
        elif problem is None and self._outage is not None:
            log.warning("state file %s: can be written again", self.path)
        self._outage = problem

    def _wrong(self, problem: str) -> SettingsError:
        return SettingsError(printable(f"state file {self.path}: {problem}"))

    # In the threads.

    def _open(self, name: str | None) -> None:
        make_folder(self.path)
        with self._lock.opening(name):
            create(self.path, self._lock.is_used_by_others)
            connection = connect(self.path, self.lock_timeout)
            try:
                check_and_prepare(connection, [name] if name is not None else [], self._lock)
                self._writer.open(connection)
            except BaseException:
                connection.close()
                raise

    def _close(self) -> None:
        try:
            self._writer.close()
        finally:
            if self._name is not None:
                self._lock.release(self._name)

    def _read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._reading is None:
                self._reading = connect(self.path, self.lock_timeout)
                self._reading.execute("PRAGMA query_only = ON")
            return function(self._reading)
        except (sqlite3.Error, OSError):
            self._close_reader()
            raise

    def _close_reader(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.close()
