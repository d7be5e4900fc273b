"""Holding: which items do not play, and get no process, until somebody releases them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from shmooze.broker.changes import Changes
from shmooze.broker.faults import attempt
from shmooze.broker.roster import Change
from shmooze.errors import CommandError
from shmooze.modules.exit import EndCause
from shmooze.modules.lifecycle import READY, State
from shmooze.modules.module import Module

#: Why an item is held that a client has held.
HELD = "held by a client"


class Holding(Changes):
    """Holds and releases items."""

    def hold(self, uids: list[str]) -> None:
        """Keep these from playing until they are released; those that wait get no process either.
        Returns once the right ones play. Raises CommandError.
        """
        modules = self._known("hold", uids)
        new = [module for module in modules if module.held is None or module.is_resting]
        for module in new:
            if not self._can_be_held(module):
                raise CommandError(f"hold: {module.uid!r} is starting. Nothing was changed")

        def carry_out() -> list[Module]:
            present = self._present(new)
            for module in present:
                if self._can_be_held(module):
                    was_resting = module.is_resting
                    module.hold(HELD)
                    self._roster.change(module)
                    if was_resting:  # it stays held, for another reason
                        self._roster.tell(module, Change.STATE)
            if late := [module for module in present if module.held is None]:
                self.keeper.keep_held(late, None)
                words = ", ".join(repr(module.uid) for module in late)
                raise CommandError(f"hold: {words} has been started meanwhile")
            return present

        self._wait_for_change(lambda: self.keeper.keep_held(new, HELD), carry_out, self._at_once)

    def release(self, uids: list[str]) -> None:
        """Let items play, and have a process, that are held; others are ignored. Returns once the
        right ones play. Raises CommandError.
        """
        for module in (modules := self._known("release", uids)):
            if module.is_missing:
                raise CommandError(f"release: {module.uid!r}: {module.held}. Nothing was changed")
        held = [module for module in modules if module.held is not None]

        def carry_out() -> list[Module]:
            present = self._present(held)
            for module in present:
                if module.held is not None:
                    module.attempts = 0
                    module.release()
                    self._roster.change(module)
            return present

        self._wait_for_change(lambda: self.keeper.keep_held(held, None), carry_out, self._at_once)

    def change_terms(self, module: Module, **terms: Any) -> None:
        """Give an item other terms. Raises CommandError if that cannot be kept."""

        def keep() -> None:
            self.keeper.keep_terms({module.uid: replace(module.terms, **terms)})

        def carry_out() -> None:
            for present in self._present([module]):
                present.terms = replace(present.terms, **terms)
                self._roster.tell(present, Change.TERMS)

        self._kept(keep, carry_out, self._one_by_one)

    def rest(self, module: Module, reason: str) -> None:
        """End the process of an item that nobody needs at present. It is held until it is released,
        and keeps its place. Returns once its end has begun.
        """
        attempt(module, "rest", lambda: module.rest(EndCause.rested(reason)))

    def _can_be_held(self, module: Module) -> bool:
        is_waiting = module.state is State.WAITING and not self._reconciler.is_starting(module)
        return is_waiting or module.is_resting or module.state in READY
