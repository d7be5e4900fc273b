"""Limits of time: a module that has played for too long is ended as failed.

Time that it is suspended does not count. Each retry has the whole time again.
"""

from __future__ import annotations

from dataclasses import dataclass

import gevent

from shmooze.broker.roster import Change, Roster
from shmooze.errors import ModuleError
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.runtime import clock


@dataclass
class Account:
    """The time of one module."""

    module: Module
    #: Seconds that it had left when it last began to play, and when that was.
    left: float
    began: float = 0.0
    timer: gevent.Greenlet | None = None


class TimeLimits:
    """Watches those modules of a roster whose types have a `time_limit`."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._accounts: dict[str, Account] = {}
        roster.listen(self._on_change, Change.STATE | Change.PLACE)

    def _on_change(self, uid: str, _what: Change) -> None:
        account, module = self._accounts.get(uid), self._roster.find(uid)
        if account is not None:
            plays = account.module.state is State.PLAYING
            if account.timer is not None and not plays:
                self._pause(account)
            if module is not account.module:  # it has ended, or another one has its place
                self._pause(account)
                del self._accounts[uid]
        if module is None or not isinstance(limit := module.time_limit, (int, float)):
            return  # an application may use the name for something else
        if module.state is State.PLAYING:
            account = self._accounts.setdefault(uid, Account(module, limit))
            if account.timer is None:
                account.began = clock.now()
                account.timer = gevent.spawn(self._watch, account)

    def _pause(self, account: Account) -> None:
        if account.timer is not None:
            account.left -= clock.now() - account.began
            account.timer.kill(block=False)
            account.timer = None

    def _watch(self, account: Account) -> None:
        module = account.module
        if not clock.wait(module.gone, account.left) and module.state is State.PLAYING:
            account.timer = None  # nobody is to kill this greenlet now
            module.fail(ModuleError(f"took over {module.time_limit:g} s"))
