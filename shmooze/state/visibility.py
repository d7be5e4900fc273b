"""Whose args clients may see: a type hides those of its items, or the secrets among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shmooze.broker.views import shown_of
from shmooze.modules.kind import Kind
from shmooze.modules.presentation import Presentation


@dataclass(frozen=True)
class Visibility:
    """The types on offer that show the args of their items, and those that hide them.

    Types with a description show some of them. In searches and counts, and for items of types that
    are not on offer, it counts what an item showed when it ended.
    """

    shown: frozenset[str]
    hidden: frozenset[str] = frozenset()
    described: Mapping[str, Presentation] = field(default_factory=dict)

    @classmethod
    def of(cls, kinds: Iterable[type[Kind]], described: Mapping[str, Presentation]) -> Visibility:
        """The visibility that these types ask for."""
        kinds = list(kinds)
        hidden = frozenset(kind.TYPE_STRING for kind in kinds if not kind.show_args)
        shown = frozenset(kind.TYPE_STRING for kind in kinds) - hidden - described.keys()
        return cls(shown, hidden, described)

    def view(self, type: str, args: Any, report: str | None) -> dict[str, Any]:
        """What clients see of the args of an item with this report: {"args"?, "label"?}.

        `report` is JSON.
        """
        if type in self.shown:
            return {"args": args}
        if type in self.hidden:
            return {}
        if type in self.described and isinstance(args, dict):
            return shown_of(self.described[type].view(args))
        try:
            known = msgspec.json.decode(report or "{}", type=dict)
        except msgspec.DecodeError:  # changed by hand
            return {}
        return {key: known[key] for key in ("args", "label") if key in known}

    def args(self) -> tuple[str, dict[str, Any]]:
        """The args of an item that are searched and counted, as an expression in SQL that is NULL
        where there are none, and its parameters.
        """
        shown = {f"shown{number}": type for number, type in enumerate(self.shown)}
        hidden = {f"hidden{number}": type for number, type in enumerate(self.hidden)}
        expression = (
            f"CASE WHEN type IN ({_marks(shown)}) THEN args WHEN type IN ({_marks(hidden)})"
            " THEN NULL WHEN json_valid(report) THEN json_extract(report, '$.args') END"
        )
        return expression, {**shown, **hidden}


def _marks(parameters: dict[str, Any]) -> str:
    return ", ".join(f":{name}" for name in parameters)
