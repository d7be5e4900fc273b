"""Standby: processes started in advance, so that `add` need not wait for a program to load.

They have connected and wait for `init`, before which a module does nothing. One greenlet keeps as
many of them as their types ask for: it starts what is missing one after the other, and only while
nothing else is starting.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
from gevent.event import Event

from shmooze.broker.faults import attempt, fail_if_still
from shmooze.broker.roster import Change, Place, Roster
from shmooze.errors import CommandError, ShmoozeError
from shmooze.modules.kind import items_of
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.runtime import clock
from shmooze.runtime.backoff import Backoff

log = logging.getLogger(__name__)


class Standby:
    """Keeps `kind.standby` children ready of each of `kinds`, and for a while those beyond that
    which have served an item of a type with `reuse`.

    `make` returns a new module of the roster, and raises ShmoozeError where there may be no more.
    """

    #: Seconds after which a child that waits is replaced by a fresh one.
    lifetime = 3600.0
    #: The same for one beyond the number that its type asks for.
    spare_lifetime = 60.0
    #: Seconds without a change before one is started, which occupies the loop for a moment: the
    #: answer to the `add` that has taken the last one goes out first.
    quiet_period = 0.05
    #: The delays after attempts that have failed.
    backoff = Backoff(first=0.5, longest=60.0)

    def __init__(
        self,
        kinds: Iterable[type[Module]],
        make: Callable[[type[Module]], Module],
        roster: Roster,
    ) -> None:
        self._set_kinds(kinds)
        self._is_started = False
        #: Whether the next one that is to be retired is waited for; later ones are due later.
        self._has_timer = False
        self._make, self._roster = make, roster
        #: The one that is being prepared.
        self._preparing: Module | None = None
        self._misses: Counter[type[Module]] = Counter()
        self._failures: Counter[type[Module]] = Counter()
        #: When the next attempt may be made of a type that has failed.
        self._next_attempt: dict[type[Module], float] = {}
        self._counts: list[int] = []
        self._wakeup = Event()
        self._is_stopping = False

    def _set_kinds(self, kinds: Iterable[type[Module]]) -> None:
        self._kinds = [kind for kind in kinds if kind.standby or items_of(kind) > 1]
        self._starts_some = any(kind.standby for kind in self._kinds)

    def start(self) -> None:
        """Begin to keep them."""
        if self._kinds and not self._is_started:
            self._is_started = True
            self._roster.listen(self._on_change, Change.PLACE | Change.STATE)
            gevent.spawn(self._keep)

    def renew(self, kinds: Iterable[type[Module]]) -> None:
        """Keep those of other kinds from now on, and end the rest."""
        self._set_kinds(kinds)
        for module in [*([self._preparing] if self._preparing else []), *self._waiting()]:
            if type(module) not in self._kinds:
                module.removal = "was ended, since its type has changed"
                module.cancel()
        known = self._next_attempt.items()
        self._next_attempt = {kind: due for kind, due in known if kind in self._kinds}
        self.start()
        self._wakeup.set()

    def stop(self) -> None:
        """Start no more. Those that wait are their owner's to end."""
        self._is_stopping = True
        self._wakeup.set()

    def has(self, kind: type[Module]) -> bool:
        """Whether one of this type can be taken now."""
        return bool(self._available(kind))

    def take(self, kind: type[Module]) -> Module | None:
        """One of this type, which has connected and waits for `init`, if there is one."""
        if kind not in self._kinds:
            return None
        if kind.standby:
            self._wakeup.set()
        if available := self._available(kind):
            return available[-1]
        self.count_miss(kind)
        return None

    def spare(self, kind: type[Module]) -> Module:
        """One that waits for `init`, for an item that is to go on with its process: the one on
        standby, if the type has any, or a fresh one. Raises CommandError if there is none.
        """
        if kind.standby:
            if not self.has(kind) or (ready := self.take(kind)) is None:
                raise CommandError(f"no {kind.TYPE_STRING} is on standby")
            return ready
        module = self._make(kind)
        module.removal = "was not needed any more"
        attempt(module, "prepare", module.prepare)
        fail_if_still(module, State.STARTING, "prepare")
        if module.state is not State.STANDBY:
            raise CommandError(f"{kind.TYPE_STRING} {module.uid} {module.reason}")
        return module

    def count_miss(self, kind: type[Module]) -> None:
        """Somebody wanted one of this type, and there was none that could be used."""
        self._misses[kind] += 1

    def evict_one(self) -> bool:
        """End one, to make room for another module. Returns False if there is none."""
        preparing = [self._preparing] if self._preparing is not None else []
        for module in [*preparing, *self._waiting()]:
            if module.state in (State.STARTING, State.STANDBY):
                module.cancel()
                return True
        return False

    def show(self) -> dict[str, Any]:
        """{type: {"available", "wanted", "misses"}}; a miss is an `add` that found none."""
        return {
            kind.TYPE_STRING: {
                "available": len(self._available(kind)),
                "wanted": kind.standby,
                "misses": self._misses[kind],
            }
            for kind in self._kinds
            if kind.standby
        }

    def _waiting(self) -> list[Module]:
        """All that can be taken: not one that was given a place already, or is not through
        `prepare`.
        """
        return [
            each
            for each in self._roster.in_state(State.STANDBY)
            if each is not self._preparing and self._roster.place_of(each) is Place.NOWHERE
        ]

    def _available(self, kind: type[Module]) -> list[Module]:
        return [module for module in self._waiting() if type(module) is kind]

    def _on_change(self, _uid: str, _what: Change) -> None:
        # Only if one more may be missing, or another one starts: what plays or pauses all the time
        # must not keep us waiting.
        states = (State.STARTING, State.STANDBY, State.ENDING)
        counts = [len(self._roster.in_state(state)) for state in states]
        if counts != self._counts:
            self._counts = counts
            if self._starts_some or not self._has_timer:
                self._wakeup.set()

    def _is_busy(self) -> bool:
        """Whether a module is being started that somebody waits for."""
        return any(each is not self._preparing for each in self._roster.in_state(State.STARTING))

    def _keep(self) -> None:
        while not self._is_stopping:
            self._wakeup.clear()
            self._retire_the_old()
            kind = None if self._is_busy() else self._missing()
            if kind is None:
                due = self._seconds_until_due()
                self._has_timer = due is not None
                clock.wait(self._wakeup, due)
            elif not clock.wait(self._wakeup, self.quiet_period):
                self._start_one(kind)

    def _missing(self) -> type[Module] | None:
        now = clock.now()
        for kind in self._kinds:
            is_due = self._next_attempt.get(kind, now) <= now
            if is_due and len(self._available(kind)) < kind.standby:
                return kind
        return None

    def _start_one(self, kind: type[Module]) -> None:
        begun = clock.now()
        try:
            module = self._preparing = self._make(kind)
        except ShmoozeError as bad:
            self._put_off(kind, begun, str(bad))
            return
        except Exception:  # a fault of the application's subclass
            log.exception("%s cannot be made", kind.TYPE_STRING)
            self._put_off(kind, begun, "internal error")
            return
        attempt(module, "prepare", module.prepare)
        fail_if_still(module, State.STARTING, "prepare")
        self._preparing = None
        if module.state is State.STANDBY:
            self._failures.pop(kind, None)
            self._next_attempt.pop(kind, None)
        else:
            self._put_off(kind, begun, module.reason)

    def _put_off(self, kind: type[Module], begun: float, why: str) -> None:
        if kind not in self._kinds:  # any more
            return
        self._failures[kind] += 1
        delay = self.backoff.delay(self._failures[kind])
        self._next_attempt[kind] = begun + delay
        log.warning("no %s on standby: %s; trying again in %g s", kind.TYPE_STRING, why, delay)

    def _retire_the_old(self) -> None:
        for module, due in self._retirements():
            if due < clock.now():
                module.cancel()

    def _retirements(self) -> Iterator[tuple[Module, float]]:
        """All that wait, and when each is to be replaced, or ended if it is one too many."""
        spare = {kind: len(self._available(kind)) - kind.standby for kind in self._kinds}
        for module in self._waiting():  # the oldest first
            kind = type(module)
            is_spare = spare.get(kind, 0) > 0
            spare[kind] = spare.get(kind, 0) - 1
            yield module, module.born + (self.spare_lifetime if is_spare else self.lifetime)

    def _seconds_until_due(self) -> float | None:
        times = [*self._next_attempt.values()]
        times += [due for _, due in self._retirements()]
        return max(0.01, min(times) - clock.now()) if times else None
