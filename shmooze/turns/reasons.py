"""Reasons for which modules wait, in words for clients."""

from __future__ import annotations

from collections.abc import Sequence

from shmooze.modules.module import Module
from shmooze.turns.ledger import name_of, needs_of


def shortage(
    module: Module, short: Sequence[str], holders: Sequence[Module], keeping: Sequence[Module]
) -> str:
    """What a module needs, and who has it, or waits for it before: one line."""
    parts = []
    for name in short:
        users = [each for each in holders if each.grant and name in each.grant.amounts]
        waiting = [each for each in keeping if name in needs_of(type(each))]
        used = f", used by {_names(users)}" if users else ""
        kept = f", kept for {_names(waiting)}" if waiting else ""
        parts.append(f"{name} {needs_of(type(module))[name]:g}{used}{kept}")
    return f"needs {'; '.join(parts)}"


def _names(modules: Sequence[Module], most: int = 3) -> str:
    others = len(modules) - most
    more = [f"{others} more"] if others > 0 else []
    return ", ".join([*map(name_of, modules[:most]), *more])
