"""New settings for a service that runs: each part of it checks them, and then takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shmooze.broker.roster import Place
from shmooze.modules.module import Module
from shmooze.settings import Settings

#: The types on offer by place.
Types = Mapping[Place, Mapping[str, type[Module]]]


@dataclass(frozen=True)
class Renewal:
    """The new settings, and the types on offer with them."""

    source: Settings
    types: Types

    @property
    def kinds(self) -> list[type[Module]]:
        """All types, each once."""
        return [*dict.fromkeys(kind for kinds in self.types.values() for kind in kinds.values())]


#: Checks new settings without changing anything. Raises SettingsError. Returns what takes them,
#: which cannot fail. Neither waits.
Prepare = Callable[[Renewal], Callable[[], object]]


class Reloader(Protocol):
    """Reads the settings of one service again."""

    def reload(self) -> dict[str, Any]:
        """Take them. Returns what has changed, see shapes.Reloaded. Raises CommandError."""
