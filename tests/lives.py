"""Brokers in memory that live several times: they are stopped, or crash, and come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from fakes import FakeClock, run_until_idle
from memory_keeper import MemoryKeeper

from shmooze.errors import CommandError

#: Seconds in which anything ends.
LONG = 30.0


class Lives:
    """One broker after the other, and what is kept in between. A subclass starts them."""

    clock: FakeClock
    keeper: MemoryKeeper
    broker: Any

    def call_stop(self) -> gevent.Greenlet:
        """Begin to stop."""
        stopping = gevent.spawn(self.broker.stop)
        run_until_idle()
        return stopping

    def stop(self) -> None:
        ending = self.call_stop()
        self.keeper.may_go_on.set()
        self.clock.advance(LONG)
        assert ending.ready()

    def crash(self) -> None:
        """Its processes are ended, and nothing of that is kept."""
        survivor = self.keeper.copy()
        self.stop()
        self.keeper = survivor


def begin(function: Callable[..., Any], *args: Any, **named: Any) -> gevent.Greenlet:
    """Begin a call. The greenlet returns its result, or the CommandError."""

    def returned() -> Any:
        try:
            return function(*args, **named)
        except CommandError as refusal:
            return refusal

    greenlet = gevent.spawn(returned)
    run_until_idle()
    return greenlet
