"""The tables of one service's items: statements that change them, and what is read at the start.

An item is in one of two tables: among the items until it ends, in the history from then on. One
transaction moves it from the first to the second. So whatever happens to it, it ends once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from shmooze.broker.keeper import Kept, KeptItem
from shmooze.broker.roster import Place
from shmooze.modules.exit import Outcome
from shmooze.modules.module import Module
from shmooze.modules.origin import Origin
from shmooze.modules.terms import Terms, from_json, to_json
from shmooze.state.file import Write
from shmooze.state.tables import table

#: Before the keys of values that concern the whole service.
_VALUE = "value:"
#: The batch of a row of either table.
BATCH = "CASE WHEN json_valid(terms) THEN json_extract(terms, '$.batch') END"
#: What of an item changes while it lives, and is written soon after.
Facts = tuple[bool, int, int, str | None, bytes | None]


def facts_of(module: Module) -> Facts:
    """What of a module is written soon after it has changed."""
    held = None if module.is_missing else module.held
    return module.has_begun, module.restarts.count, module.attempts, held, module.saved


class ItemTable:
    """The items and the history of the service `name`."""

    #: Reports that are kept for `gone`.
    remembered = 100

    def __init__(self, name: str) -> None:
        kinds = ("items", "history", "gone", "life")
        self._items, self._history, self._gone, self._life = (table(name, kind) for kind in kinds)

    # Statements.

    def insert(self, module: Module, place: Place) -> Iterator[Write]:
        """A new item."""
        origin = module.origin
        values = (module.uid, place.value, module.position, module.TYPE_STRING, _json(module.args))
        origins = (origin.added, origin.by, origin.key)
        yield (
            f"INSERT INTO {self._items} (uid, place, position, type, args, added, by, key, begun,"
            " terms, restarts, attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, 0)",
            (*values, *origins, to_json(module.terms)),
        )

    def delete(self, uid: str) -> Iterator[Write]:
        """An item that was refused after all."""
        yield f"DELETE FROM {self._items} WHERE uid = ?", (uid,)

    def place(self, module: Module, place: Place) -> Iterator[Write]:
        """The place of an item that has started."""
        yield (
            f"UPDATE {self._items} SET place = ?, position = ?, begun = 1, attempts = 0"
            " WHERE uid = ?",
            (place.value, module.position, module.uid),
        )

    def arrive(self, uid: str, position: float) -> Iterator[Write]:
        """An item that was starting when the service ended gets its place."""
        yield (
            f"UPDATE {self._items} SET place = ?, position = ? WHERE uid = ?",
            (Place.ORDER.value, position, uid),
        )

    def move(self, positions: Iterable[tuple[str, float]]) -> Iterator[Write]:
        """New positions in the order."""
        for uid, position in positions:
            yield f"UPDATE {self._items} SET position = ? WHERE uid = ?", (position, uid)

    def hold(self, uid: str, reason: str | None) -> Iterator[Write]:
        """An item is held, or released."""
        yield f"UPDATE {self._items} SET held = ?, attempts = 0 WHERE uid = ?", (reason, uid)

    def attempt(self, uid: str, attempts: int) -> Iterator[Write]:
        """A process is about to be started."""
        yield f"UPDATE {self._items} SET attempts = ?, begun = 1 WHERE uid = ?", (attempts, uid)

    def update(self, uid: str, facts: Facts) -> Iterator[Write]:
        """What has changed of an item."""
        *numbers, saved = facts
        yield (
            f"UPDATE {self._items} SET begun = ?, restarts = ?, attempts = ?, held = ?, state = ?"
            " WHERE uid = ?",
            (*numbers, _text(saved), uid),
        )

    def end(
        self,
        uid: str,
        outcome: Outcome,
        ended: float,
        seconds: float,
        reason: str,
        report: dict[str, Any] | None = None,
        result: bytes | None = None,
    ) -> Iterator[Write]:
        """An item has ended, unless it has ended before."""
        encoded = None if report is None else _json(_without_result(report))
        end = (outcome.value, ended, seconds, reason, encoded, _text(result))
        yield (
            f"INSERT OR IGNORE INTO {self._history} (uid, type, args, added, by, key, terms,"
            " outcome, ended, seconds, reason, report, result)"
            " SELECT uid, type, args, added, by, key, terms, ?, ?, ?, ?, ?, ?"
            f" FROM {self._items} WHERE uid = ?",
            (*end, uid),
        )
        yield from self.delete(uid)

    def end_background(self, uid: str, ended: float) -> Iterator[Write]:
        """Any other background than this one has been removed."""
        end = (Outcome.REMOVED.value, ended, 0.0, "was removed")
        others = f"FROM {self._items} WHERE place = '{Place.BACKGROUND.value}' AND uid != ?"
        yield (
            f"INSERT OR IGNORE INTO {self._history} (uid, type, args, added, by, key, terms,"
            " outcome, ended, seconds, reason)"
            f" SELECT uid, type, args, added, by, key, terms, ?, ?, ?, ? {others}",
            (*end, uid),
        )
        yield f"DELETE {others}", (uid,)

    def undo_removal(self, module: Module, place: Place) -> Iterator[Write]:
        """An item was not removed after all."""
        *numbers, saved = facts_of(module)
        removed = f"FROM {self._history} WHERE uid = ? AND outcome = 'removed'"
        yield (
            f"INSERT OR IGNORE INTO {self._items} (place, position, begun, restarts, attempts,"
            " held, state, uid, type, args, added, by, key, terms)"
            f" SELECT ?, ?, ?, ?, ?, ?, ?, uid, type, args, added, by, key, terms {removed}",
            (place.value, module.position, *numbers, _text(saved), module.uid),
        )
        yield f"DELETE {removed}", (module.uid,)

    def report(self, module: Module, report: dict[str, Any]) -> Iterator[Write]:
        """A module is gone, and now it is known how it ended."""
        assert module.exit is not None
        record, encoded = module.exit, _json(_without_result(report))
        yield (
            f"UPDATE {self._history} SET ended = ?, seconds = ?, reason = ?, report = ?"
            " WHERE uid = ?",
            (record.ended, record.seconds, record.reason, encoded, module.uid),
        )
        yield f"INSERT INTO {self._gone} (report) VALUES (?)", (_json(report),)
        yield (
            f"DELETE FROM {self._gone} WHERE number <="
            f" (SELECT max(number) FROM {self._gone}) - {self.remembered}",
            (),
        )

    def forget_key(self, key: str) -> Iterator[Write]:
        """The command with this key was refused."""
        yield f"UPDATE {self._history} SET key = NULL WHERE key = ?", (key,)

    def forget_key_of(self, uid: str) -> Iterator[Write]:
        """The command that added this item was never answered."""
        yield f"UPDATE {self._history} SET key = NULL WHERE uid = ?", (uid,)

    def set_stopped(self, is_stopped: bool) -> Iterator[Write]:
        """Whether the service was stopped, and did not crash."""
        yield (
            f"INSERT OR REPLACE INTO {self._life} (key, value) VALUES ('stopped', ?)",
            (str(int(is_stopped)),),
        )

    def write_nothing_new(self) -> Iterator[Write]:
        """A write that changes nothing, which shows whether the file can be written."""
        yield f"UPDATE {self._life} SET value = value WHERE key = 'stopped'", ()

    def terms(self, uid: str, terms: Terms) -> Iterator[Write]:
        """An item has other terms."""
        yield f"UPDATE {self._items} SET terms = ? WHERE uid = ?", (to_json(terms), uid)

    def value(self, key: str, value: Any) -> Iterator[Write]:
        """A value that concerns the whole service; None: there is none any more."""
        if value is None:
            yield f"DELETE FROM {self._life} WHERE key = ?", (_VALUE + key,)
            return
        yield (
            f"INSERT OR REPLACE INTO {self._life} (key, value) VALUES (?, ?)",
            (_VALUE + key, _json(value)),
        )

    # Reading.

    def load(self, connection: sqlite3.Connection) -> Kept:
        """What an earlier life has left."""
        items = []
        rows = connection.execute(
            "SELECT uid, place, position, type, args, added, by, key, begun, restarts, attempts,"
            f" held, state, terms FROM {self._items} ORDER BY position IS NULL, position, rowid"
        )
        for uid, place, position, type, args, added, by, key, begun, *rest in rows:
            restarts, attempts, held, state, terms = rest
            items.append(
                KeptItem(
                    uid,
                    Place(place),
                    type,
                    msgspec.json.decode(args),
                    Origin(by, added, key),
                    bool(begun),
                    restarts or 0,
                    attempts or 0,
                    held,
                    None if state is None else state.encode(),
                    from_json(terms),
                    position,
                )
            )
        gone = connection.execute(f"SELECT report FROM {self._gone} ORDER BY number")
        reports = [msgspec.json.decode(report) for (report,) in gone]
        life = dict(connection.execute(f"SELECT key, value FROM {self._life}"))
        values = {
            key.removeprefix(_VALUE): msgspec.json.decode(value)
            for key, value in life.items()
            if key.startswith(_VALUE)
        }
        return Kept(items, reports, life.get("stopped", "1") == "1", values)

    def find_outcome(self, connection: sqlite3.Connection, uid: str) -> Outcome | None:
        """How an item has ended; None if it is not in the history."""
        sql = f"SELECT outcome FROM {self._history} WHERE uid = ?"
        found = connection.execute(sql, (uid,)).fetchone()
        return Outcome(found[0]) if found else None

    def known(self, connection: sqlite3.Connection, uids: Collection[str]) -> set[str]:
        """Those of these items that live or are in the history."""
        wanted = _json(list(uids))
        rows = connection.execute(
            f"SELECT uid FROM {self._items} WHERE uid IN (SELECT value FROM json_each(:uids))"
            f" UNION SELECT uid FROM {self._history}"
            " WHERE uid IN (SELECT value FROM json_each(:uids))",
            {"uids": wanted},
        )
        return {uid for (uid,) in rows}

    def count_batch(self, connection: sqlite3.Connection, batch: str) -> dict[str, int]:
        """How many items of a batch have ended in each way."""
        rows = connection.execute(
            f"SELECT outcome, COUNT(*) FROM {self._history} WHERE terms IS NOT NULL"
            f" AND {BATCH} = ? GROUP BY outcome",
            (batch,),
        )
        return dict(rows.fetchall())

    def find_key(self, connection: sqlite3.Connection, key: str, since: float) -> str | None:
        """The uid of the item with this key, unless it has ended before `since`."""
        found = connection.execute(
            f"SELECT uid FROM {self._items} WHERE key = :key UNION ALL"
            f" SELECT uid FROM {self._history} WHERE key = :key AND ended >= :since LIMIT 1",
            {"key": key, "since": since},
        ).fetchone()
        return found[0] if found else None


def _without_result(report: dict[str, Any]) -> dict[str, Any]:
    """A report for the history, which has a column for the result."""
    return {key: value for key, value in report.items() if key != "result"}


def _text(json: bytes | None) -> str | None:
    return None if json is None else json.decode()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
