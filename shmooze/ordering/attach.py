"""Attaching an order, limits for owners and votes to a queue or pool, as the settings say."""

from __future__ import annotations

from collections.abc import Collection

from shmooze.broker.broker import Broker
from shmooze.broker.ordering import FAIR, KEYS, PRIORITY
from shmooze.broker.section import Section
from shmooze.modules.module import Module
from shmooze.ordering.fair import Fair
from shmooze.ordering.limits import Limits
from shmooze.ordering.priority import ByPriority
from shmooze.ordering.votes import Votes
from shmooze.runtime import declared, schema


def attach(broker: Broker, keeps_first: bool) -> None:
    """Let items be ordered and limited as the section of a broker says, and voted for.

    `keeps_first` says whether the first one plays, whatever comes before it. Raises SettingsError.
    """
    source, name = declared.current(), str(broker.name)
    section = declared.section_of(source, name)
    wanted = {key: section[key] for key in KEYS if key in section}
    chosen = Section(**schema.check(Section, wanted, source.error, name))
    if chosen.order != PRIORITY:
        if chosen.age is not None:
            raise source.error(f"{name}.age", f'needs `"order": "{PRIORITY}"`')
        if chosen.votes is not None and chosen.votes.up:
            raise source.error(f"{name}.votes.up", f'needs `"order": "{PRIORITY}"`')
    if chosen.order == PRIORITY:

        def current() -> Collection[Module]:
            return broker.items.current if keeps_first else ()

        broker.items.ordering = ByPriority(chosen.age, current)
    elif chosen.order == FAIR:
        broker.items.ordering = Fair(name, broker.roster)
    if chosen.limits is not None:
        broker.items.admit = Limits(chosen.limits, broker.roster).admit
    if chosen.votes is not None:
        broker.add_table(Votes(name, chosen.votes, broker.items, broker.roster))
