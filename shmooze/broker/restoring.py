"""Restoring: items of an earlier run of the service get their places again.

Those that had a process are started again, a few at a time, once the service is open. What an item
becomes depends on how that life ended, on its type, and on whether there still is such a type.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from shmooze.broker.factory import ModuleFactory
from shmooze.broker.keeper import Kept, KeptItem, Loss
from shmooze.broker.launchers import Launchers
from shmooze.broker.line import number_of
from shmooze.broker.missing import missing_type, why_missing
from shmooze.broker.ordering import Ordering
from shmooze.broker.roster import Place, Roster
from shmooze.modules.kind import DROP, HOLD
from shmooze.modules.module import Module
from shmooze.runtime.program import without_gc

log = logging.getLogger(__name__)

#: Starts of an item during which the service may die before the item is held.
MAX_ATTEMPTS = 3
#: Why an item is lost whose command was not answered.
UNANSWERED = "was still starting when the service ended, and its command was never answered"
#: Why an item is lost that a damaged or imported file has beside another background.
REPLACED = "was not the only background in the state file"
#: Why an item is lost whose type is not to be started again.
DROPPED = "was dropped after a crash of the service, as its type says"
#: Why an item is held whose type says so.
HELD_AFTER_CRASH = "had a process when the service crashed; its type says that it is held then"


def restore(
    kept: Kept,
    types: Mapping[Place, Mapping[str, type[Module]]],
    roster: Roster,
    factory: ModuleFactory,
    launchers: Launchers,
    ordering: Ordering,
) -> tuple[dict[str, Loss], dict[str, float]]:
    """Give the items their places in `roster`. Returns why each other one is lost, by uid, and the
    numbers of those that had none, since they were starting.

    `types` are the types on offer by place.
    """
    lost: dict[str, Loss] = {}
    arrived: dict[str, float] = {}
    missing: dict[str, type[Module]] = {}
    newly_held: list[str] = []
    with without_gc():  # which would look at all modules again and again
        for item in kept.items:
            if item.place is Place.ARRIVING:  # whoever wanted it may ask again, with its key
                item.place = Place.ORDER
            kind = types.get(item.place, {}).get(item.type)
            has_crashed = not kept.was_stopped
            if (reason := _why_lost(item, kind, types, roster, has_crashed)) is not None:
                lost[item.uid] = Loss(item, reason, was_answered=reason != UNANSWERED)
                continue
            besides = None
            if kind is None:
                kind = missing.setdefault(item.type, missing_type(item.type))
                besides, item.held = item.held, why_missing(item.type)
                newly_held.append(item.held)
            elif has_crashed and item.held is None:
                item.held = _why_held(item, kind)
                newly_held += [] if item.held is None else [item.held]
            if kept.was_stopped:
                item.attempts = 0
            item.may_run = item.has_begun and has_crashed
            module = factory.restored(kind, item, launchers)
            module.held_besides = besides
            if item.place is Place.ORDER and item.position is None:
                line = roster.line
                line.enter(module, ordering.successor(module, line.everyone))
                arrived[item.uid] = number_of(module)
            roster.change(module, item.place)
    if kept.items:
        _log_return(len(kept.items) - len(lost), kept.was_stopped, newly_held)
    return lost, arrived


def _why_lost(
    item: KeptItem,
    kind: type[Module] | None,
    types: Mapping[Place, Any],
    roster: Roster,
    has_crashed: bool,
) -> str | None:
    """Why an item of this type does not come back; None: it does."""
    if item.place not in types:
        return UNANSWERED
    if item.place is Place.BACKGROUND and roster.background is not None:
        return REPLACED
    is_dropped = kind is not None and kind.after_crash == DROP
    return DROPPED if is_dropped and item.has_begun and has_crashed else None


def _log_return(count: int, was_stopped: bool, newly_held: list[str]) -> None:
    level, how = (logging.INFO, "was stopped") if was_stopped else (logging.WARNING, "crashed")
    log.log(level, "%d items come back; the service %s", count, how)
    for reason, number in Counter(newly_held).items():
        log.warning("%d of them %s held: %s", number, "is" if number == 1 else "are", reason)


def _why_held(item: KeptItem, kind: type[Module]) -> str | None:
    """Why an item is held after a crash; None: it is not."""
    if item.attempts >= MAX_ATTEMPTS:
        return f"the service died {item.attempts} times running while this item started"
    return HELD_AFTER_CRASH if item.has_begun and kind.after_crash == HOLD else None
