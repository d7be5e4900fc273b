"""The keeper: saves a change before it is carried out, so that it is not lost.

Strategy. A command first has its change kept, which may wait for a disk, and then carries it out.
If it cannot be kept, the command fails and nothing has changed. So a crash loses nothing that a
client was told, and what was kept is never carried out twice: an item that has ended is not among
the items any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shmooze.broker.roster import Place
from shmooze.modules.exit import Outcome
from shmooze.modules.module import Module
from shmooze.modules.origin import Origin
from shmooze.modules.terms import PLAIN, Terms


@dataclass
class KeptItem:
    """One item of an earlier life of the service."""

    uid: str
    place: Place
    type: str
    args: dict[str, Any]
    origin: Origin
    #: Whether a process was ever started for it.
    has_begun: bool = False
    restarts: int = 0
    #: See Status.
    attempts: int = 0
    held: str | None = None
    #: The state that it has saved itself, as JSON; None: it has saved none.
    saved: bytes | None = None
    terms: Terms = PLAIN
    #: The number of its place in the order; None: it had none yet.
    position: float | None = None
    #: Whether its process may still run somewhere, since the service has crashed.
    may_run: bool = False


@dataclass
class Kept:
    """All that an earlier life of the service has left."""

    #: In order.
    items: Sequence[KeptItem] = ()
    #: What `gone` shows, oldest first.
    gone: Sequence[dict[str, Any]] = ()
    #: Whether that life was stopped, and did not crash.
    was_stopped: bool = True
    #: What `keep_value` has kept, by key.
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Loss:
    """An item of an earlier life that does not come back, and why."""

    item: KeptItem
    #: A sentence without its subject.
    reason: str
    #: Whether the command that added it was answered; if not, its key is free again.
    was_answered: bool


class Keeper(Protocol):
    """Keeps the items of one queue or pool. Methods that may refuse raise CommandError."""

    #: Whether no method waits for anything.
    is_instant: bool

    def load(self) -> Kept:
        """What there is from an earlier life."""

    def begin(self, lost: Mapping[str, Loss], arrived: Mapping[str, float]) -> None:
        """The service has its port: if it does not say `close`, it has crashed.

        `lost` are items of the earlier life that do not come back, by uid, and `arrived` the
        numbers of those that were starting then, and have a place now.
        """

    def keep_new(self, module: Module, place: Place) -> None:
        """A new item, with its number if it has one. Its process is not started before. Raises
        CommandError.
        """

    def keep_place(self, module: Module, place: Place, instead_of: Module | None = None) -> None:
        """The place of an item that has started; for a background, with the removal of the old
        one. May raise CommandError: then the item must not come back either.
        """

    def keep_order(
        self, positions: Mapping[str, float], terms: Mapping[str, Terms] | None = None
    ) -> None:
        """These items have other numbers, by which they are ordered; those of `terms` have other
        terms too. Raises CommandError.
        """

    def keep_held(self, modules: Iterable[Module], reason: str | None) -> None:
        """These are held, or with None released. Raises CommandError."""

    def keep_terms(self, terms: Mapping[str, Terms]) -> None:
        """These items have other terms now, by uid. Raises CommandError."""

    def keep_value(self, key: str, value: Any) -> None:
        """Something that concerns the whole service, as JSON; None: nothing any more. Raises
        CommandError.
        """

    def keep_removed(self, uids: Collection[str], living: Mapping[str, Module]) -> None:
        """These have ended, since a client removes them. Raises CommandError.

        `living` are the modules of those that live. Another one may be an item still: if its
        process was killed, it would come back with the service.
        """

    def keep_attempt(self, module: Module) -> None:
        """The process of an item is about to be started. Waits, and never refuses."""

    def keep_end(
        self,
        module: Module,
        outcome: Outcome,
        again: Module | None = None,
        then: Callable[[], Any] | None = None,
    ) -> None:
        """An item has ended, or is about to. An item that has an outcome keeps it. With `again`,
        a new one follows it, which is kept together with that; `then` is called when that is done.
        Returns at once and never fails.
        """

    def keep_failed(self, module: Module) -> None:
        """The command that added an item is about to be refused: the item must not come back, and
        its key is free. Waits, and never refuses.
        """

    def keep_report(self, module: Module, report: dict[str, Any]) -> None:
        """A module is gone, see views.exit_report. Returns at once."""

    def when_kept(self, call: Callable[[], Any]) -> None:
        """Call this when all is kept that was to be kept before. Returns at once."""

    def find_outcome(self, uid: str) -> Outcome | None:
        """How an item has ended; None: it has not, or that is not kept. May raise StateError."""

    def known(self, uids: Collection[str]) -> Collection[str] | None:
        """Those of these items that are kept, living or ended; None: the ended ones are not kept.

        May raise StateError.
        """

    def count_batch(self, batch: str) -> Mapping[str, int] | None:
        """How many items of a batch have ended in each way; None: that is not kept."""

    def find_key(self, key: str) -> str | None:
        """The uid of an item that has ended not long ago and was added with this key."""

    def forget_key(self, key: str) -> None:
        """The command with this key has failed. Returns at once."""

    def problem(self) -> str | None:
        """Why nothing can be kept at present; None: it can. It may take some seconds."""

    def close(self) -> None:
        """The service was stopped. Writes what is not written yet."""


class KeepsNothing:
    """The keeper of a service that forgets everything when it ends."""

    is_instant = True

    def load(self) -> Kept:
        return Kept()

    def begin(self, lost: Mapping[str, Loss], arrived: Mapping[str, float]) -> None:
        pass

    def keep_new(self, module: Module, place: Place) -> None:
        pass

    def keep_place(self, module: Module, place: Place, instead_of: Module | None = None) -> None:
        pass

    def keep_order(
        self, positions: Mapping[str, float], terms: Mapping[str, Terms] | None = None
    ) -> None:
        pass

    def keep_held(self, modules: Iterable[Module], reason: str | None) -> None:
        pass

    def keep_terms(self, terms: Mapping[str, Terms]) -> None:
        pass

    def keep_value(self, key: str, value: Any) -> None:
        pass

    def keep_removed(self, uids: Collection[str], living: Mapping[str, Module]) -> None:
        pass

    def keep_attempt(self, module: Module) -> None:
        pass

    def keep_end(
        self,
        module: Module,
        outcome: Outcome,
        again: Module | None = None,
        then: Callable[[], Any] | None = None,
    ) -> None:
        if then is not None:
            then()

    def keep_failed(self, module: Module) -> None:
        pass

    def keep_report(self, module: Module, report: dict[str, Any]) -> None:
        pass

    def when_kept(self, call: Callable[[], Any]) -> None:
        call()

    def find_outcome(self, uid: str) -> Outcome | None:
        return None

    def known(self, uids: Collection[str]) -> Collection[str] | None:
        return None

    def count_batch(self, batch: str) -> Mapping[str, int] | None:
        return None

    def find_key(self, key: str) -> str | None:
        return None

    def forget_key(self, key: str) -> None:
        pass

    def problem(self) -> str | None:
        return None

    def close(self) -> None:
        pass
