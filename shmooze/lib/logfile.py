"""The SQLite file of the command log, as the one thread uses it that may wait for a disk.

A log is rotated: its file is renamed, deleted or emptied while it is open. So before each write
the path is compared with the file that is open, and opened anew where they differ.

SQLite's write-ahead log makes that delicate. It lies beside the file, under a name that a rename
leaves behind, and several services may share both. So what it holds is first copied into the file
that was moved. Then a lock on the folder makes sure that one service at a time removes what has
been left behind: from a file that exists and is not empty nothing is ever removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any

from gevent import monkey

# In a thread of its own it sleeps itself: no loop runs there.
_sleep = monkey.get_original("time", "sleep")

_COLUMNS = """(
    pk INTEGER PRIMARY KEY,
    uid TEXT,
    namespace TEXT,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP,
    input_json TEXT,
    output_json TEXT
)"""

#: uid, namespace, timestamp, input_json, output_json
Values = tuple[str | None, str, str, str, str]


class Rows(list[sqlite3.Row]):
    """The rows of one statement; also read like the cursor that 1.2.4 returned."""

    #: The `pk` of the row that the statement has inserted, if it has.
    lastrowid: int | None = None

    def fetchone(self) -> sqlite3.Row | None:
        """Take the first of the rows that are left; None: there is none."""
        return self.pop(0) if self else None

    def fetchall(self) -> list[sqlite3.Row]:
        """Take all rows that are left."""
        left = list(self)
        self.clear()
        return left


class LogFile:
    """A table in an SQLite file, or in memory. Raises sqlite3.Error.

    `lock_timeout` is how many seconds one call waits for a lock that another program holds.
    """

    #: Rows that one statement writes. After each, the writing thread has to wait for the loop.
    rows_at_once = 100
    #: Seconds between two attempts to lock the folder.
    lock_delay = 0.01

    def __init__(self, filename: str, table: str | None, lock_timeout: float) -> None:
        self.filename = filename
        self._table = '"' + table.replace('"', '""') + '"' if table is not None else None
        self._lock_timeout = lock_timeout
        self._in_memory = filename == ":memory:"
        self._connection: sqlite3.Connection | None = None
        #: Device and inode of the open file.
        self._identity = (0, 0)
        #: How often the file was found to be moved, removed or emptied.
        self.replaced = 0

    def open(self) -> sqlite3.Connection:
        """Make sure that the file which the path names now is open, and that it has the table."""
        if self._connection is None or self._was_replaced():
            with self._alone():
                if self._connection is not None and self._was_replaced():
                    self._leave()
                if self._connection is None:
                    self._connection = self._connect()
        return self._connection

    def write(self, batch: Sequence[Values]) -> None:
        """Write all rows, or none."""
        try:
            with self.open() as connection:
                for start in range(0, len(batch), self.rows_at_once):
                    rows = batch[start : start + self.rows_at_once]
                    connection.execute(
                        f"INSERT INTO {self._table}"
                        " (uid, namespace, timestamp, input_json, output_json)"
                        f" VALUES {', '.join(len(rows) * ['(?, ?, ?, ?, ?)'])}",
                        list(chain.from_iterable(rows)),
                    )
        except sqlite3.Error:
            self.close()  # the file may be broken; begin anew
            raise

    def execute(self, sql: str, params: dict[str, Any]) -> Rows:
        """Run one statement; its rows."""
        with self.open() as connection:
            cursor = connection.execute(sql, params)
            rows = Rows(cursor.fetchall())
            rows.lastrowid = cursor.lastrowid
            return rows

    def close(self) -> None:
        """Close the file, if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        found = self._look()
        if not self._in_memory and (found is None or not found.st_size):
            # What lies beside an empty file belongs to one that was there before. SQLite itself
            # ignores such a log, but not such an index of it.
            self._remove("-wal", "-shm")
        connection = sqlite3.connect(self.filename, timeout=self._lock_timeout)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            if self._table is not None:
                connection.execute(f"CREATE TABLE IF NOT EXISTS {self._table} {_COLUMNS}")
            found = found or self._look()
        except BaseException:
            connection.close()
            raise
        if found is not None:
            self._identity = found.st_dev, found.st_ino
        return connection

    def _leave(self) -> None:
        """Close a file that was moved, deleted or emptied, with all that was written in it."""
        assert self._connection is not None
        self.replaced += 1
        found = self._look()
        if found is not None and (found.st_dev, found.st_ino) == self._identity:
            # Emptied: SQLite would write into it, at its end, what makes no whole file.
            self._remove("")
        else:
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.close()

    def _was_replaced(self) -> bool:
        """Whether the path does not name the open file any more, or that was emptied."""
        if self._in_memory:
            return False
        found = self._look()
        return not found or not found.st_size or (found.st_dev, found.st_ino) != self._identity

    def _look(self) -> os.stat_result | None:
        try:
            return os.stat(self.filename)
        except OSError:
            return None

    def _remove(self, *endings: str) -> None:
        for ending in endings:
            try:
                os.unlink(os.path.realpath(self.filename) + ending)
            except FileNotFoundError:
                pass
            except OSError as bad:
                raise sqlite3.OperationalError(str(bad)) from bad

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Have no other service open or leave a file in this folder meanwhile.

        The lock is held for milliseconds; sqlite3.OperationalError where somebody keeps it.
        """
        if self._in_memory:
            yield
            return
        try:
            folder = os.open(os.path.dirname(os.path.realpath(self.filename)), os.O_RDONLY)
        except OSError:  # it may not be read, or is missing, which SQLite says
            yield
            return
        try:
            self._lock(folder)
            yield
        finally:
            os.close(folder)

    def _lock(self, folder: int) -> None:
        deadline = time.monotonic() + self._lock_timeout
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as bad:
                if bad.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                    return  # a file system that cannot lock a folder
                if time.monotonic() > deadline:
                    raise sqlite3.OperationalError("the folder is locked") from bad
            _sleep(self.lock_delay)
