"""Export and import of a state file: a JSON object a line, for people and other programs.

    {"format": "shmooze state", "version": 1}
    {"service": "queue", "table": "items", "row": {"uid": "…", …}}
    …
    {"rows": 12, "complete": true}

The columns are those of the tables, and JSON in them is text, as it is there. The last line tells
an export that was cut short from a whole one. A damaged file is exported as far as it can be read.
Then `complete` is false, and `damaged` has the tables of which rows may be missing.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from shmooze.errors import SettingsError
from shmooze.runtime.schema import shown
from shmooze.state import tables

FORMAT = "shmooze state"
#: How each file of SQLite begins.
_MAGIC = b"SQLite format 3\0"


def export(connection: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """The objects of an export. Raises SettingsError, or sqlite3.Error if nothing can be read."""
    # Damaged text is shown as well as possible, and of a file that was cut short what is there.
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("BEGIN")  # one state of the file, whatever a service does meanwhile
    version = tables.version_of(connection)
    yield {"format": FORMAT, "version": version or 0}
    rows, unreadable = 0, list[str]()
    for name in _services(connection, unreadable) if version is not None else ():
        for kind in tables.KINDS:
            for row in _rows(connection, name, kind, unreadable):
                rows += 1
                yield {"service": name, "table": kind, "row": row}
    end = {"rows": rows, "complete": not unreadable}
    yield {**end, "damaged": unreadable} if unreadable else end


def _services(connection: sqlite3.Connection, unreadable: list[str]) -> list[str]:
    try:
        return tables.services(connection)
    except sqlite3.DatabaseError:
        unreadable.append(tables.SERVICES)
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return [name.removesuffix("_items") for (name,) in found if name.endswith("_items")]


def _rows(
    connection: sqlite3.Connection, name: str, kind: str, unreadable: list[str]
) -> Iterator[dict[str, Any]]:
    """The rows of a table; if it is damaged, those before and those behind that place."""
    source = tables.table(name, kind)
    select = f"SELECT rowid, * FROM {source} WHERE NOT ({tables.impossible(kind)}) ORDER BY rowid"
    wrong = f"SELECT 1 FROM {source} WHERE {tables.impossible(kind)}"
    last = None
    with suppress(sqlite3.DatabaseError):  # which is raised again below
        if connection.execute(wrong).fetchone() is not None:
            unreadable.append(f"{name}_{kind}")
    try:
        columns = tables.columns(connection, name, kind)
        for rowid, *values in connection.execute(select):
            last = rowid
            yield dict(zip(columns, values))
    except sqlite3.DatabaseError:
        if f"{name}_{kind}" not in unreadable:
            unreadable.append(f"{name}_{kind}")
        with suppress(sqlite3.DatabaseError):
            for rowid, *values in connection.execute(f"{select} DESC"):
                if last is not None and rowid <= last:
                    break
                yield dict(zip(columns, values))


@contextmanager
def whole_pages(path: str) -> Iterator[str]:
    """The file, or a copy without its last page if that was cut short: SQLite would take what is
    missing of it for zeros, and so read rows by half.
    """
    size, page = os.path.getsize(path), _page_size(path)
    if size % page == 0 or size < page:  # without its first page it would look like an empty one
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "state.db")
        shutil.copyfile(path, copy)
        os.truncate(copy, size - size % page)
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{path}-wal", f"{copy}-wal")
        yield copy


def _page_size(path: str) -> int:
    """The size of a page in bytes, from the header of the file; 1 if there is no such header."""
    with open(path, "rb") as file:
        header = file.read(18)
    if len(header) < 18 or not header.startswith(_MAGIC):
        return 1
    size = int.from_bytes(header[16:], "big")
    return 65536 if size == 1 else max(size, 1)


def read_in(connection: sqlite3.Connection, lines: Iterable[bytes]) -> int:
    """Insert the rows of an export into an empty file, in the caller's transaction.

    Returns the number of rows. Raises SettingsError that names the line at fault.
    """
    rows, end = 0, None
    numbers = count(1)
    try:
        for number, line in zip(numbers, lines):
            entry = json.loads(line)
            if not isinstance(entry, dict) or end is not None:
                raise ValueError("does not belong to an export")
            if number == 1:
                version = _version(entry)
                tables.prepare(connection, [], version)
            elif "complete" in entry:
                end = entry
            else:
                _insert(connection, entry, version)
                rows += 1
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as bad:
        raise SettingsError(f"line {number}: is not a line of an export ({bad})") from bad
    except sqlite3.IntegrityError as bad:
        raise SettingsError(f"line {number}: has a row that already exists") from bad
    if end is None or end.get("rows") != rows:
        raise SettingsError("the export is incomplete: its last line or other lines are missing")
    tables.prepare(connection, [])
    return rows


def _version(entry: dict[str, Any]) -> int:
    version = entry.get("version")
    if entry.get("format") != FORMAT or not isinstance(version, int):
        raise ValueError(f'must be {{"format": "{FORMAT}", "version": …}}')
    if version > len(tables.MIGRATIONS):
        raise SettingsError("the export was written by a newer shmooze: upgrade shmooze")
    return max(version, 1)


def _insert(connection: sqlite3.Connection, entry: dict[str, Any], version: int) -> None:
    name, kind, row = entry["service"], entry["table"], entry["row"]
    if not isinstance(name, str) or kind not in tables.KINDS:
        raise ValueError(f"there is no table {shown(kind)}")
    tables.prepare(connection, [name], version)
    known = tables.columns(connection, name, kind)
    for column, value in row.items():
        if column not in known:
            raise ValueError(f"there is no column {shown(column)}")
        if isinstance(value, bool) or not isinstance(value, (str, int, float, type(None))):
            raise ValueError(f"{shown(column)} cannot be {shown(value)}")
    connection.execute(
        f"INSERT INTO {tables.table(name, kind)} ({', '.join(map(tables.quoted, row))})"
        f" VALUES ({', '.join('?' * len(row))})",
        tuple(row.values()),
    )
