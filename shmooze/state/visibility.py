"""Whose args clients may see: a type hides those of its items by `show_args`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

#: Whether the report of an item has its args, as it does if its type showed them when it ended.
_REPORT_SHOWS = (
    "CASE WHEN json_valid(report) THEN json_type(report, '$.args') IS NOT NULL ELSE 0 END"
)


@dataclass(frozen=True)
class Visibility:
    """The types on offer that show the args of their items, and those that hide them.

    For an item of any other type, it counts whether it showed them when it ended.
    """

    shown: frozenset[str]
    hidden: frozenset[str] = frozenset()

    def includes(self, type: str, report: str | None) -> bool:
        """Whether clients may see the args of an item with this report, which is JSON."""
        if type in self.shown or type in self.hidden:
            return type in self.shown
        try:
            return report is not None and "args" in msgspec.json.decode(report, type=dict)
        except msgspec.DecodeError:  # changed by hand
            return False

    def where(self) -> tuple[str, dict[str, Any]]:
        """The same as a condition in SQL, and its parameters."""
        shown = {f"shown{number}": type for number, type in enumerate(self.shown)}
        hidden = {f"hidden{number}": type for number, type in enumerate(self.hidden)}
        condition = (
            f"(type IN ({_marks(shown)}) OR (type NOT IN ({_marks(hidden)}) AND {_REPORT_SHOWS}))"
        )
        return condition, {**shown, **hidden}


def _marks(parameters: dict[str, Any]) -> str:
    return ", ".join(f":{name}" for name in parameters)
