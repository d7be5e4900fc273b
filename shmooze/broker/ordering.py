"""The contract of orderings, which decide where new items are put, and the default: at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shmooze.errors import CommandError
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms
from shmooze.runtime import declared
from shmooze.settings import Settings

#: The values of the key `order`.
FIFO, PRIORITY, FAIR = ("fifo", "priority", "fair")
#: The keys of a section for which `shmooze.ordering` is loaded.
KEYS = ("order", "age", "limits", "votes")


def is_ordered(source: Settings, name: str) -> bool:
    """Whether the section of a queue or pool has one of KEYS."""
    return not declared.section_of(source, name).keys().isdisjoint(KEYS)


@dataclass
class Entry:
    """An item that is about to be added."""

    terms: Terms


class Ordering(Protocol):
    """Decides where new items are put. It never moves one without a command."""

    #: Whether items that were put somewhere by hand have to be marked, in their terms.
    marks_moved: bool

    def terms_of_new(self, terms: Terms) -> Terms:
        """The terms that a new item gets. Raises CommandError for those that it must not have."""

    def successor(self, module: Module, line: Sequence[Module]) -> Module | None:
        """The one of `line`, which has all in order, before which an item is put; None: it is the
        last one.
        """


class Fifo:
    """Items play as they were added. `service` is the name in errors."""

    marks_moved = False

    def __init__(self, service: str) -> None:
        self._service = service

    def terms_of_new(self, terms: Terms) -> Terms:
        if terms.priority:
            words = f'needs `"order": "{PRIORITY}"` in the settings of {self._service}'
            raise CommandError(f"add: argument `priority`: {words}")
        return terms

    def successor(self, module: Module, line: Sequence[Module]) -> Module | None:
        return None
