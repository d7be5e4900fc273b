"""The items of a queue or pool: added and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from msgspec.structs import replace

from shmooze.broker.arranging import Arranging
from shmooze.broker.conditions import Conditions
from shmooze.broker.describer import Describer, DescribesNothing
from shmooze.broker.factory import ModuleFactory
from shmooze.broker.holding import Holding
from shmooze.broker.keys import Keys
from shmooze.broker.killed import keep_failed
from shmooze.broker.ordering import Entry
from shmooze.broker.policy import Policy
from shmooze.broker.reconcile import Reconciler
from shmooze.broker.roster import Place, Roster
from shmooze.broker.views import explain
from shmooze.errors import CommandError
from shmooze.modules.exit import Outcome
from shmooze.modules.kind import LAZY
from shmooze.modules.lifecycle import ENDED, UNSTARTED
from shmooze.modules.module import Module
from shmooze.modules.terms import PLAIN, Terms

#: Why an item ended that was skipped.
SKIPPED = "was skipped"
#: Places of modules that are items.
_ITEMS = (Place.ARRIVING, Place.RESERVED, Place.ORDER, Place.BACKGROUND)


class Items(Arranging, Holding):
    """Adds and removes items. `service` is the name in errors."""

    def __init__(
        self,
        service: str,
        roster: Roster,
        factory: ModuleFactory,
        policy: Policy,
        reconciler: Reconciler,
    ) -> None:
        super().__init__(service, roster, reconciler)
        self._factory = self.factory = factory
        self._policy = policy
        #: Checks what items are added with, see describe_with.
        self.describer: Describer = DescribesNothing()
        #: What items have to wait for beside their turn.
        self.conditions = Conditions(roster)
        #: Surrounds the adding of an item, whose terms it may complete. Raises CommandError for one
        #: that is refused.
        self.admit: Callable[[Entry], AbstractContextManager[Any]] = nullcontext
        self._keys = Keys(roster, lambda: self.keeper)

    @property
    def has_owner_limits(self) -> bool:
        """Whether there are limits for each owner."""
        return self.admit is not nullcontext

    def use_policy(self, policy: Policy) -> None:
        """Let another policy decide which new items are started at once."""
        self._policy = policy

    def describe_with(self, describer: Describer) -> None:
        """Check items against the descriptions of their types from now on."""
        self.describer = self._factory.describer = describer

    def limits_available(self, types: Iterable[Mapping[str, type[Module]]]) -> dict[str, Any]:
        """What `describe` says of limits: {"limits_available": {TYPE: {…}}}, if types have any."""
        found = self._factory.limits_available(kind for each in types for kind in each.values())
        return {"limits_available": found} if found else {}

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
        if at is not None and at < 0:
            raise CommandError("add: argument `at`: must be 0 or more")
        return self._keys.once(key, lambda: self._add(kind, args, key, terms, at, later))

    def find_key(self, key: str) -> str | None:
        """The uid of the item that was added with this key, if it is still known."""
        return self._keys.find(key)

    def set_background(self, kind: type[Module], args: dict[str, Any], key: str | None) -> str:
        """Replace the background, likewise."""
        return self._keys.once(key, lambda: self._set_background(kind, args, key))

    def remove(self, uids: list[str], reason: str | None = None) -> None:
        """Remove items, for a reason of its own if one is given; unknown uids are ignored. Returns
        once their end has begun, and the right ones play. Raises CommandError if that cannot be
        kept.
        """

        def keep() -> None:
            if not uids:
                return
            living = {each.uid: each for each in self.named(uids) if self._is_item(each)}
            before = {module: module.removal for module in living.values()}
            for module in living.values():
                module.removal = reason or module.removal
            try:
                self.keeper.keep_removed(dict.fromkeys(uids), living)
            except BaseException:
                for module, removal in before.items():
                    module.removal = removal
                raise

        def carry_out() -> list[Module]:
            named = self.named(uids)
            for module in named:
                module.removal = reason or module.removal
            self.dismiss(named)
            return named

        self._wait_for_change(keep, carry_out, self._at_once)

    def skip(self, uid: str | None) -> str | None:
        """Remove the item that plays; with a uid only that one. Returns its uid; None if none
        plays. Raises CommandError.
        """
        playing = [module.uid for module in self.current]
        if uid is None and len(playing) > 1:
            words = f"{len(playing)} items play in {self._service}: name one of them by `uid`"
            raise CommandError(f"skip: {words}")
        if uid is not None and uid not in playing:
            raise CommandError(f"skip: {uid!r} does not play in {self._service}")
        if skipped := uid or next(iter(playing), None):
            self.remove([skipped], SKIPPED)
        return skipped

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
        at: int | None = None,
        later: bool = False,
    ) -> str:
        args = self.describer.prepare("add", kind, args)
        if at is not None and self.ordering.marks_moved:
            terms = replace(terms, moved=True)
        entry = Entry(terms)
        with self.admit(entry):
            entry.terms = terms = self.ordering.terms_of_new(entry.terms)
            if not later and self._is_due(kind, terms, at):
                module = self._add_started(kind, args, key, terms, at)
            else:
                module = self._factory.new_waiting(
                    *(kind, args, key, self.keeper, terms),
                    lambda module: self._enter_line(module, at),
                )
                module.blocked = self.conditions.obstacle(kind, terms)  # after a while, maybe
                self._roster.change(module, Place.ORDER)
                if not later and self._is_started_now(module):
                    self._reconciler.wait_until_started(module)
                    self._wait_for_new(module)
        return module.uid

    def _add_started(
        self,
        kind: type[Module],
        args: dict[str, Any],
        key: str | None,
        terms: Terms,
        at: int | None,
    ) -> Module:
        """Add an item whose process is started at once, and wait until it does what it should."""
        module = self._factory.new_started(kind, args, Place.ARRIVING, key, self.keeper, terms)
        with self._failing(module):
            self._enter_line(self._latest(module), at)
            self.keeper.keep_place(self._latest(module), Place.ORDER)
        self._roster.change(self._latest(module), Place.ORDER)
        self._wait_for_new(module)
        return module

    def _latest(self, module: Module) -> Module:
        """The module that stands for the item of this one, which may have been started again."""
        if (found := self._roster.find(module.uid)) is not None:
            return found
        living = [each for each in self.named({module.uid}) if each.state not in ENDED]
        return living[0] if living else module

    def _is_due(self, kind: type[Module], terms: Terms, at: int | None) -> bool:
        """Whether the process of a new item is started at once."""
        if self.conditions.obstacle(kind, terms) is not None:
            return False
        if kind.spawn == LAZY and self._reconciler.pause is not None:
            return False
        if terms.window is not None:
            return True
        held = self._roster.held
        if at is not None:
            index = sum(module not in held for module in self._roster.order[:at])
        else:
            index = len(self._roster.order) - len(held) + (self._roster.background in held)
        return self._policy.is_due(kind, index)

    def _is_started_now(self, module: Module) -> bool:
        """Whether the process of one that waits is about to be started."""
        return self._reconciler.pause is None and module in self._policy.due(self._roster)

    def _set_background(self, kind: type[Module], args: dict[str, Any], key: str | None) -> str:
        args = self.describer.prepare("set_bg", kind, args)
        module = self._factory.new_started(kind, args, Place.RESERVED, key, self.keeper)

        def keep() -> None:
            self.keeper.keep_place(self._latest(module), Place.BACKGROUND, self._roster.background)

        def carry_out() -> list[Module]:
            old = [self._roster.background] if self._roster.background else []
            self.dismiss(old)
            latest = self._latest(module)
            latest.blocked = self.conditions.obstacle(kind, latest.terms)
            self._roster.change(latest, Place.BACKGROUND)
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
            self._roster.line.leave(self._latest(module))
            self.dismiss([module, *self.named({module.uid})])
            raise

    def _wait_for_new(self, module: Module) -> None:
        """Wait until a new module does what it should. Raises CommandError if that failed."""
        self._reconciler.wait_for([module])
        if module.failed and module.retries and self._roster.find(module.uid) is not None:
            return  # it is tried again
        if module.failed or self._ended_before_its_place(module):
            module.gone.wait()  # only then it is known how it ended
        if module.failed:
            self.dismiss(self.named({module.uid}))  # a successor that waits to be started
            keep_failed(self.keeper, module)
            raise CommandError(explain(module))
        if self._ended_before_its_place(module):
            assert module.exit is not None
            self.keeper.keep_end(module, module.exit.outcome)

    def _ended_before_its_place(self, module: Module) -> bool:
        """Whether a new module has ended by itself while its place was being kept, so that nobody
        has noted that its item ends.
        """
        return module.exit is not None and not module.exit.cause.is_removal

    def _is_item(self, module: Module) -> bool:
        return module.state not in ENDED and self._roster.place_of(module) in _ITEMS
