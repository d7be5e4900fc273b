"""`python -m shmooze.state`: check, export, import and prune a state file.

    check [FILE]     says what is in it; exit status 1 if it is damaged
    export [FILE]    writes everything to standard output, as lines of JSON
    import [FILE]    reads an export from standard input into a new or empty file
    prune [FILE]     removes old history and gives the space back

FILE is `state_path` of the settings if it is not given. `import` and `prune` need the file for
themselves: services that use it must be stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

from shmooze import settings
from shmooze.errors import SettingsError
from shmooze.runtime import declared, schema
from shmooze.runtime.inherited import open_missing_streams
from shmooze.runtime.printable import printable
from shmooze.state import checking, tables
from shmooze.state.connection import connect, create, in_transaction, make_folder
from shmooze.state.export import export, read_in, whole_pages
from shmooze.state.lock import UseLock
from shmooze.state.problems import FileProblem, problem_of
from shmooze.state.pruning import Limits, prune_now

#: Seconds for which a tool waits for another program's lock.
_LOCK_TIMEOUT = 5.0


def main(argv: list[str] | None = None) -> int:
    open_missing_streams()
    arguments = _parser().parse_args(argv)
    try:
        path = str(arguments.file or _path_in_settings())
    except SettingsError as bad:
        sys.stderr.write(f"shmooze: {bad}\n")
        return 2
    try:
        command: Callable[[str, argparse.Namespace], int] = arguments.function
        return command(path, arguments)
    except BrokenPipeError:  # whoever has read the output wants no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (SettingsError, FileProblem, OSError, sqlite3.Error) as bad:
        problem = str(bad) if isinstance(bad, SettingsError) else problem_of(bad) or str(bad)
        sys.stderr.write(printable(f"shmooze: state file {path}: {problem}") + "\n")
        return 1


def _check(path: str, arguments: argparse.Namespace) -> int:
    with _reading(path) as connection:
        found = list(checking.problems(connection))
        for problem in found:
            sys.stdout.write(printable(f"damaged: {problem}") + "\n")
        with suppress(sqlite3.DatabaseError):
            for line in checking.contents(connection):
                sys.stdout.write(printable(line) + "\n")
    if found:
        sys.stderr.write(
            f"{path} is damaged. Save what can be read:"
            f" `python -m shmooze.state export {path} > saved.jsonl`, move the file away, and"
            f" `python -m shmooze.state import {path} < saved.jsonl`.\n"
        )
    return 1 if found else 0


def _export(path: str, arguments: argparse.Namespace) -> int:
    _require(path)
    entry: dict[str, Any] = {}
    with whole_pages(path) as readable, _reading(readable) as connection:
        for entry in export(connection):
            sys.stdout.write(json.dumps(entry) + "\n")
        sys.stdout.flush()
    if damaged := entry.get("damaged"):
        words = f"is damaged: not all of {', '.join(damaged)} can be read"
        sys.stderr.write(printable(f"shmooze: state file {path}: {words}") + "\n")
    return 1 if damaged else 0


def _import(path: str, arguments: argparse.Namespace) -> int:
    make_folder(path)
    with UseLock(path).alone(), ExitStack() as undo:
        if not os.path.exists(path):
            undo.callback(os.unlink, path)
        create(path, lambda: False)
        with closing(connect(path, _LOCK_TIMEOUT)) as connection:
            if tables.version_of(connection) is not None:
                raise SettingsError("is not empty: import into a new file only")
            rows = in_transaction(connection, lambda: read_in(connection, sys.stdin.buffer))
        undo.pop_all()
    sys.stderr.write(f"{rows} rows imported\n")
    return 0


def _prune(path: str, arguments: argparse.Namespace) -> int:
    _require(path)
    limits = Limits(arguments.days, arguments.rows, arguments.key_days)
    with UseLock(path).alone(), closing(connect(path, _LOCK_TIMEOUT)) as connection:
        before = os.path.getsize(path)
        removed = 0
        if tables.version_of(connection) is not None:
            for name in tables.services(connection):
                removed += prune_now(connection, name, limits)
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    after = os.path.getsize(path)
    sys.stderr.write(f"{removed} rows removed; {before:,} bytes before, {after:,} now\n")
    return 0


@contextmanager
def _reading(path: str) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing, not even a damaged file."""
    _require(path)
    with closing(connect(path, _LOCK_TIMEOUT, mode="ro")) as connection:
        yield connection


def _require(path: str) -> None:
    if not os.path.isfile(path):
        raise SettingsError("does not exist")


def _path_in_settings() -> str:
    source = settings.current()
    path = source.get("state_path")
    if path is None:
        raise source.error("state_path", "is not set, and no FILE is given")
    return str(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shmooze.state", description="Check, export, import and prune a state file."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function, text in (
        ("check", _check, "say whether the file is intact, and what is in it"),
        ("export", _export, "write everything to standard output, as lines of JSON"),
        ("import", _import, "read an export from standard input into a new or empty file"),
        ("prune", _prune, "remove old history and give the space back"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("file", nargs="?", help="default: `state_path` of the settings")
        command.set_defaults(function=function)
    for option, key, kind in (
        ("--days", "history_days", float),
        ("--rows", "history_rows", int),
        ("--key-days", "key_days", float),
    ):
        declaration = schema.keys_of(declared.State)[key]
        command.add_argument(
            option, type=kind, default=declaration.default, help=declaration.meaning
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
