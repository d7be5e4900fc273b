"""Attaching an order, limits for owners and votes to a queue or pool, as the settings say."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import nullcontext

from shmooze.broker.broker import Broker
from shmooze.broker.ordering import FAIR, KEYS, PRIORITY, Fifo, Ordering
from shmooze.broker.renewal import Renewal
from shmooze.broker.section import Section
from shmooze.modules.module import Module
from shmooze.ordering.fair import Fair
from shmooze.ordering.limits import Limits
from shmooze.ordering.priority import ByPriority
from shmooze.ordering.votes import Votes
from shmooze.runtime import declared, schema
from shmooze.settings import Settings


def attach(broker: Broker, keeps_first: bool) -> None:
    """Let items be ordered and limited as the section of a broker says, and voted for.

    `keeps_first` says whether the first one plays, whatever comes before it. Raises SettingsError.
    """
    name = str(broker.name)
    chosen = _read(declared.current(), name)
    attached = _Attached(broker, keeps_first)
    attached.take(chosen)
    broker.renewals.append(attached.prepare)
    if chosen.votes is not None:
        broker.add_table(Votes(name, chosen.votes, broker.items, broker.roster))


def _read(source: Settings, name: str) -> Section:
    section = declared.section_of(source, name)
    wanted = {key: section[key] for key in KEYS if key in section}
    chosen = Section(**schema.check(Section, wanted, source.error, name))
    if chosen.order != PRIORITY:
        if chosen.age is not None:
            raise source.error(f"{name}.age", f'needs `"order": "{PRIORITY}"`')
        if chosen.votes is not None and chosen.votes.up:
            raise source.error(f"{name}.votes.up", f'needs `"order": "{PRIORITY}"`')
    return chosen


class _Attached:
    """The order and the limits of one broker, which change with its settings."""

    def __init__(self, broker: Broker, keeps_first: bool) -> None:
        self._broker, self._keeps_first = broker, keeps_first
        self._limits: Limits | None = None
        #: Made once, since it counts the turns of owners from then on.
        self._fair: Fair | None = None

    def prepare(self, renewal: Renewal) -> Callable[[], object]:
        """See Prepare."""
        chosen = _read(renewal.source, str(self._broker.name))
        return lambda: self.take(chosen)

    def take(self, chosen: Section) -> None:
        """Order and limit new items like this; the others keep their places."""
        self._broker.items.ordering = self._ordering(chosen)
        if chosen.limits is None:
            self._broker.items.admit = nullcontext
            return
        if self._limits is None:
            self._limits = Limits(chosen.limits, self._broker.roster)
        self._limits.renew(chosen.limits)
        self._broker.items.admit = self._limits.admit

    def _ordering(self, chosen: Section) -> Ordering:
        if chosen.order == PRIORITY:
            return ByPriority(chosen.age, self._current)
        if chosen.order == FAIR:
            self._fair = self._fair or Fair(str(self._broker.name), self._broker.roster)
            return self._fair
        return Fifo(str(self._broker.name))

    def _current(self) -> Collection[Module]:
        return self._broker.items.current if self._keeps_first else ()
