"""Arranging: the order of the items of a queue or pool, and whether any of them begins to play."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from shmooze.broker.changes import Changes
from shmooze.broker.ordering import Fifo, Ordering
from shmooze.broker.reconcile import Pause, Reconciler
from shmooze.broker.roster import Change, Roster
from shmooze.errors import CommandError
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms

#: The key under which it is kept how the service is paused, and what clients are told of that.
PAUSED = "paused"

#: New numbers that the line has promised, and new terms, by uid.
Plan = tuple[Mapping[str, float], Mapping[str, Terms]]


class Arranging(Changes):
    """Moves items, and pauses the service. `service` is the name in errors."""

    def __init__(self, service: str, roster: Roster, reconciler: Reconciler) -> None:
        super().__init__(service, roster, reconciler)
        #: Decides where new items are put.
        self.ordering: Ordering = Fifo(service)
        #: What becomes of items that are done: "off", "one" or "all".
        self.repeat = "off"
        #: Tells watchers what concerns the whole service, by a name and its value; None: nothing.
        self.tell_status: Callable[[str, Any], None] = lambda name, value: None

    def move(
        self,
        uids: Sequence[str],
        before: str | None = None,
        after: str | None = None,
        to: int | None = None,
        check_passed: Callable[[list[Module]], None] = lambda passed: None,
    ) -> None:
        """Put items together, in this order: first, or where one of the others says. Unknown ones
        are ignored. `check_passed` is called with the others that some of them would pass, and may
        raise CommandError. Returns once the right ones play. Raises CommandError.
        """
        if sum(place is not None for place in (before, after, to)) > 1:
            raise CommandError("mv: takes only one of `before`, `after` and `to`")
        for name, uid in (("before", before), ("after", after)):
            if uid is not None and uid in uids:
                raise CommandError(f"mv: argument `{name}`: {uid!r} is one of those to be moved")
        if to is not None and to < 0:
            raise CommandError("mv: argument `to`: must be 0 or more")
        wanted = dict.fromkeys(uids)

        def plan() -> Plan:
            line = self._roster.line
            known = {module.uid for module in line.everyone if module.uid in wanted}
            others = [module for module in line.everyone if module.uid not in wanted]
            index = to or 0
            if (uid := before or after) is not None:
                index = self._place_of(uid, others) + (uid == after)
            check_passed(_passed(line.everyone, wanted, others[index:]))
            successor = others[index] if index < len(others) else None
            moved = [uid for uid in wanted if uid in known]
            return line.promise_before(moved, successor), self._marked(moved)

        self.rearrange(plan)

    def shuffle(self) -> None:
        """Put those that do not play in a random order. Raises CommandError."""

        def plan() -> Plan:
            current = self.current
            waiting = [module for module in self._roster.order if module not in current]
            places = [number for each in waiting if (number := each.position) is not None]
            random.shuffle(waiting)
            uids = (module.uid for module in waiting)
            return self._roster.line.promise(dict(zip(uids, places, strict=True))), {}

        self.rearrange(plan)

    def rearrange(self, plan: Callable[[], Plan]) -> None:
        """Give items the numbers that `plan` has promised them, and other terms. Returns once the
        right ones play. Raises CommandError.
        """
        numbers: Mapping[str, float] = {}
        terms: Mapping[str, Terms] = {}

        def keep() -> None:
            nonlocal numbers, terms
            numbers, terms = plan()
            try:
                if numbers or terms:
                    self._keep_order(numbers, terms)
            except BaseException:
                self._roster.line.forgo(numbers)
                raise

        def carry_out() -> list[Module]:
            self._set_terms(terms)
            self._roster.reorder(numbers)
            return []

        self._wait_for_change(keep, carry_out, self._one_by_one)

    def _marked(self, uids: Iterable[str]) -> Mapping[str, Terms]:
        """The terms of items that are moved by hand, where their order has to know that."""
        if not self.ordering.marks_moved:
            return {}
        found = [module for uid in uids if (module := self._roster.find(uid)) is not None]
        return {module.uid: replace(module.terms, moved=True) for module in found}

    def _set_terms(self, terms: Mapping[str, Terms]) -> None:
        for uid, new in terms.items():
            if (module := self._roster.find(uid)) is not None:
                module.terms = new
                self._roster.tell(module, Change.TERMS)

    def _place_of(self, uid: str, others: Sequence[Module]) -> int:
        for place, module in enumerate(others):
            if module.uid == uid:
                return place
        raise CommandError(f"mv: no item with uid {uid!r} in the order of {self._service}")

    # Places of new items.

    def _enter_line(self, module: Module, at: int | None) -> None:
        """Give a new item the number of its place, and keep what others need for that."""
        line = self._roster.line
        line.enter(module, self._successor(module, at))
        if line.owed:
            self._keep_order({})

    def _successor(self, module: Module, at: int | None) -> Module | None:
        everyone = self._roster.line.everyone
        if at is None:
            return self.ordering.successor(module, everyone)
        return everyone[at] if at < len(everyone) else None

    def _keep_order(
        self, numbers: Mapping[str, float], terms: Mapping[str, Terms] | None = None
    ) -> None:
        """Keep these numbers and those that are owed. Raises CommandError."""
        line = self._roster.line
        owed = line.take_owed()
        try:
            self.keeper.keep_order({**owed, **numbers}, terms)
        except BaseException:
            line.owed.update(owed)
            raise

    # Pauses.

    @property
    def current(self) -> list[Module]:
        """Those of the order that play, or would play if they were not suspended by a pause."""
        return self._reconciler.current()

    @property
    def paused(self) -> dict[str, Any] | None:
        """How the service is paused, as clients see it: {"suspend"}; None: it is not."""
        pause = self._reconciler.pause
        return None if pause is None else {"suspend": pause.suspend}

    def pause(self, suspend: bool) -> None:
        """Let nobody begin to play, and suspend those who do if that is wanted. Returns once the
        right ones play. Raises CommandError.
        """
        self._pause_as(Pause(suspend))

    def resume(self) -> None:
        """Let items play again. Returns once they do. Raises CommandError."""
        self._pause_as(None)

    def restore_pause(self, values: Mapping[str, Any]) -> None:
        """Be paused as an earlier life of the service was, see Kept."""
        if (kept := values.get(PAUSED)) is not None:
            self._reconciler.pause_as(Pause(bool(kept.get("suspend"))))
            self.tell_status(PAUSED, self.paused)

    def _pause_as(self, pause: Pause | None) -> None:
        def begin() -> None:
            self._reconciler.pause_as(pause)
            self.tell_status(PAUSED, self.paused)

        value = None if pause is None else {"suspend": pause.suspend}
        self.keep_service_value(PAUSED, value, begin)

    def keep_service_value(self, key: str, value: Any, begin: Callable[[], None]) -> None:
        """Keep something that concerns the whole service, and then let it begin. Returns once the
        right ones play. Raises CommandError.
        """

        def carry_out() -> list[Module]:
            begin()
            return []

        self._wait_for_change(
            lambda: self.keeper.keep_value(key, value), carry_out, self._one_by_one
        )


def _passed(
    everyone: Sequence[Module], wanted: Collection[str], behind: Iterable[Module]
) -> list[Module]:
    """Those of `behind` that are before the last one of `wanted` now."""
    places = [place for place, module in enumerate(everyone) if module.uid in wanted]
    last = places[-1] if places else 0
    uids = {module.uid for module in behind}
    return [module for module in everyone[:last] if module.uid in uids]
