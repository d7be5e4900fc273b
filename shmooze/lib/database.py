"""The command log: one SQLite table that other programs read.

    pk, uid, namespace, timestamp, input_json, output_json, by

Strategy. `log` only puts a row into the backlog, in memory. A greenlet lets rows gather for a
moment and passes them, as one transaction, to a thread that owns the file (see lib/logfile.py). So
the event loop never waits for a disk.

Nothing else waits for a disk that is locked, full, read-only or hanging, or for a thread that
cannot be started. Rows then stay in memory, up to a limit. The program's log says once when that
begins, and once when it is over, with the number of rows that were dropped.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from typing import Any

import gevent
import msgspec
from gevent.event import AsyncResult, Event
from gevent.lock import Semaphore
from gevent.threadpool import ThreadPool

from shmooze import settings
from shmooze.errors import SettingsError
from shmooze.lib.backlog import Backlog
from shmooze.lib.logfile import LogFile, Rows

log = logging.getLogger(__name__)


def row_dict(row: sqlite3.Row) -> dict[str, Any]:
    """A row as an ordinary dictionary."""
    return dict(row)


class Database:
    """A log table in an SQLite file.

    `filename` is the file, in which `~` and `$VARIABLES` are expanded; the default is
    `log_database_path` of the settings, or else memory. `log_table` is the table's name. The file
    is opened by `open`, or by the first write. Raises SettingsError for an invalid file name.
    """

    #: Seconds for which rows gather before they are written.
    gather = 0.2
    #: Seconds for which a write waits for another program's lock.
    lock_timeout = 1.0
    #: Seconds between attempts while the file cannot be written.
    retry_delay = 1.0
    #: Seconds after which a write that is still running is reported.
    hang_timeout = 5.0
    #: Rows that may wait in memory. Beyond that, the oldest are dropped.
    max_rows = 10_000
    #: Bytes of JSON that may wait in memory.
    max_bytes = 64 << 20
    #: Seconds for which `open` waits for the disk.
    open_timeout = 1.5
    #: Seconds for which `close` waits for the last rows to be written, and then for the file to be
    #: closed.
    close_timeout = 2.0

    def __init__(
        self, filename: str | os.PathLike[str] | None = None, log_table: str | None = None
    ) -> None:
        self.filename = _expand(filename) or settings.get("log_database_path") or ":memory:"
        self.log_table = log_table
        self._file = LogFile(self.filename, log_table, self.lock_timeout)
        self._backlog = Backlog(self.filename, self.max_rows, self.max_bytes)
        #: The write in progress, if any.
        self._job: AsyncResult | None = None
        #: Why the file cannot be written; None while it can.
        self._outage: str | None = None
        self._wakeup = Event()
        self._closing = Event()
        self._flushing = Semaphore()
        self._writer: gevent.Greenlet | None = None
        self._thread: ThreadPool | None = None

    def open(self) -> None:
        """Create the file and the table now, so that readers find them.

        Does not fail if that is impossible now: it logs the problem and tries again later.
        """
        with gevent.Timeout(self.open_timeout, False):
            self._flush(even_if_empty=True)
        if self._outage is not None or self._job is not None:
            self._wake_writer()

    def log(
        self,
        uid: str | None,
        namespace: str,
        command: Any,
        response: Any,
        raw: bool = False,
        by: str | None = None,
    ) -> None:
        """Log one entry. Never blocks, and never fails because of the disk.

        With `raw`, command and response are JSON text. `by` is the name of the caller's token.
        """
        if raw:
            command, response = _as_json(command), _as_json(response)
        self._backlog.add(uid, namespace, command, response, by)
        self._wake_writer()

    @property
    def rows_lost(self) -> int:
        """Rows that could not be written, since it was opened."""
        return self._backlog.lost

    @property
    def rows_waiting(self) -> int:
        """Rows that are not written yet."""
        return len(self._backlog)

    @property
    def problem(self) -> str | None:
        """Why the file cannot be written at present; None: it can, as far as is known."""
        return self._outage

    def execute(self, sql: str, /, **params: Any) -> Rows:
        """Run one statement, after the rows logged so far. Returns its rows. Raises sqlite3.Error.

        Changes are committed at once.
        """
        self._flush()
        rows: Rows = _result(self._start(self._file.execute, sql, params).get())
        return rows

    #: Kept for programs written for 1.2.4.
    execute_select = execute

    def commit(self) -> None:
        """Write the rows logged so far. Statements need no commit."""
        self._flush()

    def close(self) -> None:
        """Write the rows in memory, if the disk allows it now, and close the file.

        Takes at most twice `close_timeout`, even if the disk hangs.
        """
        self._closing.set()
        self._wakeup.set()
        if self._writer is not None:
            self._writer.join(self.close_timeout)
            self._writer.kill()
        with gevent.Timeout(self.close_timeout, False):
            if self._thread is not None:
                self._start(self._file.close).get()
                self._thread.kill()
                self._thread = None
        if self._job is not None and self._job.ready():
            self._finish()
        lost = len(self._backlog) + self._backlog.dropped
        if lost:
            log.error("log %s: %d rows lost", self.filename, lost)
        if self._thread is not None:  # it hangs, and ends with the program
            log.error("log %s: the disk does not respond, the file is not closed", self.filename)
            self._thread = None
        self._backlog.clear()
        self._job = None

    def _wake_writer(self) -> None:
        if not self._writer and not self._closing.is_set():
            self._writer = gevent.spawn(self._write_forever)
        self._wakeup.set()

    def _write_forever(self) -> None:
        while len(self._backlog) or not self._closing.is_set():
            self._wakeup.wait()
            self._wakeup.clear()
            self._closing.wait(self.gather if self._outage is None else self.retry_delay)
            self._flush(even_if_empty=self._outage is not None)
            if self._backlog.has_encoded or self._outage is not None:
                self._wakeup.set()
                if self._closing.is_set():
                    gevent.sleep(self.gather)

    def _flush(self, even_if_empty: bool = False) -> None:
        """Try once to write all rows; with `even_if_empty`, open the file if there are none.

        A caller may be interrupted while it waits. The next one then waits for the same write.
        """
        with self._flushing:
            if self._job is not None:
                self._await_job()
            self._backlog.encode()
            if self._backlog.has_encoded or even_if_empty:
                try:
                    self._job = self._start(self._file.write, self._backlog.take())
                except Exception as bad:
                    self._fail(bad)
                else:
                    self._await_job()

    def _await_job(self) -> None:
        assert self._job is not None
        began = time.monotonic()
        while not self._job.wait(self.gather):
            self._backlog.encode()  # so that the limit in bytes applies, too
            if time.monotonic() - began > self.hang_timeout:
                self._report_outage("the disk does not respond")
        self._finish()

    def _finish(self) -> None:
        assert self._job is not None
        job, self._job = self._job, None
        try:
            _result(job.get())
        except Exception as bad:
            self._fail(bad)
            return
        dropped = self._backlog.dropped
        self._backlog.written()
        if self._file.replaced:
            log.warning("log %s: was moved, removed or emptied; created it again", self.filename)
            self._file.replaced = 0
        if self._outage is not None:
            log.warning("log %s: written again; %d rows were lost", self.filename, dropped)
        elif dropped:
            log.error("log %s: %d rows were lost, too many at once", self.filename, dropped)
        self._outage = None

    def _fail(self, error: Exception) -> None:
        self._backlog.put_back()
        self._report_outage(str(error))

    def _report_outage(self, reason: str) -> None:
        if self._outage is None:
            self._outage = reason
            log.error(
                "log %s: cannot be written, rows are kept in memory: %s", self.filename, reason
            )

    def _start(self, function: Any, *args: Any) -> AsyncResult:
        """Call a function in the thread. Returns its outcome, for `_result`.

        Raises sqlite3.OperationalError if the thread cannot be started.
        """
        if self._thread is None:
            self._thread = ThreadPool(1)
        try:
            # Returned as a value, since a thread of the pool prints exceptions.
            return self._thread.spawn(_outcome, function, *args)
        except RuntimeError as bad:
            # The pool has kept the call, and would run it at some later time.
            self._thread = None
            raise sqlite3.OperationalError(f"no thread: {bad}") from bad


def _as_json(text: str | None) -> Any:
    return None if text is None else msgspec.Raw(text.encode())


def _expand(filename: str | os.PathLike[str] | None) -> str | None:
    if filename is None:
        return None
    if not isinstance(filename, (str, os.PathLike)):
        raise SettingsError(f"`logfilename` must be the name of the log's file, not {filename!r}")
    try:
        return settings.expand(os.fspath(filename))
    except KeyError as unset:
        raise SettingsError(
            f"`logfilename` {str(filename)!r} uses ${unset.args[0]}, which is not set"
        ) from None


def _outcome(function: Any, *args: Any) -> tuple[Any, Exception | None]:
    try:
        return function(*args), None
    except Exception as error:
        return None, error


def _result(outcome: tuple[Any, Exception | None]) -> Any:
    result, error = outcome
    if error is not None:
        raise error
    return result
