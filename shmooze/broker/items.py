"""The items of a queue or pool: added, removed, moved, held and released."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from shmooze.broker.changes import Changes
from shmooze.broker.conditions import Conditions
from shmooze.broker.describer import Describer, DescribesNothing
from shmooze.broker.factory import ModuleFactory
from shmooze.broker.faults import attempt
from shmooze.broker.keys import Keys
from shmooze.broker.policy import Policy
from shmooze.broker.reconcile import Reconciler
from shmooze.broker.roster import Change, Place, Roster
from shmooze.broker.views import explain
from shmooze.errors import CommandError
from shmooze.modules.exit import Outcome
from shmooze.modules.lifecycle import ENDED, READY, UNSTARTED, State
from shmooze.modules.module import Module
from shmooze.modules.terms import PLAIN, Terms

#: Why an item is held that a client has held.
HELD = "held by a client"
#: Places of modules that are items.
_ITEMS = (Place.ARRIVING, Place.RESERVED, Place.ORDER, Place.BACKGROUND)


class Items(Changes):
    """Adds, removes, moves, holds and releases items. `service` is the name in errors."""

    def __init__(
        self,
        service: str,
        roster: Roster,
        factory: ModuleFactory,
        policy: Policy,
        reconciler: Reconciler,
    ) -> None:
        super().__init__(service, roster, reconciler)
        self._factory, self._policy = factory, policy
        #: Checks what items are added with, see describe_with.
        self.describer: Describer = DescribesNothing()
        #: What items have to wait for beside their turn.
        self.conditions = Conditions(roster)
        self._keys = Keys(roster, lambda: self.keeper)

    def describe_with(self, describer: Describer) -> None:
        """Check items against the descriptions of their types from now on."""
        self.describer = self._factory.describer = describer

    def add(
        self,
        kind: type[Module],
        args: dict[str, Any],
        key: str | None,
        terms: Terms = PLAIN,
        at: int | None = None,
        later: bool = False,
    ) -> str:
        """Add an item, at the end or at a place. Returns its uid when it does what it should;
        with `later` as soon as it is kept, and it gets its process after that.

        Raises CommandError.
        """
        return self._keys.once(key, lambda: self._add(kind, args, key, terms, later))

    def find_key(self, key: str) -> str | None:
        """The uid of the item that was added with this key, if it is still known."""
        return self._keys.find(key)

    def set_background(self, kind: type[Module], args: dict[str, Any], key: str | None) -> str:
        """Replace the background, likewise."""
        return self._keys.once(key, lambda: self._set_background(kind, args, key))

    def remove(self, uids: list[str]) -> None:
        """Remove items; unknown uids are ignored. Returns once their end has begun, and the right
        ones play. Raises CommandError if that cannot be kept.
        """

        def keep() -> None:
            if uids:
                living = {each.uid: each for each in self.named(uids) if self._is_item(each)}
                self.keeper.keep_removed(dict.fromkeys(uids), living)

        def carry_out() -> list[Module]:
            self.dismiss(named := self.named(uids))
            return named

        self._wait_for_change(keep, carry_out, self._at_once)

    def move(self, uids: list[str]) -> None:
        """Put these first, in this order; the others follow. Returns once the right ones play.
        Raises CommandError if that cannot be kept.
        """

        def keep() -> None:
            if uids:
                self.keeper.keep_order(list(dict.fromkeys(uids)))

        def carry_out() -> list[Module]:
            self._roster.reorder(uids)
            return []

        self._wait_for_change(keep, carry_out, self._one_by_one)

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
        attempt(module, "rest", lambda: module.rest(reason))

    def tell(self, module: Module, cmd: str, args: dict[str, Any]) -> Any:
        """Send a command of the type's own to an item. Returns its answer. Raises CommandError."""
        return module.tell(cmd, self.describer.prepare_command(module, cmd, args))

    def dismiss(self, modules: Iterable[Module]) -> None:
        """Take modules off their places, and so end them."""
        for module in modules:
            self._roster.change(module, Place.NOWHERE)
            if module.state in UNSTARTED:
                module.cancel()

    def _add(
        self,
        kind: type[Module],
        args: dict[str, Any],
        key: str | None,
        terms: Terms,
        later: bool = False,
    ) -> str:
        args = self.describer.prepare("add", kind, args)
        held = len(self._roster.held) - (self._roster.background in self._roster.held)
        index = len(self._roster.order) - held
        blocked = self.conditions.obstacle(kind, terms)
        is_due = terms.window is not None or self._policy.is_due(kind, index)
        if blocked is None and is_due and not later:
            module = self._factory.new_started(kind, args, Place.ARRIVING, key, self.keeper, terms)
            with self._failing(module):
                self.keeper.keep_place(module, Place.ORDER)
            self._roster.change(module, Place.ORDER)
            self._wait_for_new(module)
        else:
            module = self._factory.new_waiting(kind, args, key, self.keeper, terms)
            module.blocked = self.conditions.obstacle(kind, terms)  # after a while, maybe
            self._roster.change(module, Place.ORDER)
            if not later and module in self._policy.due(self._roster):
                self._reconciler.wait_until_started(module)
                self._wait_for_new(module)
        return module.uid

    def _set_background(self, kind: type[Module], args: dict[str, Any], key: str | None) -> str:
        args = self.describer.prepare("set_bg", kind, args)
        module = self._factory.new_started(kind, args, Place.RESERVED, key, self.keeper)

        def keep() -> None:
            self.keeper.keep_place(module, Place.BACKGROUND, self._roster.background)

        def carry_out() -> list[Module]:
            old = [self._roster.background] if self._roster.background else []
            self.dismiss(old)
            module.blocked = self.conditions.obstacle(kind, module.terms)
            self._roster.change(module, Place.BACKGROUND)
            return old

        with self._failing(module):
            old = self._kept(keep, carry_out, self._one_by_one)
        self._reconciler.wait_for(old)
        self._wait_for_new(module)
        return module.uid

    @contextmanager
    def _failing(self, module: Module) -> Iterator[None]:
        """End a new module, whose client gets no uid, if this fails."""
        try:
            yield
        except BaseException:
            self.keeper.keep_end(module, Outcome.FAILED)
            module.removal = "was ended, since it could not be kept"
            self.dismiss([module])
            raise

    def _wait_for_new(self, module: Module) -> None:
        """Wait until a new module does what it should. Raises CommandError if that failed."""
        self._reconciler.wait_for([module])
        if module.failed or self._ended_before_its_place(module):
            module.gone.wait()  # only then it is known how it ended
        if self._ended_before_its_place(module):
            assert module.exit is not None
            self.keeper.keep_end(module, module.exit.outcome)
        if module.failed:
            self.dismiss(self.named({module.uid}))  # a successor that waits to be started
            self.keeper.keep_failed(module)
            raise CommandError(explain(module))

    def _ended_before_its_place(self, module: Module) -> bool:
        """Whether a new module has ended by itself while its place was being kept, so that nobody
        has noted that its item ends.
        """
        return module.exit is not None and not module.exit.cause.is_removal

    def _can_be_held(self, module: Module) -> bool:
        is_waiting = module.state is State.WAITING and not self._reconciler.is_starting(module)
        return is_waiting or module.is_resting or module.state in READY

    def _is_item(self, module: Module) -> bool:
        return module.state not in ENDED and self._roster.place_of(module) in _ITEMS
