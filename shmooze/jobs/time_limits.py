"""Limits of time: a module that has played for too long is ended as failed.

Time that it is suspended does not count. Each retry has the whole time again.
"""

from __future__ import annotations

import gevent

from shmooze.broker.roster import Change, Roster
from shmooze.errors import ModuleError
from shmooze.modules.lifecycle import ENDED, State
from shmooze.modules.module import Module
from shmooze.runtime import clock


class TimeLimits:
    """Watches those modules of a roster whose types have a `time_limit`."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        #: Seconds that each has left, when it began to play; None: it does not play.
        self._left: dict[Module, float] = {}
        self._timers: dict[Module, gevent.Greenlet] = {}
        roster.listen(self._on_change, Change.STATE | Change.PLACE)

    def _on_change(self, uid: str, _what: Change) -> None:
        for known in [each for each in self._timers if each.uid == uid]:
            if known.state is not State.PLAYING:
                self._pause(known)
        module = self._roster.find(uid)
        if module is None or not isinstance(limit := module.time_limit, (int, float)):
            return  # an application may use the name for something else
        if module.state is State.PLAYING and module not in self._timers:
            left = self._left.setdefault(module, limit)
            self._timers[module] = gevent.spawn(self._watch, module, clock.now(), left)

    def _pause(self, module: Module) -> None:
        self._timers.pop(module).kill(block=False)
        if module.state in ENDED:
            self._left.pop(module, None)

    def _watch(self, module: Module, began: float, left: float) -> None:
        try:
            ended = clock.wait(module.gone, left)
        finally:
            if module in self._left:
                self._left[module] = left - (clock.now() - began)
        if not ended and module.state is State.PLAYING:
            module.fail(ModuleError(f"took over {module.time_limit:g} s"))
