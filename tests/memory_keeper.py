"""A keeper in memory, for tests of what survives the broker."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from gevent.event import Event

from shmooze.broker.keeper import Kept, KeptItem, Loss
from shmooze.broker.roster import Place, Roster
from shmooze.errors import CommandError
from shmooze.modules.exit import Outcome
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms


class MemoryKeeper:
    """A keeper that survives its broker. What it keeps, it keeps when a test lets it."""

    is_instant = False

    def __init__(self, items: Iterable[KeptItem] = (), was_stopped: bool = True) -> None:
        self.items = {item.uid: item for item in items}
        self.history: dict[str, Outcome] = {}
        self.keys: dict[str, str] = {}
        self.gone: list[dict[str, Any]] = []
        #: What concerns the whole service.
        self.values: dict[str, Any] = {}
        self.was_stopped = was_stopped
        #: Why nothing can be kept at present; empty: it can.
        self.fault = ""
        #: Cleared while keeping takes its time.
        self.may_go_on = Event()
        self.may_go_on.set()
        #: What was asked, in order, such as "new 1".
        self.asked: list[str] = []

    def copy(self) -> MemoryKeeper:
        """What is kept when the service crashes: whatever is asked of this one later is lost."""
        other = MemoryKeeper([replace(item) for item in self.items.values()], self.was_stopped)
        other.gone = [*self.gone]
        other.history, other.keys = {**self.history}, {**self.keys}
        other.values = {**self.values}
        return other

    @property
    def order(self) -> list[str]:
        """In order, the uids of the items that have a place in it."""
        placed = [each for each in self.items.values() if each.place is Place.ORDER]
        placed.sort(key=lambda item: (item.position is None, item.position or 0.0))
        return [item.uid for item in placed]

    def load(self) -> Kept:
        ordered = [self.items[uid] for uid in self.order]
        others = [each for each in self.items.values() if each.place is not Place.ORDER]
        items = [replace(each) for each in [*ordered, *others]]
        return Kept(items, self.gone, self.was_stopped, {**self.values})

    def begin(self, lost: Mapping[str, Loss], arrived: Mapping[str, float]) -> None:
        self.was_stopped = False
        for uid, position in arrived.items():
            if (item := self.items.get(uid)) is not None:
                item.place, item.position = Place.ORDER, position
        for uid in lost:
            self._end(uid, Outcome.LOST)

    def keep_new(self, module: Module, place: Place) -> None:
        self._keep("new", [module])
        self._add(module, place)

    def _add(self, module: Module, place: Place) -> None:
        item = KeptItem(
            module.uid,
            place,
            module.TYPE_STRING,
            module.args,
            module.origin,
            terms=module.terms,
            position=module.position,
        )
        self.items[module.uid] = item

    def keep_place(self, module: Module, place: Place, instead_of: Module | None = None) -> None:
        self._keep(place.value, [module])
        if instead_of is not None:
            self._end(instead_of.uid, Outcome.REMOVED)
        if place is Place.BACKGROUND:
            for uid in [uid for uid, each in self.items.items() if each.place is place]:
                self._end(uid, Outcome.REMOVED)
        if (item := self.items.get(module.uid)) is not None:
            item.place, item.has_begun, item.position = place, True, module.position

    def keep_order(
        self, positions: Mapping[str, float], terms: Mapping[str, Terms] | None = None
    ) -> None:
        self._keep("order", [])
        for uid, position in positions.items():
            if (item := self.items.get(uid)) is not None:
                item.position = position
        for uid, new in (terms or {}).items():
            if (item := self.items.get(uid)) is not None:
                item.terms = new

    def keep_held(self, modules: Iterable[Module], reason: str | None) -> None:
        self._keep("held", modules)
        for module in modules:
            if (item := self.items.get(module.uid)) is not None:
                item.held, item.attempts = reason, 0

    def keep_terms(self, terms: Mapping[str, Terms]) -> None:
        self._keep("terms", [])
        for uid, new in terms.items():
            if (item := self.items.get(uid)) is not None:
                item.terms = new

    def keep_value(self, key: str, value: Any) -> None:
        self._keep(f"value {key}", [])
        self.values.pop(key, None)
        if value is not None:
            self.values[key] = value

    def keep_removed(self, uids: Collection[str], living: Mapping[str, Module]) -> None:
        self._keep("removed", living.values())
        for uid in uids:
            self._end(uid, Outcome.REMOVED)

    def keep_attempt(self, module: Module) -> None:
        module.attempts += 1
        self.may_go_on.wait()
        if not self.fault and (item := self.items.get(module.uid)) is not None:
            item.attempts, item.has_begun = module.attempts, True

    #: What is to be called when everything is kept, if that takes a while; None: it does not.
    delayed: list[Callable[[], Any]] | None = None

    def keep_end(
        self,
        module: Module,
        outcome: Outcome,
        again: Module | None = None,
        then: Callable[[], Any] | None = None,
    ) -> None:
        self._end(module.uid, outcome)
        if again is not None:
            self._add(again, Place.ORDER)
        if then is not None:
            then()

    def keep_failed(self, module: Module) -> None:
        self._end(module.uid, Outcome.FAILED)

    def keep_report(self, module: Module, report: dict[str, Any]) -> None:
        self.gone.append(report)

    def when_kept(self, call: Callable[[], Any]) -> None:
        call() if self.delayed is None else self.delayed.append(call)

    def note_restarts(self, roster: Roster) -> None:
        """Keep how often each item was started again, which is written soon after it happened."""
        for module in roster.everyone:
            if (item := self.items.get(module.uid)) is not None:
                item.restarts = module.restarts.count

    def find_outcome(self, uid: str) -> Outcome | None:
        return self.history.get(uid)

    def known(self, uids: Collection[str]) -> Collection[str]:
        return {uid for uid in uids if uid in self.items or uid in self.history}

    def count_batch(self, batch: str) -> Mapping[str, int] | None:
        return None

    def find_key(self, key: str) -> str | None:
        return self.keys.get(key)

    def forget_key(self, key: str) -> None:
        self.keys.pop(key, None)

    def problem(self) -> str | None:
        return self.fault or None

    def close(self) -> None:
        self.was_stopped = True

    def _keep(self, what: str, modules: Iterable[Module]) -> None:
        self.asked.append(f"{what} {' '.join(module.uid for module in modules)}".strip())
        self.may_go_on.wait()
        if self.fault:
            raise CommandError(self.fault)

    def _end(self, uid: str, outcome: Outcome) -> None:
        """One that has ended already keeps its outcome."""
        if (item := self.items.pop(uid, None)) is not None:
            assert uid not in self.history
            self.history[uid] = outcome
            if item.origin.key is not None:
                self.keys[item.origin.key] = uid
