"""The store: keeps the items of a queue or pool in the state file.

Strategy. What a command waits for is committed at once. Ends of items, and what changes of an item
while it lives (its restarts, the state that it has saved), are written soon after. An item that has
ended is not among the items any more, so a change of it that comes late changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from typing import Any

import gevent

from shmooze.broker.keeper import Kept, Loss
from shmooze.broker.roster import Change, Place, Roster
from shmooze.broker.views import exit_report
from shmooze.errors import StateError
from shmooze.modules.exit import Outcome
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms
from shmooze.runtime import clock
from shmooze.state.ended import Ended
from shmooze.state.file import StateFile, Write
from shmooze.state.item_table import Facts, facts_of
from shmooze.state.pruning import DAY, Limits, prune_forever
from shmooze.state.write_behind import WriteBehind

log = logging.getLogger(__name__)

_KEPT = Change.PLACE | Change.STATE | Change.RESTARTS | Change.SAVED
#: Places in which an item is not answered yet, and no change of it is written.
_PENDING = (Place.ARRIVING, Place.RESERVED)


class Store(Ended):
    """The keeper of the service `name`. It prunes the history to its limits meanwhile."""

    is_instant = False
    #: Keys of refused commands that may wait for the disk.
    max_forgotten = 10_000

    def __init__(self, file: StateFile, name: str, roster: Roster, limits: Limits) -> None:
        super().__init__(file, name)
        self._roster, self._limits = roster, limits
        self._pruning: gevent.Greenlet | None = None
        self._behind = WriteBehind(file, name, self._update_of)
        #: What was written last of each item.
        self._written: dict[str, Facts] = {}
        #: The module of each of them that was listed last. At the end of the service it has lost
        #: its place, but its item stays, and what it saves until it is gone is written.
        self._modules: dict[str, Module] = {}
        #: Keys of refused commands that the file may still have.
        self._forgotten: dict[str, None] = {}
        #: What concerns the whole service, by key.
        self._values: dict[str, Any] = {}

    # What there was.

    def load(self) -> Kept:
        try:
            kept = self._file.read(self._table.load)
        except ValueError as bad:  # a row that cannot be an item
            raise self._file.damaged() from bad
        self._values = dict(kept.values)
        self._written = {
            each.uid: (each.has_begun, each.restarts, each.attempts, each.held, each.saved)
            for each in kept.items
        }
        return kept

    def begin(self, lost: Mapping[str, Loss], arrived: Mapping[str, float]) -> None:
        for uid, written in self._written.items():
            module = self._roster.find(uid)
            if module is not None and not module.is_missing and facts_of(module) != written:
                self._behind.add_change(uid)
        self._roster.listen(self._on_change, _KEPT)
        writes = [*self._table.set_stopped(False)]
        for uid, position in arrived.items():
            writes += self._table.arrive(uid, position)
        for uid, loss in lost.items():
            log.warning("%s: item %s %s", self._name, uid, loss.reason)
            self._forget(uid)
            writes += self._table.end(uid, Outcome.LOST, clock.time(), 0.0, loss.reason)
            if not loss.was_answered:
                writes += self._table.forget_key_of(uid)
        try:
            self._file.commit(*writes)
        except StateError:  # the file says why
            self._behind.add(writes)
        self._pruning = gevent.spawn(prune_forever, self._file, self._name, self._limits)

    # What is kept before it is done.

    def keep_new(self, module: Module, place: Place) -> None:
        uid = module.uid
        try:
            self._commit(self._table.insert(module, place), self._table.delete(uid))
        except BaseException:
            self._forget(uid)
            raise
        self._written[uid] = facts_of(module)

    def keep_place(self, module: Module, place: Place, instead_of: Module | None = None) -> None:
        writes, undo = [*self._table.place(module, place)], list[Write]()
        if instead_of is not None:
            writes += self._removal(instead_of)
            undo += self._table.undo_removal(instead_of, Place.BACKGROUND)
        if place is Place.BACKGROUND:
            # One whose process was killed a moment ago is still kept.
            writes += self._table.end_background(module.uid, clock.time())
        try:
            self._commit(writes, undo)
        except StateError:
            if place is not Place.ORDER:
                raise
            # The item is kept, and comes back after a crash: to refuse it would be wrong.
            self._behind.add(writes)
        if module.uid in self._written:  # it has not ended meanwhile
            self._written[module.uid] = (True, 0, 0, None, None)

    def keep_order(
        self, positions: Mapping[str, float], terms: Mapping[str, Terms] | None = None
    ) -> None:
        found = (self._roster.find(uid) for uid in positions)
        before = [
            (module.uid, module.position)
            for module in found
            if module is not None and module.position is not None
        ]
        writes, undo = self._writes_of_terms(terms or {})
        self._commit(
            chain(self._table.move(positions.items()), writes),
            chain(self._table.move(before), undo),
        )

    def keep_held(self, modules: Iterable[Module], reason: str | None) -> None:
        held = [(module.uid, module.held) for module in modules]
        known = {uid: self._written.get(uid) for uid, _ in held}
        self._commit(
            chain.from_iterable(self._table.hold(uid, reason) for uid, _ in held),
            chain.from_iterable(self._table.hold(uid, before) for uid, before in held),
        )
        for uid, written in known.items():
            # If something else was written meanwhile, `held` is written once more.
            if written is not None and self._written.get(uid) is written:
                begun, restarts, _, _, saved = written
                self._written[uid] = (begun, restarts, 0, reason, saved)

    def keep_terms(self, terms: Mapping[str, Terms]) -> None:
        self._commit(*self._writes_of_terms(terms))

    def _writes_of_terms(self, terms: Mapping[str, Terms]) -> tuple[list[Write], list[Write]]:
        """What gives items other terms, and what undoes that."""
        found = (self._roster.find(uid) for uid in terms)
        before = {module.uid: module.terms for module in found if module is not None}
        writes, undo = (
            [write for uid, each in some.items() for write in self._table.terms(uid, each)]
            for some in (terms, before)
        )
        return writes, undo

    def keep_value(self, key: str, value: Any) -> None:
        before = self._values.get(key)
        self._commit(self._table.value(key, value), self._table.value(key, before))
        self._values[key] = value

    def keep_removed(self, uids: Collection[str], living: Mapping[str, Module]) -> None:
        undo = [
            write
            for each in living.values()
            for write in self._table.undo_removal(each, self._roster.place_of(each))
        ]
        removals = (
            self._removal(living[uid])
            if uid in living
            else self._table.end(uid, Outcome.REMOVED, clock.time(), 0.0, "was removed")
            for uid in uids
        )
        self._commit(chain.from_iterable(removals), undo)
        for uid in uids:
            self._forget(uid)

    def keep_attempt(self, module: Module) -> None:
        module.attempts += 1
        try:
            self._file.commit(*self._table.attempt(module.uid, module.attempts))
        except StateError:
            return  # the file says why; what runs goes on
        if (written := self._written.get(module.uid)) is not None:
            _, restarts, _, held, saved = written
            self._written[module.uid] = (True, restarts, module.attempts, held, saved)

    def keep_failed(self, module: Module) -> None:
        writes = [*self._end(module, Outcome.FAILED), *self._table.forget_key_of(module.uid)]
        try:
            self._file.commit(*writes)
        except StateError:
            self._behind.add(writes)

    # What is kept without anybody waiting.

    def keep_end(
        self,
        module: Module,
        outcome: Outcome,
        again: Module | None = None,
        then: Callable[[], Any] | None = None,
    ) -> None:
        writes = [*self._end(module, outcome)]
        if again is not None:
            writes += self._table.insert(again, Place.ORDER)
            self._written[again.uid] = facts_of(again)
        self._behind.add(writes, then)

    def _end(self, module: Module, outcome: Outcome) -> Iterable[Write]:
        self._forget(module.uid)
        record = module.exit
        if record is not None and module.state is State.GONE:
            ended, seconds, report = record.ended, record.seconds, exit_report(module)
        else:
            ended, seconds, report = clock.time(), clock.now() - module.born, None
        reason = module.reason or module.removal
        result = None if record is None else record.result
        return self._table.end(module.uid, outcome, ended, seconds, reason, report, result)

    def keep_report(self, module: Module, report: dict[str, Any]) -> None:
        self._behind.add_report(self._table.report(module, report))

    def when_kept(self, call: Callable[[], Any]) -> None:
        self._behind.add((), lambda: gevent.spawn(call))

    # Keys.

    def find_key(self, key: str) -> str | None:
        if key in self._forgotten:
            return None
        since = clock.time() - self._limits.key_days * DAY
        return self._file.read(lambda connection: self._table.find_key(connection, key, since))

    def forget_key(self, key: str) -> None:
        # If so many wait, the disk is full, and these commands were refused because of that.
        if key not in self._forgotten and len(self._forgotten) < self.max_forgotten:
            self._forgotten[key] = None
            self._behind.add(self._table.forget_key(key), lambda: self._forgotten.pop(key))

    # The end.

    def close(self) -> None:
        if self._pruning is not None:
            self._pruning.kill()
        unwritten = self._behind.close()
        try:
            self._file.commit(*unwritten, *self._table.set_stopped(True))
        except StateError as bad:
            log.error("%s: %s; items that have ended since then come back", self._name, bad)
        self._file.close()

    def _commit(self, writes: Iterable[Write], undo: Iterable[Write]) -> None:
        """Raises StateError, and nothing has changed."""
        if writes := list(writes):
            self._file.commit(*writes, undo=undo)

    def _removal(self, module: Module) -> Iterable[Write]:
        seconds = clock.now() - module.born if module.has_begun else 0.0
        return self._table.end(module.uid, Outcome.REMOVED, clock.time(), seconds, module.removal)

    def _forget(self, uid: str) -> None:
        self._written.pop(uid, None)
        self._modules.pop(uid, None)

    # Changes of items that live.

    def _on_change(self, uid: str, what: Change) -> None:
        if (written := self._written.get(uid)) is None:
            return
        module = self._find(uid)
        if module is None or module.is_missing:
            return
        if facts_of(module) != written:
            self._behind.add_change(uid)

    def _find(self, uid: str) -> Module | None:
        """The module of an item whose changes are written."""
        if (module := self._roster.find(uid)) is not None:
            self._modules[uid] = module
        module = self._modules.get(uid)
        is_pending = module is not None and self._roster.place_of(module) in _PENDING
        return None if is_pending else module

    def _update_of(self, uid: str) -> Iterable[Write]:
        module = self._find(uid) if uid in self._written else None
        if module is None:
            return ()
        self._written[uid] = facts = facts_of(module)
        return self._table.update(uid, facts)
