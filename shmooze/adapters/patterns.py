"""What a program's lines of output say: its progress, and its parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from shmooze.errors import PacketError
from shmooze.runtime import jsonsafe

_NUMBER = re.compile(r"[+-]?(\d{1,15}(\.\d{1,15})?|\.\d{1,15})")
_TIME = re.compile(r"(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:\.\d{1,15})?)")
#: A number that is written as JSON writes it: "007" is a text.
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?")


def problem_of(progress: str) -> str | None:
    """What is wrong with a pattern for the progress, in a sentence without its subject."""
    groups = re.compile(progress).groupindex
    for name, other in (("done", "total"), ("total", "done")):
        if name in groups and other not in groups:
            return f"has the group `{name}` and no group `{other}`"
    return None


class Patterns:
    """The patterns of one type, applied to the output of one process."""

    def __init__(
        self,
        progress: str | None,
        parameters: Mapping[str, str],
        json_lines: bool,
        result: str | None = None,
    ) -> None:
        self._result = None if result is None else re.compile(result)
        self._progress = None if progress is None else re.compile(progress)
        self._parameters = {name: re.compile(text) for name, text in parameters.items()}
        self._json_lines = json_lines
        #: How much there is to do, where the program says that in a line of its own.
        self._total: float | None = None

    def __bool__(self) -> bool:
        return bool(self._progress or self._parameters or self._json_lines or self._result)

    def find(self, line: str) -> dict[str, Any]:
        """The parameters that a line sets."""
        found: dict[str, Any] = {}
        if self._json_lines and line.startswith("{"):
            found |= _object_in(line)
        for name, pattern in self._parameters.items():
            if (match := pattern.search(line)) and (text := _first_of(match)) is not None:
                found[name] = _value_of(text)
        if self._progress is not None and (match := self._progress.search(line)):
            progress = self._progress_of(match)
            found |= {} if progress is None else {"progress": progress}
        return found

    def find_result(self, line: str) -> tuple[Any] | None:
        """The result that a line has: JSON if it is that, text otherwise. None: it has none."""
        match = None if self._result is None else self._result.search(line)
        text = None if match is None else _first_of(match)
        if text is None:
            return None
        try:
            return (jsonsafe.decode(text.encode()),)
        except PacketError:
            return (text,)

    def _progress_of(self, match: re.Match[str]) -> float | None:
        """How much is done, from 0 to 1.

        The groups `done` and `total` of a pattern may match in lines of their own. Otherwise the
        first group is the progress: in percent if a `%` follows or it is above 1.
        """
        groups = match.groupdict()
        if "done" in groups:
            if groups.get("total") is not None:
                self._total = _seconds_or_number(groups["total"])
            done = _seconds_or_number(groups["done"])
            if done is None or not self._total:
                return None
            return _limited(done / self._total)
        value = _seconds_or_number(text := _first_of(match))
        if value is None or text is None:
            return None
        after = match.string[match.end(match.groups().index(text) + 1) :]
        is_percent = value > 1 or after.lstrip().startswith("%")
        return _limited(value / 100 if is_percent else value)


def _first_of(match: re.Match[str]) -> str | None:
    """The first group that has matched."""
    return next((group for group in match.groups() if group is not None), None)


def _seconds_or_number(text: str | None) -> float | None:
    """A number, or a time such as 1:02:03.4 in seconds; None for anything else."""
    if text is None:
        return None
    if time := _TIME.fullmatch(text):
        hours, minutes, seconds = time.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    return float(text) if _NUMBER.fullmatch(text) else None


def _limited(progress: float) -> float:
    return round(min(1.0, max(0.0, progress)), 4)


def _value_of(text: str) -> Any:
    return json.loads(text) if _JSON_NUMBER.fullmatch(text) else text


def _object_in(line: str) -> dict[str, Any]:
    try:
        value = jsonsafe.decode(line.encode())
    except PacketError:
        return {}  # a line of text that begins with a brace
    return value if isinstance(value, dict) else {}
