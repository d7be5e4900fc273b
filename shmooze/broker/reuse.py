"""Reuse: processes of items that are done go on to further items of their types.

Until there is one, such a process waits like one on standby: it belongs to a module that is no item
yet. An `add` makes an item of that module. An item that has waited for its turn borrows the process
instead, and the module is forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from shmooze.broker.roster import Roster
from shmooze.broker.standby import Standby
from shmooze.modules.kind import items_of
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.runtime import clock

log = logging.getLogger(__name__)


class Reuse:
    """Finds the next item for processes, and processes for items.

    `build` makes a module in a state that is in no roster yet.
    """

    def __init__(
        self,
        roster: Roster,
        standby: Standby,
        build: Callable[[type[Module], State], Module],
    ) -> None:
        self._roster, self._standby, self._build = roster, standby, build
        self._is_closed = False

    def close(self) -> None:
        """Hand no process on any more."""
        self._is_closed = True

    def keep(self, done: Module) -> bool:
        """Let the process of a module that is done wait for another item. See Reusable.on_done."""
        if self._is_closed:
            return False
        try:
            keeper = self._build(type(done), State.STANDBY)
        except Exception:  # a fault of the application's subclass
            log.exception("%r: its process cannot go on to another item", done)
            return False
        keeper.removal = "was not needed any more"
        keeper.take_over(done)
        self._roster.change(keeper)
        return True

    def lend(self, item: Module) -> None:
        """Let an item that is about to be started have a process that waits for one, if there is.

        Waits for those of its type that are about to be handed on.
        """
        kind = type(item)
        if items_of(kind) <= 1 or not item.may_borrow:
            return
        while not (self._is_closed or self._standby.has(kind)):
            coming = [each for each in self._roster.in_state(State.ENDING) if _comes(each, kind)]
            if not coming:
                return
            clock.wait(coming[0].is_decided, None)
        if self._is_closed or item.state is not State.WAITING or item.has_process:
            return
        if (keeper := self._standby.take(kind)) is not None:
            item.take_over(keeper)
            self._roster.forget(keeper)


def _comes(ending: Module, kind: type[Module]) -> bool:
    return type(ending) is kind and ending.may_hand_on
