"""Replacement: the process of an item that has grown old or large is replaced by a fresh one.

Strategy. The fresh process is loaded and has connected before anything happens to the old one. Then
the old one is told to end, as by `rm`, and can save its state. When it is gone, the item goes on
with the fresh one, which gets that state and `init`. If no fresh one comes up, the old one stays.

They are replaced one after the other, so that many of the same age do not all load at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import gevent

from shmooze.broker.broker import Broker
from shmooze.broker.roster import Place
from shmooze.errors import CommandError, ShmoozeError
from shmooze.modules.exit import EndCause
from shmooze.modules.kind import bounds_of
from shmooze.modules.lifecycle import READY, State
from shmooze.modules.module import Module
from shmooze.modules.web_server import web_server_of
from shmooze.processes.limits import MIB
from shmooze.runtime import clock
from shmooze.runtime.backoff import Backoff

log = logging.getLogger(__name__)

_PLACES = (Place.ORDER, Place.BACKGROUND)


class Replacement:
    """Replaces processes of those items of a broker whose types say when."""

    #: Seconds between two looks at them.
    interval = 5.0
    #: The delays after attempts that have failed, for each type.
    backoff = Backoff(first=10.0, longest=600.0)

    def __init__(self, broker: Broker) -> None:
        self._broker, self._roster = broker, broker.roster
        #: Fresh processes, by the uids of their items.
        self._spares: dict[str, Module] = {}
        self._failures: dict[type[Module], int] = {}
        self._next_attempt: dict[type[Module], float] = {}
        broker.supervision.replace = self._go_on
        self._watching: gevent.Greenlet | None = None
        if broker.is_opening:
            broker.on_open.append(self._begin)
        else:
            self._begin()
        broker.on_stop.append(self._end)

    def _begin(self) -> None:
        self._watching = gevent.spawn(self._watch)

    def _end(self) -> None:
        if self._watching is not None:
            self._watching.kill(block=False)

    def _watch(self) -> None:
        while True:
            clock.sleep(self.interval)
            for module, reason in self._due():
                self._replace(module, reason)

    def _due(self) -> list[tuple[Module, str]]:
        """Those that are to be replaced now, and why."""
        if all(bounds_of(kind) == (None, None) for kind in self._broker.kinds()):
            return []
        now = clock.now()
        playing = [
            each
            for each in self._roster.everyone
            if self._may_be_replaced(each) and self._next_attempt.get(type(each), now) <= now
        ]
        due = {each: reason for each in playing if (reason := _age(each, now))}
        return [*due.items(), *_too_large(each for each in playing if each not in due)]

    def _may_be_replaced(self, module: Module) -> bool:
        is_placed = self._roster.place_of(module) in _PLACES
        return is_placed and module.state in READY and bounds_of(module) != (None, None)

    def _replace(self, module: Module, reason: str) -> None:
        kind = type(module)
        if _can_load_ahead(kind):
            try:
                self._spares[module.uid] = self._broker.items.factory.standby.spare(kind)
            except ShmoozeError as bad:
                self._failures[kind] = failures = self._failures.get(kind, 0) + 1
                delay = self.backoff.delay(failures)
                self._next_attempt[kind] = clock.now() + delay
                log.warning("%r goes on, though it %s: %s", module, reason, bad)
                return
        self._failures.pop(kind, None)
        if self._may_be_replaced(module):
            module.rest(EndCause.replaced(f"was replaced: it {reason}"))
        if module.exit is None or not module.exit.cause.is_replacement:
            self._drop_spare(module.uid)  # it was removed meanwhile, say

    def _go_on(self, ended: Module, successor: Module) -> None:
        """Let an item go on at once when its old process has gone. The others wait for that."""
        supervision = self._broker.supervision
        assert ended.exit is not None
        successor.is_awaited = ended.exit.state == State.PLAYING.shown
        ended.gone.wait()
        if successor.state is State.BACKOFF and ended.exit.cause.is_final:
            supervision.end_item(ended, successor)
        elif successor.state is State.BACKOFF:
            self._hand_over(successor)
            has_process = successor.has_process
            supervision.start_again(successor if has_process else supervision.renew(successor))
        self._drop_spare(successor.uid)

    def _hand_over(self, successor: Module) -> None:
        """Give an item its fresh process, if that still waits. Does not wait."""
        spare = self._spares.get(successor.uid)
        if spare is not None and spare.state is State.STANDBY:
            del self._spares[successor.uid]
            successor.take_over(spare)
            successor.is_handed_on = True  # if it is of no use, the item gets another one
            self._roster.forget(spare)

    def _drop_spare(self, uid: str) -> None:
        if (spare := self._spares.pop(uid, None)) is not None:
            spare.cancel()


def _can_load_ahead(kind: type[Module]) -> bool:
    """Whether a process can come up before it is known what it is granted, or where it listens."""
    return web_server_of(kind) is None and not kind.needs


def _age(module: Module, now: float) -> str | None:
    longest, _ = bounds_of(module)
    age = now - module.born
    return None if longest is None or age < longest else f"ran for {longest:g} s"


def _too_large(modules: Iterable[Module]) -> list[tuple[Module, str]]:
    # At the same time, so that launchers can look at their machine once for all.
    jobs = [
        (module, gevent.spawn(_memory_of, module))
        for module in modules
        if bounds_of(module)[1] is not None
    ]
    found = []
    for module, job in jobs:
        used, most = job.get() / MIB, bounds_of(module)[1]
        if most is not None and used > most:
            found.append((module, f"used {used:.0f} MB, and `max_memory_mb` is {most:g}"))
    return found


def _memory_of(module: Module) -> int:
    try:
        return module.usage().memory
    except CommandError:
        return 0  # which is not known here
