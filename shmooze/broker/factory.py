"""The module factory: checks limits, takes a module from standby or makes one, sends `init`."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from gevent.event import Event

from shmooze.access.caller import caller, caller_name
from shmooze.broker.admission import Admission
from shmooze.broker.definitions import Definitions
from shmooze.broker.describer import Describer, DescribesNothing
from shmooze.broker.faults import check_changed
from shmooze.broker.keeper import Keeper, KeepsNothing, KeptItem
from shmooze.broker.killed import keep_failed
from shmooze.broker.launchers import Launchers, limited
from shmooze.broker.reuse import Reuse
from shmooze.broker.roster import Change, Place, Roster
from shmooze.broker.standby import Standby
from shmooze.broker.views import explain
from shmooze.errors import CommandError, ModuleError, TooMany
from shmooze.modules.exit import Outcome, Stale, fault_of
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.modules.origin import Origin
from shmooze.modules.requests import LogFunction
from shmooze.modules.terms import PLAIN, Terms
from shmooze.processes.contract import Launcher, OutputLine
from shmooze.runtime import clock

log = logging.getLogger(__name__)

NO_KEEPER = KeepsNothing()


class ModuleFactory:
    """Makes modules for `service`, a queue or pool, from when it is opened until it is closed.

    Each is in the roster from the start. `on_change` is called at each change of its state.
    """

    def __init__(
        self, service: str, roster: Roster, on_change: Callable[[Module], None], log: LogFunction
    ) -> None:
        self._service, self._roster, self._on_change, self._log = service, roster, on_change, log
        self.standby = Standby([], self._make, roster)
        #: Hands processes on to further items.
        self.reuse = Reuse(roster, self.standby, self._build)
        self._launchers: Launchers | None = None
        self._admission: Admission | None = None
        #: Modules that are being kept, and are not in the roster yet.
        self._unlisted = 0
        #: Which definitions of their types items get.
        self.definitions = Definitions(roster, self._build)
        #: Knows how items are shown.
        self.describer: Describer = DescribesNothing()
        #: Set once it is opened or closed.
        self._is_decided = Event()
        #: Called with each line that a module prints, and its uid; None: nobody wants them all.
        self.on_output: Callable[[str, OutputLine], None] | None = None
        #: Whether there can be no new modules any more.
        self.is_closed = False

    @property
    def local_launcher(self) -> Launcher:
        """Starts processes on this machine."""
        assert self._launchers is not None
        return self._launchers.local

    def open(
        self, launchers: Launchers, admission: Admission, kinds: Iterable[type[Module]]
    ) -> None:
        """From now on there can be modules."""
        self._launchers, self._admission = launchers, admission
        self._is_decided.set()
        self.standby = Standby(kinds, self._make, self._roster)
        self.standby.start()
        self.reuse = Reuse(self._roster, self.standby, self._build)

    def renew(
        self,
        kinds: Iterable[type[Module]],
        outdated: Iterable[type[Module]],
        quota: dict[str, int | None],
    ) -> None:
        """There are other types on offer, and other limits, see Admission. Those that are
        `outdated` get no new processes.
        """
        if self._admission is not None:
            self._admission.renew(quota)
        self.definitions.outdate(outdated)
        self.standby.renew(kinds)

    def close(self) -> None:
        """From now on there can be no new ones."""
        self.is_closed = True
        self._is_decided.set()
        self.standby.stop()
        self.reuse.close()

    def limits_available(self, kinds: Iterable[type[Module]]) -> dict[str, dict[str, str | None]]:
        """See Launchers. Waits until the service is open, since nobody knows before."""
        if not (having := limited(kinds)):
            return {}
        self._is_decided.wait()
        return {} if self._launchers is None else self._launchers.limits_available(having)

    def restored(self, kind: type[Module], item: KeptItem, launchers: Launchers) -> Module:
        """A module of an earlier life of the service, which is not in the roster yet. It counts for
        no limit, and gets its process later.
        """
        self._launchers = launchers
        state = State.WAITING if item.held is None else State.HELD
        module = self._build(kind, state, item.uid)
        module.args, module.origin, module.saved = item.args, item.origin, item.saved
        module.position = item.position
        module.has_begun, module.attempts = item.has_begun, item.attempts
        module.may_run_already = item.may_run
        module.restarts.count, module.held, module.terms = item.restarts, item.held, item.terms
        return module

    def repeated(self, ended: Module, terms: Terms) -> Module:
        """A module with the type, the args and the owner of one that has ended. It is not in the
        roster yet, and counts for no limit.
        """
        module = self._build(type(ended), State.WAITING)
        module.args, module.terms = ended.args, terms
        module.origin = Origin(ended.origin.by, clock.time())
        return self.definitions.renewed(module)

    def new_waiting(
        self,
        kind: type[Module],
        args: dict[str, Any],
        key: str | None = None,
        keeper: Keeper = NO_KEEPER,
        terms: Terms = PLAIN,
        enter: Callable[[Module], None] = lambda module: None,
    ) -> Module:
        """A module that gets its process later, its number in the line by `enter`, and its place
        from the caller. Raises CommandError.
        """
        self._make_room()
        self._count_for_caller()
        module = self._build(kind, State.WAITING)
        module.args, module.origin, module.terms = args, _origin(key), terms
        self._unlisted += 1
        try:
            enter(module)
            self._keep_new(module, Place.ORDER, keeper)
        except BaseException:
            self._roster.line.leave(module)
            raise
        finally:
            self._unlisted -= 1
        return self.definitions.renewed(module)  # for what has changed while it was being kept

    def new_started(
        self,
        kind: type[Module],
        args: dict[str, Any],
        place: Place,
        key: str | None = None,
        keeper: Keeper = NO_KEEPER,
        terms: Terms = PLAIN,
    ) -> Module:
        """A module that has accepted `init`. It stands at `place` while it starts.

        It comes from standby if there is one that responds; otherwise it is a fresh one. Raises
        CommandError.
        """
        if not self.standby.has(kind):
            self._make_room()
        self._count_for_caller()
        module = self.standby.take(kind) or self._make(kind)
        module.args, module.origin, module.terms = args, _origin(key), terms
        self._roster.change(module, place)
        self._keep_new(module, place, keeper)
        try:
            try:
                self._bring_up(module, args)
            except Stale:
                module = self._instead_of(module, place)
                self._bring_up(module, args)
        except Exception:
            keep_failed(keeper, module)
            raise
        except BaseException:  # whoever wanted it has given it up
            keeper.keep_end(module, Outcome.FAILED)
            raise
        return module

    def _keep_new(self, module: Module, place: Place, keeper: Keeper) -> None:
        """Have a new item kept, or forget it."""
        try:
            keeper.keep_new(module, place)
        except BaseException as bad:
            if not isinstance(bad, CommandError):  # given up: it may be kept all the same
                keeper.keep_end(module, Outcome.FAILED)
            if module.state is State.STANDBY:
                self._roster.change(module, Place.NOWHERE)
            elif module in self._roster.everyone:
                self._roster.forget(module)
            raise

    def _instead_of(self, stale: Module, place: Place) -> Module:
        """A fresh module for the same item as one from standby that does not respond."""
        log.warning("%s: %r from standby did not respond: starting another", self._service, stale)
        self.standby.count_miss(type(stale))
        self._make_room()
        module = self._make(type(stale), uid=stale.uid)
        module.args, module.origin, module.terms = stale.args, stale.origin, stale.terms
        self._roster.change(module, place)
        return module

    def _bring_up(self, module: Module, args: dict[str, Any]) -> None:
        try:
            before = module.state
            module.start(args)
            check_changed(module, before, "start")
        except Stale:
            raise
        except ModuleError as bad:
            module.fail(bad)  # where that was not done yet
            raise CommandError(explain(module)) from bad
        except Exception as bug:  # a fault of ours, or of the application's subclass
            module.fail(fault_of("start", bug))
            if isinstance(bug, CommandError):
                raise
            log.exception("%s: %r: `start` failed", self._service, module)
            module.gone.wait()
            raise CommandError(explain(module)) from bug
        except BaseException:  # whoever wanted it has given it up
            module.fail(ModuleError("was given up while it started"))
            raise

    def _make(
        self, kind: type[Module], state: State = State.STARTING, uid: str | None = None
    ) -> Module:
        self._find_room()
        module = self._build(kind, state, uid)
        self._roster.change(module)
        return module

    def _build(self, kind: type[Module], state: State, uid: str | None = None) -> Module:
        assert self._launchers is not None
        module = kind(
            uid or str(uuid.uuid4()),
            self._launchers.of(kind),
            self._on_change,
            self._log,
            lambda module: self._roster.tell(module, Change.PARAMETERS),
            state,
        )
        module.presentation = self.describer.presentation(kind)
        module.on_output = self.on_output
        module.on_save = lambda module: self._roster.tell(module, Change.SAVED)
        module.on_commands = lambda module: self._roster.tell(module, Change.COMMANDS)
        module.on_done = lambda module: (
            not self.definitions.is_outdated(type(module)) and self.reuse.keep(module)
        )
        return module

    def _make_room(self) -> None:
        """Make room for a module that a client wants, if necessary by ending one on standby."""
        try:
            self._find_room()
        except TooMany:
            if not self.standby.evict_one():
                raise

    def _find_room(self) -> None:
        """Raise CommandError if there is no room for another module."""
        self._is_decided.wait()  # a command may come while the service is still starting
        if self.is_closed or self._admission is None:
            raise CommandError(f"{self._service} is shutting down")
        ending = len(self._roster.in_state(State.ENDING))
        placed = len(self._roster.everyone) - ending + self._unlisted
        self._admission.find_room(placed, ending)

    def _count_for_caller(self) -> None:
        who = caller.get()
        if self._admission is not None and who is not None and who.address:  # not a schedule
            self._admission.count(who.address)


def _origin(key: str | None) -> Origin:
    return Origin(caller_name(), clock.time(), key)
