"""Connections to a state file, and whether its path still names the open file.

The file is readable for its owner only. SQLite gives the files beside it (`-wal`, `-shm`) the same
mode.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from typing import Any
from urllib.parse import quote

from shmooze.settings import default_state_path
from shmooze.state import tables
from shmooze.state.lock import UseLock
from shmooze.state.problems import REPLACED, FileProblem

#: Each value of the setting `state_sync`, and what SQLite calls it.
SYNC = {"full": "FULL", "normal": "NORMAL"}


def connect(path: str, lock_timeout: float, mode: str = "rw") -> sqlite3.Connection:
    """Connect to a file that exists. `mode` is "rw", or "ro" to change nothing, not even the WAL.

    Transactions are the caller's. Raises sqlite3.Error.
    """
    connection = sqlite3.connect(
        f"file:{quote(os.path.realpath(path))}?mode={mode}",
        uri=True,
        timeout=lock_timeout,
        isolation_level=None,
        check_same_thread=False,  # never used by two at once, but closed by another thread
    )
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def in_transaction(connection: sqlite3.Connection, work: Callable[[], Any]) -> Any:
    """The result of `work`, whose changes are committed; none of them if it fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work()
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
    return result


def roll_back(connection: sqlite3.Connection) -> None:
    """End the transaction, if there is one, and forget its changes."""
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def make_folder(path: str) -> None:
    """Make the folder of a file, if that is where state files are unless the settings say so.

    Raises FileProblem if it is missing and any other, or OSError.
    """
    folder = os.path.dirname(os.path.abspath(path))
    at_home = {key: value for key, value in os.environ.items() if key != "XDG_STATE_HOME"}
    default_places = (default_state_path(), default_state_path(at_home))
    if folder in [os.path.dirname(place) for place in default_places if place is not None]:
        os.makedirs(folder, 0o700, exist_ok=True)
    elif not os.path.isdir(folder):
        raise FileProblem(f"its folder {folder} does not exist: create it")


def create(path: str, is_used_by_others: Callable[[], bool]) -> None:
    """Make sure that there is a file, which may be empty. Only under a UseLock.

    Raises OSError or FileProblem.
    """
    real = os.path.realpath(path)
    try:
        if os.stat(real).st_size:
            return
        os.chmod(real, 0o600)
    except FileNotFoundError:
        fd = os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.fchmod(fd, 0o600)  # whatever the umask
        finally:
            os.close(fd)
        _sync_folder(os.path.dirname(real))
    leftover = [real + ending for ending in ("-wal", "-shm") if os.path.exists(real + ending)]
    if leftover and is_used_by_others():
        raise FileProblem("was removed or emptied while a service uses it: stop all services first")
    for each in leftover:  # a new database with the index of an old WAL is corrupt
        os.unlink(each)


def check_and_prepare(connection: sqlite3.Connection, names: Iterable[str], lock: UseLock) -> None:
    """Check what services need of the file, and bring it up to date.

    Checks the tables whose rows services read at their start; the history is only read when a
    client asks for it. Raises sqlite3.Error, SettingsError or FileProblem.
    """
    version = tables.version_of(connection)
    is_old = version is not None and version < len(tables.MIGRATIONS)
    if is_old and lock.is_used_by_others():
        raise FileProblem("a service of an older shmooze uses it: stop all services first")
    connection.execute("PRAGMA journal_mode = WAL")
    in_transaction(connection, lambda: tables.prepare(connection, names))
    for name in names:
        for kind in ("items", "gone", "life"):
            check = f"PRAGMA quick_check({tables.table(name, kind)})"
            with closing(connection.execute(check)) as found:
                if found.fetchone()[0] != "ok":
                    raise FileProblem("the file is damaged")
        connection.execute(
            f"SELECT * FROM {tables.table(name, 'history')} ORDER BY number DESC LIMIT 1"
        ).fetchone()


def _sync_folder(folder: str) -> None:
    """Make sure that a new file is still there after a loss of power."""
    with suppress(OSError):  # some file systems cannot do this
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class Identity:
    """Which file a connection has open, to notice that it was removed, replaced or cut short."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self._size = 0
        self._main = self._seen("")
        self._wal = self._seen("-wal")

    def check(self) -> None:
        """Raise FileProblem unless the path still names the open file. Takes microseconds."""
        size = self._size
        if self._seen("") != self._main or self._size < size:
            raise FileProblem(REPLACED)
        if self._wal is None:
            self._wal = self._seen("-wal")
        elif self._seen("-wal") != self._wal:
            raise FileProblem(REPLACED)

    def forget_wal(self) -> None:
        """The connection was closed, which may have removed the `-wal` file."""
        self._wal = None

    def _seen(self, ending: str) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path + ending)
        except FileNotFoundError:
            return None
        if not ending:
            self._size = found.st_size
        return found.st_dev, found.st_ino
