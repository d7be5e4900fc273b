"""Queries on one history table: pages of items, single items, counts."""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec

from shmooze.modules.exit import Outcome
from shmooze.modules.lifecycle import State
from shmooze.modules.terms import from_json
from shmooze.runtime import clock
from shmooze.state.item_table import BATCH
from shmooze.state.visibility import Visibility

#: Of how many items of a type it is known how long they usually take: of the last ones.
MEDIAN_OF = 50
#: Bytes of args and reports after which a page ends, so that one answer stays small.
MAX_PAGE = 4 << 20

_COLUMNS = (
    "number, uid, type, outcome, args, by, added, key, ended, seconds, reason, report, terms,"
    " result"
)
#: Where in a row the report is.
_REPORT = 11

#: The value of one key of args, as JSON; NULL where it is not there.
#: Booleans have a case of their own, since json_extract makes them numbers.
_VALUE_OF_KEY = """CASE WHEN json_valid({args}) AND json_type({args}, :path) IS NOT NULL
  THEN CASE json_type({args}, :path)
  WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'
  WHEN 'null' THEN 'null' ELSE json_quote(json_extract({args}, :path)) END END"""


@dataclass(frozen=True)
class Filter:
    """Which ended items are wanted, and whose args are seen."""

    visibility: Visibility
    type: str | None = None
    outcome: str | None = None
    by: str | None = None
    #: Part of the args or the reason, in upper or lower case.
    text: str | None = None
    batch: str | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """The conditions in SQL, and their parameters."""
        conditions, parameters = ["1"], dict[str, Any]()
        for column in ("type", "outcome", "by"):
            if (wanted := getattr(self, column)) is not None:
                conditions.append(f'"{column}" = :{column}')
                parameters[column] = wanted
        if self.batch is not None:
            conditions.append(f"{BATCH} = :batch")
            parameters["batch"] = self.batch
        if self.text:
            args, types = self.visibility.args()
            matches = []
            for number, text in enumerate(_in_cases(self.text)):
                in_json = msgspec.json.encode(text).decode()[1:-1]
                parameters |= {f"t{number}": _pattern(text), f"j{number}": _pattern(in_json)}
                matches.append(
                    rf"reason LIKE :t{number} ESCAPE '\'"
                    rf" OR ({args}) LIKE :j{number} ESCAPE '\'"
                )
            conditions.append(f"({' OR '.join(matches)})")
            parameters |= types
        return " AND ".join(conditions), parameters


def page(
    connection: sqlite3.Connection, table: str, wanted: Filter, limit: int, before: int | None
) -> dict[str, Any]:
    """The newest items, or those older than the item `before`: {"items", "next"}.

    `next` is the `before` of the page that follows, None if this is the last one.
    """
    where, parameters = wanted.where()
    if before is not None:
        where, parameters = f"{where} AND number < :before", {**parameters, "before": before}
    items: list[dict[str, Any]] = []
    size = 0
    with closing(connection.cursor()) as rows:  # one that is not read to its end
        rows.execute(
            f"SELECT {_COLUMNS} FROM {table} WHERE {where} ORDER BY number DESC LIMIT :limit",
            {**parameters, "limit": limit + 1},
        )
        for row in rows:
            if len(items) == limit or size > MAX_PAGE:
                return {"items": items, "next": items[-1]["number"]}
            size += sum(len(text) for text in row if isinstance(text, str))
            items.append(_item(row, wanted.visibility))
    return {"items": items, "next": None}


def find(
    connection: sqlite3.Connection, table: str, uid: str, visibility: Visibility
) -> dict[str, Any] | None:
    """One item with all that is known of its end; None if it is not in the history."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM {table} WHERE uid = ?", (uid,)).fetchone()
    if row is None:
        return None
    report = _decoded(row[_REPORT])
    known = report if isinstance(report, dict) else {}
    return {
        **{key: value for key, value in known.items() if key not in ("args", "label")},
        **_item(row, visibility),
    }


def find_ending(
    connection: sqlite3.Connection, items: str, uid: str, visibility: Visibility
) -> dict[str, Any] | None:
    """One of the items, which has no place any more, and whose end is not written yet; or None."""
    row = connection.execute(
        f"SELECT type, args, by, added FROM {items} WHERE uid = ?", (uid,)
    ).fetchone()
    if row is None:
        return None
    type, args, by, added = row
    shown = visibility.view(type, _decoded(args), None)
    ending = {"uid": uid, "type": type, "state": State.ENDING.shown}
    return {**ending, **shown, "by": by, "added": _moment(added)}


def types(connection: sqlite3.Connection, table: str, uids: Iterable[str]) -> dict[str, str]:
    """The types of those of these items that are in the history, by uid."""
    found: dict[str, str] = {}
    for some in _chunks(sorted(set(uids))):
        marks = ", ".join("?" * len(some))
        found |= connection.execute(
            f"SELECT uid, type FROM {table} WHERE uid IN ({marks})", some
        ).fetchall()
    return found


def args_of(connection: sqlite3.Connection, table: str, uid: str) -> Any:
    """The args of one item; None if it is not in the history."""
    row = connection.execute(f"SELECT args FROM {table} WHERE uid = ?", (uid,)).fetchone()
    return None if row is None else _decoded(row[0])


def median_seconds(connection: sqlite3.Connection, table: str, type: str) -> float | None:
    """How long the last items of a type took that were done; None if there is none."""
    rows = connection.execute(
        f"SELECT seconds FROM {table} WHERE type = ? AND outcome = '{Outcome.DONE.value}'"
        " AND seconds IS NOT NULL ORDER BY number DESC LIMIT ?",
        (type, MEDIAN_OF),
    ).fetchall()
    return statistics.median(seconds for (seconds,) in rows) if rows else None


def counts(
    connection: sqlite3.Connection, table: str, wanted: Filter, key: str | None, limit: int
) -> list[dict[str, Any]]:
    """How often each type, or each value of a key of args, has ended; most frequent first.

    Each is {"value", "count", "seconds", "last"}; items whose args lack the key are left out.
    """
    where, parameters = wanted.where()
    value = "json_quote(type)"
    if key is not None:
        args, types = wanted.visibility.args()
        value, where = _VALUE_OF_KEY.format(args=f"({args})"), f"{where} AND ({args}) IS NOT NULL"
        parameters |= {**types, "path": f'$."{key}"'}
    rows = connection.execute(
        f"SELECT {value} AS value, COUNT(*) AS times, SUM(seconds), MAX(ended) AS last"
        f" FROM {table} WHERE {where} AND value IS NOT NULL"
        " GROUP BY value ORDER BY times DESC, last DESC, value LIMIT :limit",
        {**parameters, "limit": limit},
    )
    return [
        {
            "value": _decoded(value),
            "count": times,
            "seconds": round(seconds or 0.0, 3),
            "last": _moment(last),
        }
        for value, times, seconds, last in rows
    ]


def _item(row: tuple[Any, ...], visibility: Visibility) -> dict[str, Any]:
    number, uid, type, outcome, args, by, added, key, ended, seconds, reason, *rest = row
    report, terms, result = rest
    item = {"number": number, "uid": uid, "type": type, "state": outcome}
    item |= visibility.view(type, _decoded(args), report)
    item |= _terms(terms)
    if key is not None:
        item["key"] = key
    return {
        **item,
        "by": by,
        "added": _moment(added),
        "ended": _moment(ended),
        "seconds": None if seconds is None else round(seconds, 3),
        "reason": reason,
        **({} if result is None else {"result": _decoded(result)}),
    }


def _terms(text: str | None) -> dict[str, Any]:
    try:
        terms = from_json(text)
    except ValueError:  # changed by hand
        return {}
    label = {} if terms.label is None else {"label": terms.label}
    return {**terms.shown(), **label}


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else clock.iso8601(seconds)


def _decoded(text: str | None) -> Any:
    """A JSON value; None if it is not one, as after a change by hand."""
    try:
        return None if text is None else msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _pattern(text: str) -> str:
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"


def _in_cases(text: str) -> Collection[str]:
    """The spellings to look for: LIKE ignores case in ASCII only."""
    return [text] if text.isascii() else {text, text.lower(), text.upper(), text.title()}


def _chunks(uids: list[str], size: int = 500) -> Iterator[list[str]]:
    """SQLite has a limit on the parameters of a statement."""
    for start in range(0, len(uids), size):
        yield uids[start : start + size]
