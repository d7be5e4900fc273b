"""The SQLite file of the command log, used by a thread that may block on the disk.

Log files are rotated: renamed, deleted or emptied while they are open. So before each write the
path is compared with the open file, and opened again if they differ.

SQLite's write-ahead log (WAL) makes that delicate. It is a file of its own, which a rename of the
database leaves behind, and several services may share both. So the WAL is first copied into the
file that was moved. Then the leftover files are removed, by one service at a time, under a lock on
the folder. The files of a database that exists and is not empty are never removed.
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

# The thread has no event loop, so gevent's sleep would not do.
_sleep = monkey.get_original("time", "sleep")

#: The columns of 1.2.4, and then those that came later: readers may go by position.
_COLUMNS = """(
    pk INTEGER PRIMARY KEY,
    uid TEXT,
    namespace TEXT,
    timestamp DATETIME DEFAULT CURRENT_TIMESTAMP,
    input_json TEXT,
    output_json TEXT,
    "by" TEXT
)"""
#: A table with these is a log, if perhaps of an earlier version.
_FIRST_COLUMNS = {"uid", "namespace", "timestamp", "input_json", "output_json"}

#: uid, namespace, timestamp, input_json, output_json, by
Values = tuple[str | None, str, str, str, str, str | None]


class Rows(list[sqlite3.Row]):
    """The rows of one statement. Can also be read like the cursor that 1.2.4 returned."""

    #: The `pk` of the row that the statement inserted, if any.
    lastrowid: int | None = None

    def fetchone(self) -> sqlite3.Row | None:
        """Take the first of the remaining rows; None if there is none."""
        return self.pop(0) if self else None

    def fetchall(self) -> list[sqlite3.Row]:
        """Take all remaining rows."""
        left = list(self)
        self.clear()
        return left


class LogFile:
    """A table in an SQLite file, or in memory. Raises sqlite3.Error.

    `lock_timeout` is the seconds for which a call waits for another program's lock.
    """

    #: Rows that one statement writes. After each statement, the thread has to wait for the GIL.
    rows_per_statement = 100
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
        #: Whether the table is known to have all columns.
        self._is_current = False
        #: How often the file was moved, removed or emptied since the owner has reset this.
        self.replaced = 0

    def open(self) -> sqlite3.Connection:
        """Make sure that the file at the path is open and has the table."""
        if self._connection is None or self._was_replaced():
            with self._folder_locked():
                if self._connection is not None and self._was_replaced():
                    self._abandon()
                if self._connection is None:
                    self._connection = self._connect()
        return self._connection

    def write(self, batch: Sequence[Values]) -> None:
        """Write all rows, or none of them."""
        try:
            with self.open() as connection:
                if not self._is_current:
                    self._migrate(connection)
                for start in range(0, len(batch), self.rows_per_statement):
                    rows = batch[start : start + self.rows_per_statement]
                    connection.execute(
                        f"INSERT INTO {self._table}"
                        ' (uid, namespace, timestamp, input_json, output_json, "by")'
                        f" VALUES {', '.join(len(rows) * ['(?, ?, ?, ?, ?, ?)'])}",
                        list(chain.from_iterable(rows)),
                    )
        except sqlite3.Error:
            self.close()  # the file may be corrupt: open it again next time
            raise

    def execute(self, sql: str, params: dict[str, Any]) -> Rows:
        """Run one statement. Returns its rows."""
        with self.open() as connection:
            cursor = connection.execute(sql, params)
            rows = Rows(cursor.fetchall())
            rows.lastrowid = cursor.lastrowid
            return rows

    def close(self) -> None:
        """Close the file, if it is open."""
        connection, self._connection = self._connection, None
        self._is_current = False
        if connection is not None:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        found = self._stat()
        if not self._in_memory and (found is None or not found.st_size):
            # The WAL and its index belong to an earlier file. SQLite ignores such a WAL, but not
            # such an index.
            self._remove("-wal", "-shm")
        connection = sqlite3.connect(self.filename, timeout=self._lock_timeout)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            if self._table is not None:
                connection.execute(f"CREATE TABLE IF NOT EXISTS {self._table} {_COLUMNS}")
            found = found or self._stat()
        except BaseException:
            connection.close()
            raise
        if found is not None:
            self._identity = found.st_dev, found.st_ino
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Add the column that a table of an earlier version lacks. Readers need not do that."""
        if self._lacks_by(connection):
            connection.execute("BEGIN IMMEDIATE")
            if self._lacks_by(connection):  # no other program has added it meanwhile
                connection.execute(f'ALTER TABLE {self._table} ADD COLUMN "by" TEXT')
            connection.commit()
        self._is_current = True

    def _lacks_by(self, connection: sqlite3.Connection) -> bool:
        columns = connection.execute(f"PRAGMA table_info({self._table})")
        names = {column["name"].lower() for column in columns}
        return names >= _FIRST_COLUMNS and "by" not in names

    def _abandon(self) -> None:
        """Close a file that was moved, deleted or emptied, with all rows written to it."""
        assert self._connection is not None
        self.replaced += 1
        found = self._stat()
        if found is not None and (found.st_dev, found.st_ino) == self._identity:
            # Emptied: SQLite would append to it, which makes it corrupt.
            self._remove("")
        else:
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.close()

    def _was_replaced(self) -> bool:
        """Whether the path no longer names the open file, or that file was emptied."""
        if self._in_memory:
            return False
        found = self._stat()
        return not found or not found.st_size or (found.st_dev, found.st_ino) != self._identity

    def _stat(self) -> os.stat_result | None:
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
    def _folder_locked(self) -> Iterator[None]:
        """Keep other services from opening or abandoning a file in this folder meanwhile.

        They hold the lock for milliseconds. Raises sqlite3.OperationalError if it stays locked.
        """
        if self._in_memory:
            yield
            return
        try:
            folder = os.open(os.path.dirname(os.path.realpath(self.filename)), os.O_RDONLY)
        except OSError:  # unreadable or missing: SQLite reports it
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
                    return  # the file system cannot lock folders
                if time.monotonic() > deadline:
                    raise sqlite3.OperationalError("the folder is locked") from bad
            _sleep(self.lock_delay)
