"""The reloader of a queue or pool: reads the settings again, checks them whole, then takes them.

Strategy. First everything is checked, with the new settings in force, by the code that checks them
at a start: another service is made of them, which never starts, and each part of the running one
prepares. A mistake anywhere raises, the old settings are put back, and nothing has happened. Then
every part takes what it has prepared, which cannot fail. Nothing waits from the beginning to the
end, so no command, and no module, sees anything half done.

A definition of a type never changes: a changed type is another class. A module with a process keeps
its class, and so its definition, until that process ends. Items without a process get a module of
the new class at once, and those that are started again get one then. Items of a type that is gone
are held, as after a restart of the service.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from shmooze import settings
from shmooze.broker import section
from shmooze.broker.broker import Broker
from shmooze.broker.describer import is_described
from shmooze.broker.missing import missing_type
from shmooze.broker.ordering import is_ordered
from shmooze.broker.renewal import Renewal, Types
from shmooze.broker.roster import Place
from shmooze.errors import CommandError, SettingsError
from shmooze.modules.channel.adapters import has_door
from shmooze.modules.module import Module
from shmooze.reloading import changes
from shmooze.reloading.changes import TypeChanges
from shmooze.runtime import declared
from shmooze.settings import Settings

log = logging.getLogger(__name__)


class BrokerReloader:
    """See Reloader. It is made before the settings have been read again for the first time."""

    def __init__(self, broker: Broker) -> None:
        self._broker, self._name = broker, str(broker.name)
        #: The settings that the service was started with, and those that count now.
        self._started = self._current = declared.current()
        #: The types of items whose type is gone.
        self._missing: dict[str, type[Module]] = {}
        #: What is attached to the broker, of what may be attached later.
        kinds = [*broker.kinds()]
        self._is_ordered = is_ordered(self._current, self._name)
        self._is_described = any(map(is_described, kinds))
        self._has_doors = any(map(has_door, kinds))
        broker.define_by(self._newest)

    def reload(self) -> dict[str, Any]:
        """See Reloader."""
        if self._broker.is_opening:
            raise CommandError(f"reload: {self._name} is still starting")
        if self._broker.is_closed:
            raise CommandError(f"reload: {self._name} is shutting down")
        before = self._current
        try:
            source = Settings.load()
            settings.use(source)
            renewal, take = self._prepare(declared.current())
        except SettingsError as bad:
            settings.use(before)
            raise CommandError(f"{bad}. Nothing was changed") from bad
        except BaseException:
            settings.use(before)
            raise
        types = TypeChanges(self._broker.types_by_place(), renewal.types)
        take()
        self._current = source
        report = {
            "added": types.added,
            "changed": types.changed,
            "removed": types.removed,
            "settings": changes.taken_at_once(before, source, self._name),
            "needs_restart": changes.needing_restart(self._started, source, self._name),
        }
        self._log(report, source)
        return report

    def _log(self, report: dict[str, Any], source: Settings) -> None:
        parts = [f"{key}: {', '.join(names)}" for key, names in report.items() if names]
        log.info("%s: settings reloaded; %s", self._name, "; ".join(parts) or "nothing is new")
        for warning in section.unknown_keys(source, self._name):
            log.warning("%s: %s", self._name, warning)

    def _prepare(self, source: Settings) -> tuple[Renewal, Callable[[], None]]:
        """Check everything, and return what takes it. Raises SettingsError."""
        renewal = Renewal(source, self._types())
        self._attach(renewal)
        take = self._broker.prepare_renewal(renewal)

        def take_all() -> None:
            take()
            self._broker.replace_outdated()

        return renewal, take_all

    def _types(self) -> Types:
        """The types of the new settings. One that has not changed is the same class as before."""
        before = self._broker.types_by_place()
        if self._broker.from_settings is None:
            return before
        new = self._broker.from_settings().types_by_place()
        return {
            place: {
                name: old if (old := before[place].get(name)) and _is_same(old, kind) else kind
                for name, kind in kinds.items()
            }
            for place, kinds in new.items()
        }

    def _attach(self, renewal: Renewal) -> None:
        """Attach what the new settings need and the old ones did not. By the old ones, it does
        nothing yet.
        """
        broker, source = self._broker, renewal.source
        broker.launchers.check(renewal.kinds)
        settings.use(self._current)
        if not self._is_ordered and is_ordered(source, self._name):
            broker.attach_ordering()
            self._is_ordered = True
        if not self._is_described and any(map(is_described, renewal.kinds)):
            broker.attach_descriptions()
            broker.items.describer.open(broker.launchers)
            self._is_described = True
        if not self._has_doors and any(map(has_door, renewal.kinds)):
            broker.attach_doors()
            self._has_doors = True
        settings.use(source)

    def _newest(self, kind: type[Module], place: Place) -> type[Module]:
        """See ModuleFactory."""
        name = kind.TYPE_STRING
        place = Place.BACKGROUND if place is Place.BACKGROUND else Place.ORDER
        found = self._broker.types_by_place()[place].get(name)
        if found is None:
            found = kind if kind.is_missing else self._missing.get(name)
        if found is None:
            found = self._missing[name] = missing_type(name)
        return found


def _is_same(old: type[Module], new: type[Module]) -> bool:
    return bool(old.definition == new.definition)
