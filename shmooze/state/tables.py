"""The tables of the state file, and how files of earlier versions are brought up to date.

Each service has a set of tables, whose names begin with its own. A change of their form is one
more function in MIGRATIONS.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from shmooze.errors import SettingsError

#: `PRAGMA application_id` of a state file: "shmz".
APPLICATION_ID = 0x73686D7A
#: The kinds of tables that each service has.
KINDS = ("items", "history", "gone", "life")
#: The places of items, as broker.roster.Place has them.
PLACES = ("order", "background", "arriving", "reserved")
#: The table of all services that have tables in the file.
SERVICES = "shmooze_services"


def table(name: str, kind: str) -> str:
    """The table of one KIND of the service `name`, quoted for SQL."""
    return quoted(f"{name}_{kind}")


def quoted(name: str) -> str:
    """A name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _first_form(connection: sqlite3.Connection, name: str) -> None:
    history = table(name, "history")
    statements = [
        f"""CREATE TABLE {table(name, "items")} (
            uid TEXT PRIMARY KEY, place TEXT, position REAL, type TEXT, args TEXT, added REAL,
            by TEXT, key TEXT, begun INTEGER, restarts INTEGER, attempts INTEGER, held TEXT,
            state TEXT)""",
        f"""CREATE TABLE {history} (
            number INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT UNIQUE, type TEXT, args TEXT,
            added REAL, by TEXT, key TEXT, outcome TEXT, ended REAL, seconds REAL, reason TEXT,
            report TEXT)""",
        f"""CREATE TABLE {table(name, "gone")} (
            number INTEGER PRIMARY KEY AUTOINCREMENT, report TEXT)""",
        f"CREATE TABLE {table(name, 'life')} (key TEXT PRIMARY KEY, value TEXT)",
    ]
    statements += [
        f"CREATE INDEX {quoted(f'{name}_history_{column}')} ON {history} ({column})"
        for column in ("key", "ended", "type")
    ]
    for statement in statements:
        connection.execute(statement)


def _with_terms(connection: sqlite3.Connection, name: str) -> None:
    for kind, column in (("items", "terms"), ("history", "terms"), ("history", "result")):
        connection.execute(f"ALTER TABLE {table(name, kind)} ADD COLUMN {column} TEXT")


#: MIGRATIONS[n] brings the tables of one service from version n to n + 1.
MIGRATIONS: tuple[Callable[[sqlite3.Connection, str], None], ...] = (_first_form, _with_terms)


def version_of(connection: sqlite3.Connection) -> int | None:
    """The version of a state file; None for an empty file. Raises SettingsError for any other."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not application and not version and not objects:
        return None
    if application != APPLICATION_ID:
        raise SettingsError("is not a state file of shmooze, but a database of another program")
    if version > len(MIGRATIONS):
        raise SettingsError(
            f"was written by a newer shmooze (its version is {version}, and"
            f" {len(MIGRATIONS)} the latest known here): upgrade shmooze, or name another file"
        )
    return int(version)


def services(connection: sqlite3.Connection) -> list[str]:
    """The services that have tables in the file."""
    rows = connection.execute(f"SELECT name FROM {SERVICES} ORDER BY name")
    return [name for (name,) in rows]


def impossible(kind: str) -> str:
    """The condition for rows that no service has written."""
    return f"uid IS NULL OR ifnull(place, '') NOT IN {PLACES}" if kind == "items" else "0"


def columns(connection: sqlite3.Connection, name: str, kind: str) -> list[str]:
    """The columns of a table; empty if it is missing."""
    rows = connection.execute(f"PRAGMA table_info({table(name, kind)})")
    return [column for _, column, *_ in rows]


def prepare(connection: sqlite3.Connection, names: Iterable[str], to: int | None = None) -> None:
    """Bring a file up to date, or to a version, and make the tables of `names`.

    For the caller's transaction, which changes nothing if nothing is missing. Raises SettingsError
    for a name that cannot have tables.
    """
    version, to = version_of(connection), len(MIGRATIONS) if to is None else to
    if version is None:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"CREATE TABLE {SERVICES} (name TEXT PRIMARY KEY)")
    known = services(connection)
    for migrate in MIGRATIONS[version or 0 : to]:
        for name in known:
            migrate(connection, name)
    if version != to:
        connection.execute(f"PRAGMA user_version = {to}")
    for name in names:
        if name not in known:
            _refuse_bad_name(name, known)
            connection.execute(f"INSERT INTO {SERVICES} VALUES (?)", (name,))
            for migrate in MIGRATIONS[:to]:
                migrate(connection, name)
            known.append(name)


def _refuse_bad_name(name: str, known: Iterable[str]) -> None:
    if name.lower() == "sqlite" or name.lower().startswith("sqlite_"):
        raise SettingsError(f"cannot hold a service called {name!r}: SQLite reserves this name")
    for other in known:
        if other.lower() == name.lower():
            raise SettingsError(
                f"cannot hold a service called {name!r}, since it holds one called {other!r},"
                " and SQLite does not tell upper from lower case"
            )
