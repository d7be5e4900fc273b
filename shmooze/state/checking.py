"""Checking a state file: whether it is intact, and what is in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from shmooze.state import tables

#: Problems that are shown; a damaged file can have thousands.
_MAX_PROBLEMS = 20


def contents(connection: sqlite3.Connection) -> Iterator[str]:
    """A line for each service, with the numbers of its rows. Raises sqlite3.Error."""
    if tables.version_of(connection) is None:
        yield "empty"
        return
    for name in tables.services(connection):
        counts = [
            connection.execute(f"SELECT count(*) FROM {tables.table(name, kind)}").fetchone()[0]
            for kind in ("items", "history", "gone")
        ]
        yield "{}: items {}, history {}, gone {}".format(name, *counts)


def problems(connection: sqlite3.Connection) -> Iterator[str]:
    """Each thing that is damaged in the file. Raises SettingsError if it is not a state file."""
    try:
        if tables.version_of(connection) is None:
            return
        for (line,) in connection.execute(f"PRAGMA integrity_check({_MAX_PROBLEMS})"):
            if line != "ok":
                yield from str(line).splitlines()
        yield from _missing(connection)
        yield from _impossible(connection)
    except sqlite3.DatabaseError as bad:
        yield str(bad)


def _missing(connection: sqlite3.Connection) -> Iterator[str]:
    """Tables and columns that a service needs and the file does not have."""
    with closing(sqlite3.connect(":memory:")) as model:
        for name in tables.services(connection):
            tables.prepare(model, [name], to=tables.version_of(connection) or 0)
            for kind in tables.KINDS:
                found = tables.columns(connection, name, kind)
                for column in tables.columns(model, name, kind):
                    if column not in found:
                        yield f"table {name}_{kind} has no column {column}"


def _impossible(connection: sqlite3.Connection) -> Iterator[str]:
    """Tables with rows that no service has written."""
    for name in tables.services(connection):
        for kind in tables.KINDS:
            counting = f"SELECT count(*) FROM {tables.table(name, kind)}"
            (count,) = connection.execute(f"{counting} WHERE {tables.impossible(kind)}").fetchone()
            if count:
                yield f"table {name}_{kind} has {count} rows that no service has written"
