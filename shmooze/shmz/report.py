"""The answer to a command, as text for people or as JSON for programs."""

from __future__ import annotations

import json
import re
import shutil
from datetime import datetime
from typing import Any

from shmooze.runtime.printable import printable
from shmooze.shmz.cells import align
from shmooze.shmz.ending import Status
from shmooze.shmz.headings import TURN_KEYS, heading, state_of
from shmooze.shmz.output import print_error, show, show_json
from shmooze.shmz.schedules import are_schedules, format_schedules


def report(answer: Any, as_json: bool) -> Status:
    """Show the packet of one command, or the packets of a list. Returns the exit status."""
    listed = isinstance(answer, list)
    packets = answer if listed else [answer]
    if as_json:
        show_json(answer if listed else answer.get("result"))
    for number, packet in enumerate(packets, start=1):
        if not packet["success"]:
            print_error(f"{number} of {len(packets)}: {packet['error']}")
        elif not as_json and packet.get("result") is not None:
            show(format_result(packet["result"], shutil.get_terminal_size().columns))
    return Status.DONE if all(packet["success"] for packet in packets) else Status.REFUSED


def format_result(result: Any, columns: int) -> str:
    """Format a result for people: modules as a table, anything else as a line per value."""
    values = result if isinstance(result, list) else [result]
    if are_schedules(values):
        lines = format_schedules(values, columns)
    elif is_history(result):
        lines = format_history(result["items"], result["next"], columns)
    elif isinstance(result, dict) and "type" not in result:
        lines = [f"{printable(key)}: {format_value(value)}" for key, value in result.items()]
    elif values and all(isinstance(value, dict) for value in values):
        lines = format_table(values, columns)
    else:
        lines = [format_value(value) for value in values]
    return "\n".join(lines or ["(none)"])


#: What tells when the turn of an item comes: it stands beside the state, since others may not fit.
TURN_COLUMNS = ("place", "waits", "estimate", *TURN_KEYS)


def format_table(rows: list[dict[str, Any]], columns: int) -> list[str]:
    """Format a table that fits the terminal. Parameters come last, as they take most space."""
    rows = [with_heading(row) for row in rows]
    keys = sorted(dict.fromkeys(key for row in rows for key in row), key="parameters".__eq__)
    if "state" in keys:
        turn = [key for key in TURN_COLUMNS if key in keys]
        keys = [key for key in keys if key not in turn]
        place = keys.index("state") + 1
        keys[place:place] = turn
    grid = [keys, *([format_value(row[key]) if key in row else "" for key in keys] for row in rows)]
    return align(grid, columns)


def with_heading(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose label, if there is one, stands before its type, and which shows early
    whether it is held: the column with the reason may not fit.
    """
    row = {**row, "state": state_of(row)} if "state" in row else row
    if not ("type" in row and isinstance(row.get("label", 0), (str, type(None)))):
        return row
    return {key: heading(row) if key == "type" else row[key] for key in row if key != "label"}


def is_history(result: Any) -> bool:
    """Whether a result is a page of the history."""
    return isinstance(result, dict) and set(result) == {"items", "next"}


def format_history(items: list[dict[str, Any]], older: Any, columns: int) -> list[str]:
    """Format a page of the history as a table, with a hint at the next page."""
    keys = ["ended", "uid", "type", "title", "by", "seconds", "state", "reason"]
    if any(item.get("result") is not None for item in items):
        keys.insert(-1, "result")
    grid = [keys] if items else []
    for item in items:
        known = {**item, "ended": local_time(item["ended"]), "uid": item["uid"][:8]}
        known["title"] = item.get("label") or title_of(item.get("args"))
        grid.append(["" if known.get(key) is None else format_value(known[key]) for key in keys])
    hint = [] if older is None else [f"(older ones: before={older})"]
    return (align(grid, columns) if grid else ["(none)"]) + hint


#: Keys of args whose value tells people most about an item, the best one first.
TITLE_KEYS = ("label", "title", "name", "file", "filename", "path", "url", "uri")


def title_of(args: Any) -> str:
    """Return what tells one item from others of its type; empty if nothing does."""
    args = args if isinstance(args, dict) else {}
    texts = {key: value for key, value in args.items() if isinstance(value, str) and value}
    named = [texts[key] for key in TITLE_KEYS if key in texts]
    like_files = [value for value in texts.values() if re.match(r"\w+://|~?/|\.\.?/", value)]
    return [*named, *like_files, ""][0]


def local_time(moment: Any) -> str:
    """Return a time of the service in the time zone of this machine."""
    try:
        utc = datetime.fromisoformat(str(moment).replace("Z", "+00:00"))
        return utc.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(moment)


def format_value(value: Any) -> str:
    if isinstance(value, dict):
        each = (f"{key}={json.dumps(item, ensure_ascii=False)}" for key, item in value.items())
        return printable(" ".join(each))
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
