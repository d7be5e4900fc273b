"""Changes to items: each is first kept, then carried out.

A change that cannot be kept is refused, and nothing has happened. Whatever else changes while the
keeper works is looked at again before the change is carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import gevent
from gevent.lock import Semaphore

from shmooze.broker.keeper import Keeper, KeepsNothing
from shmooze.broker.reconcile import Reconciler
from shmooze.broker.roster import Place, Roster
from shmooze.errors import CommandError
from shmooze.modules.lifecycle import ENDED
from shmooze.modules.module import Module

Result = TypeVar("Result")


class Changes:
    """What all changes to items have in common. `service` is the name in errors."""

    def __init__(self, service: str, roster: Roster, reconciler: Reconciler) -> None:
        self._service, self._roster, self._reconciler = service, roster, reconciler
        #: Keeps each change before it is carried out.
        self.keeper: Keeper = KeepsNothing()
        #: Changes of the order and of the background are carried out in the order in which they are
        #: kept; all others may be kept together.
        self._one_by_one, self._at_once = Semaphore(), nullcontext()

    def play_only_if(self, may_play: Callable[[Module], bool]) -> None:
        """Let an item whose turn it is wait for as long as this says so."""
        self._reconciler.may_play = may_play

    def keep_value(self, key: str, value: Any) -> None:
        """Keep something that concerns the whole service; None: nothing. Raises CommandError."""
        self._kept(lambda: self.keeper.keep_value(key, value), lambda: None, self._at_once)

    def named(self, uids: Iterable[str]) -> list[Module]:
        """The modules with these uids, of two lives both."""
        wanted = set(uids)
        return [module for module in self._roster.everyone if module.uid in wanted]

    def _wait_for_change(
        self,
        keep: Callable[[], None],
        carry_out: Callable[[], list[Module]],
        lock: AbstractContextManager[Any],
    ) -> None:
        """Keep and carry out a change, and wait for the modules that `carry_out` returns and for
        those whose turn it was or is.
        """

        def carry_out_and_compare() -> list[Module]:
            before = self._reconciler.chosen()
            changed = carry_out()
            now = self._reconciler.chosen()
            is_same = now is before or list(now) == list(before)
            return changed if is_same else [*changed, *before, *now]

        self._reconciler.wait_for(self._kept(keep, carry_out_and_compare, lock))

    def _kept(
        self,
        keep: Callable[[], None],
        carry_out: Callable[[], Result],
        lock: AbstractContextManager[Any],
    ) -> Result:
        """Keep a change, then carry it out. Raises CommandError.

        What was kept is carried out even if whoever wanted it gives up meanwhile.
        """

        def change() -> Result | CommandError:
            try:
                with lock:
                    keep()
                    return carry_out()
            except CommandError as refusal:  # as a value, since what a greenlet raises is printed
                return refusal

        done = change() if self.keeper.is_instant else gevent.spawn(change).get()
        if isinstance(done, CommandError):
            raise done
        return done

    def _present(self, modules: Iterable[Module]) -> list[Module]:
        """Those that live, or their successors if they were restarted meanwhile."""
        found = [self._roster.find(module.uid) for module in modules]
        return [module for module in found if module is not None and module.state not in ENDED]

    def _known(self, command: str, uids: Iterable[str]) -> list[Module]:
        """The items with these uids. Raises CommandError that names those that there are not."""
        wanted = dict.fromkeys(uids)
        places = {Place.ORDER, Place.BACKGROUND}
        found = {
            module.uid: module
            for module in self._roster.everyone
            if module.uid in wanted and self._roster.place_of(module) in places
        }
        if unknown := [uid for uid in wanted if uid not in found]:
            words = ", ".join(repr(uid) for uid in unknown)
            raise CommandError(f"{command}: no item with uid {words} in {self._service}")
        return [found[uid] for uid in wanted]
