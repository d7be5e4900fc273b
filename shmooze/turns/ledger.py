"""A ledger: which slots, turns of each type, and resources of the pool are free at one moment.

It is made anew from what lives whenever that has changed, so nothing in it can leak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from shmooze.modules.kind import LOCAL, Kind
from shmooze.modules.module import Module

#: Amounts that differ by less are equal: they may be fractions.
_TOLERANCE = 1e-9


def needs_of(kind: type[Kind]) -> Mapping[str, float]:
    """What a process of a type takes here; applications may have something else of this name.

    What it takes of a cluster, the engine counts.
    """
    return kind.needs if isinstance(kind.needs, Mapping) and kind.launcher == LOCAL else {}


def name_of(module: Module) -> str:
    """A module in a text for clients, such as "sd 3f2a91c0"."""
    return f"{module.TYPE_STRING} {module.uid[:8]}"


class Ledger:
    """`slots` may be None, for any number; `has` are the amounts by name."""

    def __init__(self, slots: int | None, has: Mapping[str, float]) -> None:
        self.slots = slots
        self.amounts = dict(has)
        #: By the names of types, of which there may be several definitions after a reload.
        self._playing: Counter[str] = Counter()

    def copy(self) -> Ledger:
        """One that changes for itself."""
        other = Ledger(self.slots, self.amounts)
        other._playing = self._playing.copy()
        return other

    # What there is.

    @property
    def has_slot(self) -> bool:
        """Whether one more may play."""
        return self.slots is None or self.slots > 0

    def has_turn(self, kind: type[Kind]) -> bool:
        """Whether one more of this type may play."""
        return kind.max_playing is None or self._playing[kind.TYPE_STRING] < kind.max_playing

    def short(self, kind: type[Kind]) -> list[str]:
        """The names of what there is too little of for a process of this type."""
        return [
            name
            for name, amount in needs_of(kind).items()
            if self.amounts.get(name, 0.0) < amount - _TOLERANCE
        ]

    def fits(self, wanted: Module | type[Module]) -> bool:
        """Whether a module, or a new one of a type, may play."""
        kind = _kind_of(wanted)
        if not (self.has_slot and self.has_turn(kind)):
            return False
        return _is_granted(wanted) or not self.short(kind)

    # What changes.

    def take(self, wanted: Module | type[Module]) -> None:
        """It plays, and has what it needs."""
        kind = _kind_of(wanted)
        self.take_slot(kind)
        if not _is_granted(wanted):
            self.take_amounts(needs_of(kind))

    def take_slot(self, kind: type[Kind], count: int = 1) -> None:
        """So many more of a type play."""
        self._playing[kind.TYPE_STRING] += count
        if self.slots is not None:
            self.slots -= count

    def take_amounts(self, amounts: Mapping[str, float]) -> None:
        """So much is used."""
        for name, amount in amounts.items():
            self.amounts[name] = self.amounts.get(name, 0.0) - amount

    def give_back(self, kind: type[Kind]) -> None:
        """One of a type that plays has ended."""
        self.take_slot(kind, -1)
        self.take_amounts({name: -amount for name, amount in needs_of(kind).items()})

    def reserve(self, wanted: Module | type[Module]) -> None:
        """Keep what there is of what it needs for it, as it waits for the rest."""
        if not _is_granted(wanted):
            for name, amount in needs_of(_kind_of(wanted)).items():
                self.amounts[name] = max(0.0, self.amounts.get(name, 0.0) - amount)

    def release(self, module: Module, has_slot: bool, ends: bool) -> None:
        """One leaves its slot, and its process ends or goes on."""
        if has_slot:
            self.take_slot(type(module), -1)
        if ends and module.grant is not None:
            for name, amount in module.grant.amounts.items():
                self.amounts[name] = self.amounts.get(name, 0.0) + amount

    def enough(
        self,
        wanted: Module | type[Module],
        candidates: Iterable[Module],
        ends: Callable[[Module], bool],
    ) -> list[Module] | None:
        """Those of `candidates`, which play, that have to leave so that another one may play: the
        first ones that do, and none without need. None: that is not enough.
        """
        trial, chosen = self.copy(), list[Module]()
        for module in candidates:
            if trial.fits(wanted):
                break
            trial.release(module, True, ends(module))
            chosen.append(module)
        if not trial.fits(wanted):
            return None
        needed = []
        for module in chosen:
            without = trial.copy()
            without.take_slot(type(module))
            if ends(module) and module.grant is not None:
                without.take_amounts(module.grant.amounts)
            if without.fits(wanted):
                trial = without
            else:
                needed.append(module)
        return needed


def _kind_of(wanted: Module | type[Module]) -> type[Module]:
    return wanted if isinstance(wanted, type) else type(wanted)


def _is_granted(wanted: Module | type[Module]) -> bool:
    return not isinstance(wanted, type) and wanted.grant is not None
