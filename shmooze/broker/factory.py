"""The module factory: checks limits, takes a module from standby or makes one, sends `init`."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from shmooze.access.caller import caller, caller_name
from shmooze.broker.admission import Admission
from shmooze.broker.faults import check_changed
from shmooze.broker.launchers import Launchers
from shmooze.broker.roster import Change, Place, Roster
from shmooze.broker.standby import Standby
from shmooze.broker.views import explain
from shmooze.errors import CommandError, ModuleError, TooMany
from shmooze.modules.exit import Stale, fault_of
from shmooze.modules.lifecycle import State
from shmooze.modules.module import LogFunction, Module
from shmooze.modules.origin import Origin
from shmooze.runtime import clock

log = logging.getLogger(__name__)


class ModuleFactory:
    """Makes modules for `service`, a queue or pool, from when it is opened until it is closed.

    Each is in the roster from the start. `on_change` is called at each change of its state.
    """

    def __init__(
        self, service: str, roster: Roster, on_change: Callable[[Module], None], log: LogFunction
    ) -> None:
        self._service, self._roster, self._on_change, self._log = service, roster, on_change, log
        self.standby = Standby([], self._make, roster)
        self._launchers: Launchers | None = None
        self._is_closed = False

    def open(
        self, launchers: Launchers, admission: Admission, kinds: Iterable[type[Module]]
    ) -> None:
        """From now on there can be modules."""
        self._launchers, self._admission = launchers, admission
        self.standby = Standby(kinds, self._make, self._roster)
        self.standby.start()

    def close(self) -> None:
        """From now on there can be no new ones."""
        self._is_closed = True
        self.standby.stop()

    def new_waiting(
        self, kind: type[Module], args: dict[str, Any], uid: str | None = None
    ) -> Module:
        """A module that gets its process later. Raises CommandError.

        `uid` is that of a module which comes back; a new one gets its own.
        """
        self._make_room()
        self._count_for_caller()
        module = self._make(kind, State.WAITING, uid)
        module.args, module.origin = args, Origin(caller_name(), clock.time())
        return module

    def new_started(self, kind: type[Module], args: dict[str, Any], place: Place) -> Module:
        """A module that has accepted `init`. It stands at `place` while it starts.

        It comes from standby if there is one that responds; otherwise it is a fresh one. Raises
        CommandError.
        """
        if not self.standby.has(kind):
            self._make_room()
        self._count_for_caller()
        module = self.standby.take(kind) or self._make(kind)
        try:
            self._bring_up(module, args, place)
        except Stale:
            log.warning(
                "%s: %r from standby did not respond: starting another", self._service, module
            )
            self.standby.count_miss(kind)
            self._make_room()
            module = self._make(kind)
            self._bring_up(module, args, place)
        return module

    def _bring_up(self, module: Module, args: dict[str, Any], place: Place) -> None:
        module.origin = Origin(caller_name(), clock.time())
        self._roster.change(module, place)
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
        assert self._launchers is not None
        module = kind(
            uid or str(uuid.uuid4()),
            self._launchers.of(kind),
            self._on_change,
            self._log,
            lambda module: self._roster.tell(module, Change.PARAMETERS),
            state,
        )
        self._roster.change(module)
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
        if self._is_closed:
            raise CommandError(f"{self._service} is shutting down")
        if self._launchers is None:
            raise CommandError(f"{self._service} is still starting")
        ending = len(self._roster.in_state(State.ENDING))
        self._admission.find_room(len(self._roster.everyone) - ending, ending)

    def _count_for_caller(self) -> None:
        if (who := caller.get()) is not None:
            self._admission.count(who.address)
