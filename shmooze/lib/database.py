"""The command log: one SQLite table that other programs read.

    pk, uid, namespace, timestamp, input_json, output_json

Strategy. `log` only puts a row in memory. One greenlet lets rows gather for a moment and hands
them, as one transaction, to one thread that owns the connection; the event loop never waits for
a disk. Rows that set parameters of one module and follow each other become one row with the
merged parameters.

A disk that is locked, full or read-only stops nobody: rows wait in memory, up to a limit. It is
said once in the program's log when that begins and once when it is over, with the number of
rows that had to be dropped.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import deque
from itertools import chain
from typing import Any, NamedTuple

import gevent
import msgspec
from gevent.event import Event
from gevent.lock import Semaphore
from gevent.threadpool import ThreadPool

from shmooze import settings

log = logging.getLogger(__name__)

_encode = msgspec.json.encode

_COLUMNS = """(
    pk INTEGER PRIMARY KEY,
    uid TEXT,
    namespace TEXT,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP,
    input_json TEXT,
    output_json TEXT
)"""


class Row(NamedTuple):
    """One entry; `input` and `output` are JSON values until the writer turns them to text."""

    uid: str | None
    namespace: str
    timestamp: str
    input: Any
    output: Any


class Database:
    """A log table in an SQLite file.

    `filename` is the file (None: `log_database_path` of the settings, or else memory),
    `log_table` the table's name. Nothing is opened before the first write.
    """

    #: Seconds that rows may gather before they are written.
    gather = 0.2
    #: Seconds that one write waits for a lock that another program holds.
    lock_timeout = 1.0
    #: Seconds between attempts while the disk does not take rows.
    retry_delay = 1.0
    #: Rows that wait in memory at the most; the oldest are dropped for newer ones.
    max_rows = 10_000
    #: Bytes of JSON that wait in memory at the most.
    max_bytes = 64 << 20
    #: Rows that one statement writes. After each, the writing thread has to wait for the loop.
    rows_at_once = 100
    #: Seconds that `close` tries to get the last rows written.
    close_timeout = 2.0

    def __init__(self, filename: str | None = None, log_table: str | None = None) -> None:
        self.filename = filename or settings.get("log_database_path") or ":memory:"
        self.log_table = log_table
        self._pending: deque[Row] = deque()
        self._merge: dict[str, dict[str, Any]] = {}
        self._backlog: deque[tuple[Any, ...]] = deque()
        self._backlog_bytes = 0
        self._dropped = 0
        self._outage: str | None = None
        self._wake = Event()
        self._closing = Event()
        self._flushing = Semaphore()
        self._writer: gevent.Greenlet | None = None
        self._thread: ThreadPool | None = None
        self._connection: sqlite3.Connection | None = None

    def log(self, uid: str | None, namespace: str, command: Any, response: Any) -> None:
        """Take one entry. Never waits, never fails for the disk's sake."""
        if uid is not None and self._merged(uid, namespace, command):
            return
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        self._pending.append(Row(uid, namespace, now, command, response))
        if len(self._pending) > self.max_rows:
            self._merge.pop(self._pending.popleft().uid or "", None)
            self._dropped += 1
        if self._writer is None:
            self._writer = gevent.spawn(self._write_forever)
        self._wake.set()

    def execute(self, sql: str, **params: Any) -> list[sqlite3.Row]:
        """Run one statement after all rows logged so far; its rows. Raises sqlite3.Error."""
        self._flush()
        rows: list[sqlite3.Row] = self._in_thread(self._execute, sql, params)
        return rows

    #: The name under which 1.2.4 offered reading.
    execute_select = execute

    def close(self) -> None:
        """Write what waits, as far as the disk takes it now, and close the file."""
        self._closing.set()
        self._wake.set()
        if self._writer is not None:
            self._writer.join(self.close_timeout)
            self._writer.kill()
        left = len(self._pending) + len(self._backlog)
        if left or self._dropped:
            log.error("log %s: %d rows lost", self.filename, left + self._dropped)
        if self._thread is not None:
            self._in_thread(self._disconnect)
            self._thread.kill()
            self._thread = None

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
            self._flush()
            if self._backlog:
                self._wake.set()
                if self._closing.is_set():
                    gevent.sleep(self.gather)

    def _flush(self) -> None:
        """Try once to get all rows written."""
        with self._flushing:
            rows, self._pending = self._pending, deque()
            self._merge.clear()
            for row in rows:
                self._keep(row)
            if self._backlog:
                self._write_backlog()

    def _write_backlog(self) -> None:
        batch = list(self._backlog)
        try:
            self._in_thread(self._write, batch)
        except (sqlite3.Error, OSError) as bad:
            self._say_outage(bad)
            return
        for values in batch:
            self._backlog.popleft()
            self._backlog_bytes -= _size(values)
        if self._outage is not None:
            log.warning("log %s: written again; %d rows were lost", self.filename, self._dropped)
            self._outage, self._dropped = None, 0

    def _keep(self, row: Row) -> None:
        """Put a row, as text, at the end of the backlog; drop from its front what is too much."""
        try:
            values = (*row[:3], _encode(row.input).decode(), _encode(row.output).decode())
        except (TypeError, ValueError, RecursionError) as bad:
            log.error("log %s: an entry is no JSON and is left out: %s", self.filename, bad)
            return
        self._backlog.append(values)
        self._backlog_bytes += _size(values)
        while len(self._backlog) > self.max_rows or self._backlog_bytes > self.max_bytes:
            self._backlog_bytes -= _size(self._backlog.popleft())
            self._dropped += 1

    def _say_outage(self, bad: Exception) -> None:
        if self._outage is None:
            self._outage = str(bad)
            log.error("log %s: cannot be written, rows wait in memory: %s", self.filename, bad)

    def _in_thread(self, function: Any, *args: Any) -> Any:
        if self._thread is None:
            self._thread = ThreadPool(1)
        # A pool's thread prints what is raised in it; so it is brought out as a value.
        result, error = self._thread.apply(_outcome, (function, *args))
        if error is not None:
            raise error
        return result

    # What follows runs in the thread.

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(self.filename, timeout=self.lock_timeout)
            try:
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA journal_mode=WAL")
                if self.log_table is not None:
                    connection.execute(f"CREATE TABLE IF NOT EXISTS {self._table} {_COLUMNS}")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @property
    def _table(self) -> str:
        return '"' + str(self.log_table).replace('"', '""') + '"'

    def _write(self, batch: list[tuple[Any, ...]]) -> None:
        try:
            with self._connect() as connection:
                for start in range(0, len(batch), self.rows_at_once):
                    rows = batch[start : start + self.rows_at_once]
                    connection.execute(
                        f"INSERT INTO {self._table}"
                        " (uid, namespace, timestamp, input_json, output_json)"
                        f" VALUES {', '.join(len(rows) * ['(?, ?, ?, ?, ?)'])}",
                        list(chain.from_iterable(rows)),
                    )
        except sqlite3.Error:
            self._disconnect()  # the file may have been replaced; begin anew
            raise

    def _execute(self, sql: str, params: dict[str, Any]) -> list[sqlite3.Row]:
        with self._connect() as connection:
            return connection.execute(sql, params).fetchall()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _size(values: tuple[Any, ...]) -> int:
    return len(values[3]) + len(values[4])


def _outcome(function: Any, *args: Any) -> tuple[Any, Exception | None]:
    try:
        return function(*args), None
    except Exception as error:
        return None, error
