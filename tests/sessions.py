"""Sessions at a terminal as pages show them: commands behind a prompt, and what they print."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any


def session(text: str) -> list[tuple[str, str]]:
    """The commands of a session, each with the output that is shown for it."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^(?=[$#] )", text, flags=re.MULTILINE):
        prompt, _, rest = part.partition(" ")
        if prompt == "$":
            lines = rest.splitlines(keepends=True)
            length = next(n for n in range(1, len(lines) + 1) if _is_whole("".join(lines[:n])))
            found.append(("".join(lines[:length]), "".join(lines[length:])))
    return found


def _is_whole(command: str) -> bool:
    """Whether a command goes on in no further line."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return not command.endswith("\\\n")


#: What differs from one run to the next: uids and their beginnings, numbers and times.
_VARYING = re.compile(r"[0-9a-f]{8}(-[0-9a-f-]{4,}|-…)|\b\d[\w.:,-]*")
ERROR = re.compile(r"[\w.]+: |.*\bfailed\b")


def session_difference(shown: str, printed: str) -> str | None:
    """The first line that is shown and was not printed, if there is one."""
    have = [_VARYING.sub("0", line) for line in printed.splitlines()]
    for line in shown.splitlines():
        if line.strip() in ("", "…"):
            continue
        parts = (re.escape(part) for part in _VARYING.sub("0", line).split("…"))
        wanted = re.compile(".*".join(parts).replace("\\ ", " +"))
        if not any(wanted.search(each) for each in have):
            return line
    return None


def last_json(printed: str) -> Any:
    """The last value of JSON in what was printed: lines from some line to the end."""
    lines = printed.rstrip().splitlines()
    for first in range(len(lines)):
        try:
            return json.loads("\n".join(lines[first:]))
        except ValueError:
            continue
    for line in reversed(lines):
        try:
            return json.loads(line)
        except ValueError:
            continue
    raise ValueError(f"no JSON was printed: {printed}")
