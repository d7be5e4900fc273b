"""The command log: one SQLite table that other programs read.

    pk, uid, namespace, timestamp, input_json, output_json

Strategy. `log` only puts a row in memory. One greenlet lets rows gather for a moment and hands
them, as one transaction, to one thread that owns the file (see lib.logfile); the event loop never
waits for a disk. Rows that set parameters of one module and follow each other become one row with
the merged parameters.

A disk that is locked, full, read-only or hangs stops nobody, and neither does a thread that cannot
be started: rows wait in memory, up to a limit. It is said once in the program's log when that
begins and once when it is over, with the number of rows that had to be dropped.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections import deque
from typing import Any, NamedTuple

import gevent
import msgspec
from gevent.event import AsyncResult, Event
from gevent.lock import Semaphore
from gevent.threadpool import ThreadPool

from shmooze import settings
from shmooze.errors import SettingsError
from shmooze.lib.logfile import LogFile, Rows, Values
from shmooze.runtime.time_slices import TimeSlices

log = logging.getLogger(__name__)

_encode = msgspec.json.encode


class Row(NamedTuple):
    """One entry; `input` and `output` are JSON values until they are turned to text."""

    uid: str | None
    namespace: str
    timestamp: str
    input: Any
    output: Any


def row_dict(row: sqlite3.Row) -> dict[str, Any]:
    """A row as an ordinary dictionary."""
    return dict(row)


class Database:
    """A log table in an SQLite file.

    `filename` is the file, in which `~` and `$VARIABLES` are replaced (None: `log_database_path`
    of the settings, or else memory), `log_table` the table's name. Nothing is opened before
    `open`, or the first write. Raises SettingsError for a name that cannot be one.
    """

    #: Seconds that rows may gather before they are written.
    gather = 0.2
    #: Seconds that one write waits for a lock that another program holds.
    lock_timeout = 1.0
    #: Seconds between attempts while the disk does not take rows.
    retry_delay = 1.0
    #: Seconds after which a write that is not done is told of.
    hang_timeout = 5.0
    #: Rows that wait in memory at the most; the oldest are dropped for newer ones.
    max_rows = 10_000
    #: Bytes of JSON that wait in memory at the most.
    max_bytes = 64 << 20
    #: Seconds that `open` waits for the disk.
    open_timeout = 1.5
    #: Seconds that `close` tries to get the last rows written, and then the file closed.
    close_timeout = 2.0

    def __init__(
        self, filename: str | os.PathLike[str] | None = None, log_table: str | None = None
    ) -> None:
        self.filename = _expand(filename) or settings.get("log_database_path") or ":memory:"
        self.log_table = log_table
        self._file = LogFile(self.filename, log_table, self.lock_timeout)
        self._pending: deque[Row] = deque()
        self._merge: dict[str, dict[str, Any]] = {}
        self._backlog: deque[Values] = deque()
        #: What the thread is writing, and the job that tells when it is done.
        self._in_flight: deque[Values] = deque()
        self._job: AsyncResult | None = None
        #: Bytes of JSON in both.
        self._bytes = 0
        self._dropped = 0
        self._outage: str | None = None
        self._wake = Event()
        self._closing = Event()
        self._flushing = Semaphore()
        self._writer: gevent.Greenlet | None = None
        self._thread: ThreadPool | None = None

    def open(self) -> None:
        """Make the file and the table now, so that readers find them.

        Never fails for the disk's sake: what is wrong is logged, and tried again.
        """
        with gevent.Timeout(self.open_timeout, False):
            self._flush(even_nothing=True)
        if self._outage is not None or self._job is not None:
            self._wake_writer()

    def log(
        self, uid: str | None, namespace: str, command: Any, response: Any, raw: bool = False
    ) -> None:
        """Take one entry. Never waits, never fails for the disk's sake.

        With `raw`, command and response are the JSON text itself.
        """
        if raw:
            command, response = _as_json(command), _as_json(response)
        if uid is not None and self._merged(uid, namespace, command):
            return
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        self._pending.append(Row(uid, namespace, now, command, response))
        if len(self._pending) > self.max_rows:
            self._merge.pop(self._pending.popleft().uid or "", None)
            self._dropped += 1
        self._wake_writer()

    def execute(self, sql: str, /, **params: Any) -> Rows:
        """Run one statement after all rows logged so far; its rows. Raises sqlite3.Error.

        What it changes is committed at once.
        """
        self._flush()
        rows: Rows = _result(self._start(self._file.execute, sql, params).get())
        return rows

    #: The name under which 1.2.4 offered reading.
    execute_select = execute

    def commit(self) -> None:
        """Write what was logged so far. Statements need no commit."""
        self._flush()

    def close(self) -> None:
        """Write what waits, as far as the disk takes it now, and close the file.

        Takes `close_timeout` twice at the most, however the disk behaves.
        """
        self._closing.set()
        self._wake.set()
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
        lost = len(self._pending) + len(self._backlog) + len(self._in_flight) + self._dropped
        if lost:
            log.error("log %s: %d rows lost", self.filename, lost)
        if self._thread is not None:  # it ends with the program
            log.error("log %s: the disk does not answer, the file is not closed", self.filename)
            self._thread = None
        self._forget_all()

    def _wake_writer(self) -> None:
        if not self._writer and not self._closing.is_set():
            self._writer = gevent.spawn(self._write_forever)
        self._wake.set()

    def _merged(self, uid: str, namespace: str, command: Any) -> bool:
        """Whether an entry could be merged into the module's last one, which still waits."""
        if not isinstance(command, dict) or command.get("cmd") != "set_parameters":
            self._merge.pop(uid, None)  # later parameters must not be read before this entry
            return False
        parameters = command["args"]["parameters"]
        waiting = self._merge.get(uid)
        if waiting is not None:
            waiting.update(parameters)
            return True
        self._merge[uid] = own = dict(parameters)
        command["args"] = {"parameters": own}
        return False

    def _write_forever(self) -> None:
        while self._pending or self._backlog or not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            self._closing.wait(self.gather if self._outage is None else self.retry_delay)
            self._flush(even_nothing=self._outage is not None)
            if self._backlog or self._outage is not None:
                self._wake.set()
                if self._closing.is_set():
                    gevent.sleep(self.gather)

    def _flush(self, even_nothing: bool = False) -> None:
        """Try once to get all rows written; with `even_nothing` the file is opened at least.

        Whoever waits here may be interrupted: who comes next waits for the same write.
        """
        with self._flushing:
            if self._job is not None:
                self._await_job()
            self._encode_pending()
            if self._backlog or even_nothing:
                self._in_flight, self._backlog = self._backlog, deque()
                try:
                    self._job = self._start(self._file.write, list(self._in_flight))
                except Exception as bad:
                    self._put_back(bad)
                else:
                    self._await_job()

    def _await_job(self) -> None:
        assert self._job is not None
        began = time.monotonic()
        while not self._job.wait(self.gather):
            self._encode_pending()  # so that what waits is bounded in bytes, too
            if time.monotonic() - began > self.hang_timeout:
                self._say_outage("the disk does not answer")
        self._finish()

    def _finish(self) -> None:
        assert self._job is not None
        job, self._job = self._job, None
        try:
            _result(job.get())
        except Exception as bad:
            self._put_back(bad)
            return
        for values in self._in_flight:
            self._bytes -= _size(values)
        self._in_flight.clear()
        if self._file.replaced:
            log.warning("log %s: was moved, removed or emptied, and is made anew", self.filename)
            self._file.replaced = 0
        if self._outage is not None:
            log.warning("log %s: written again; %d rows were lost", self.filename, self._dropped)
        elif self._dropped:
            log.error("log %s: %d rows were lost, too many came", self.filename, self._dropped)
        self._outage, self._dropped = None, 0

    def _put_back(self, bad: Exception) -> None:
        self._in_flight.extend(self._backlog)
        self._backlog, self._in_flight = self._in_flight, deque()
        self._drop_surplus()
        self._say_outage(str(bad))

    def _encode_pending(self) -> None:
        """Turn rows to text, at the end of the backlog; others have their turn in between."""
        slices = TimeSlices()
        for _ in range(len(self._pending)):
            slices.yield_if_over()
            if not self._pending:
                break
            row = self._pending.popleft()
            self._merge.pop(row.uid or "", None)
            try:
                values = (*row[:3], _encode(row.input).decode(), _encode(row.output).decode())
            except (TypeError, ValueError, RecursionError) as bad:
                log.error("log %s: an entry is no JSON and is left out: %s", self.filename, bad)
                continue
            except MemoryError:
                self._dropped += 1
                continue
            self._backlog.append(values)
            self._bytes += _size(values)
            self._drop_surplus()

    def _drop_surplus(self) -> None:
        """Drop the oldest of those that wait until they are within the limits."""
        while self._backlog and (
            len(self._backlog) + len(self._in_flight) > self.max_rows
            or self._bytes > self.max_bytes
        ):
            self._bytes -= _size(self._backlog.popleft())
            self._dropped += 1

    def _forget_all(self) -> None:
        for rows in (self._pending, self._backlog, self._in_flight):
            rows.clear()
        self._merge.clear()
        self._job = None
        self._bytes = self._dropped = 0

    def _say_outage(self, reason: str) -> None:
        if self._outage is None:
            self._outage = reason
            log.error("log %s: cannot be written, rows wait in memory: %s", self.filename, reason)

    def _start(self, function: Any, *args: Any) -> AsyncResult:
        """Have the thread do something; its outcome, for `_result`.

        sqlite3.OperationalError where the thread cannot be started.
        """
        if self._thread is None:
            self._thread = ThreadPool(1)
        try:
            # A pool's thread prints what is raised in it; so it is brought out as a value.
            return self._thread.spawn(_outcome, function, *args)
        except RuntimeError as bad:
            # The pool keeps what it could not begin, and would do it when nobody expects it.
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


def _size(values: Values) -> int:
    return len(values[3]) + len(values[4])


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
