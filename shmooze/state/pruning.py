"""Pruning: removing items that are too old, or too many, from the history.

An ended item with a `key` stays until the key may be forgotten, even if it is too much. Rows are
removed a few at a time, so that no command waits for long.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from typing import NoReturn

from msgspec import Struct

from shmooze.errors import StateError
from shmooze.runtime import clock, declared, schema
from shmooze.state.file import StateFile
from shmooze.state.tables import table
from shmooze.state.writer import Write

log = logging.getLogger(__name__)

#: Seconds of a day.
DAY = 86400.0
#: Rows that one transaction removes.
CHUNK = 500
#: Seconds between two prunings in the background.
INTERVAL = 600.0
_DEFAULTS = schema.keys_of(declared.State)


class Limits(Struct, frozen=True):
    """How much history is kept: see the settings of the same names."""

    history_days: float = _DEFAULTS["history_days"].default
    history_rows: int = _DEFAULTS["history_rows"].default
    key_days: float = _DEFAULTS["key_days"].default

    def writes(self, name: str) -> Iterator[Write]:
        """Statements to be repeated while they change rows, for the service `name`."""
        history = table(name, "history")
        now = clock.time()
        forgotten = f"(key IS NULL OR ended < {now - self.key_days * DAY!r})"
        for condition, limit in (
            ("ended < ?", now - self.history_days * DAY),
            (
                f"number <= (SELECT number FROM {history} ORDER BY number DESC LIMIT 1 OFFSET ?)",
                self.history_rows,
            ),
        ):
            yield (
                f"DELETE FROM {history} WHERE number IN (SELECT number FROM {history}"
                f" WHERE {condition} AND {forgotten} ORDER BY number LIMIT {CHUNK})",
                (limit,),
            )


def prune(file: StateFile, name: str, limits: Limits) -> int:
    """Prune the history of the service `name`. Returns how many rows. Raises StateError."""
    removed = 0
    for write in limits.writes(name):
        while changed := file.commit(write):
            removed += changed
    return removed


def prune_forever(file: StateFile, name: str, limits: Limits) -> NoReturn:
    """Prune the history now and at intervals. For a greenlet, to be killed before `file.close`."""
    while True:
        try:
            if removed := prune(file, name, limits):
                log.info("state file %s: removed %d old items of %s", file.path, removed, name)
        except StateError as bad:
            log.warning("state file %s: not pruned: %s", file.path, bad)
        clock.sleep(INTERVAL)


def prune_now(connection: sqlite3.Connection, name: str, limits: Limits) -> int:
    """Prune the history of the service `name`. Returns how many rows. Raises sqlite3.Error."""
    removed = 0
    for write in limits.writes(name):
        while changed := connection.execute(*write).rowcount:
            removed += changed
    return removed
