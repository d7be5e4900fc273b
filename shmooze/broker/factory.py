"""Where the modules of a queue or pool come from, and which of them have processes.

How many there may be, how often a client may start one, whether one on standby is there already:
all that is asked before a module is made is asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from shmooze.broker.admission import Admission
from shmooze.broker.standby import Standby
from shmooze.errors import CommandError, TooMany
from shmooze.lib.service import caller
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.processes.contract import Launcher

#: construct(kind, launcher, state): a module without a process
Construct = Callable[[type[Module], Launcher, State], Module]


class Nursery:
    """Makes modules for `name`, a queue or pool, from when it is opened until it is closed."""

    def __init__(self, name: str, construct: Construct) -> None:
        self._name, self._construct = name, construct
        #: Every module with a process that is not yet gone.
        self.living: dict[Module, None] = {}
        #: Those of them that are being ended.
        self.ending: set[Module] = set()
        #: Those that have a place and no process yet.
        self.waiting: set[Module] = set()
        self.standby = Standby([], self._make, self._is_starting)
        self._launcher: Launcher | None = None
        self._closed = False

    def open(self, launcher: Launcher, admission: Admission, kinds: Iterable[type[Module]]) -> None:
        """From now on there can be modules."""
        self._launcher, self._admission = launcher, admission
        self.standby = Standby(kinds, self._make, self._is_starting)
        self.standby.start()

    def close(self) -> None:
        """From now on there can be no new ones."""
        self._closed = True
        self.standby.stop()

    def new(self, kind: type[Module]) -> Module:
        """A module that has not got `init` yet, on behalf of the caller. Raises CommandError."""
        if not self.standby.has(kind):
            self._make_room()
        self._count_for_caller()
        return self.standby.take(kind) or self._make(kind)

    def new_instead(self, kind: type[Module]) -> Module:
        """A fresh one for a caller who got one from standby that was dead or asleep."""
        self.standby.count_miss(kind)
        self._make_room()
        return self._make(kind)

    def new_waiting(self, kind: type[Module], args: dict[str, Any]) -> Module:
        """One that gets its process later, by `begin`. Raises CommandError."""
        self._make_room()
        self._count_for_caller()
        module = self._make(kind, State.WAITING)
        module.args = args
        return module

    def begin(self, module: Module) -> bool:
        """A waiting module is to be started now; False: somebody does so already."""
        if self._closed or module in self.living:
            return False
        self.waiting.discard(module)
        self.living[module] = None
        return True

    def forget(self, module: Module) -> None:
        """It has gone."""
        self.living.pop(module, None)
        self.ending.discard(module)
        self.waiting.discard(module)

    def _make(self, kind: type[Module], state: State = State.STARTING) -> Module:
        self._find_room()
        assert self._launcher is not None
        module = self._construct(kind, self._launcher, state)
        if state is State.WAITING:
            self.waiting.add(module)
        else:
            self.living[module] = None
        return module

    def _make_room(self) -> None:
        """Find room for a module that somebody wants, if need be at the cost of one on standby."""
        try:
            self._find_room()
        except TooMany:
            if not self.standby.give_way():
                raise

    def _find_room(self) -> None:
        """Raise CommandError where there can be no module more."""
        if self._closed:
            raise CommandError(f"{self._name} is shutting down")
        if self._launcher is None:
            raise CommandError(f"{self._name} is still starting")
        ending = len(self.ending)
        self._admission.find_room(len(self.living) - ending + len(self.waiting), ending)

    def _count_for_caller(self) -> None:
        if (who := caller.get()) is not None:
            self._admission.count(who.address)

    def _is_starting(self) -> bool:
        """Whether a module is being started that somebody waits for."""
        return any(
            module.state is State.STARTING and module.next_attempt is None
            for module in self.living
            if module not in self.standby
        )
