"""The state of a module, and how it is held in its place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from shmooze.modules.launched import Launched
from shmooze.modules.lifecycle import State, step
from shmooze.processes.contract import Launcher

log = logging.getLogger(__name__)


class Held(Launched):
    """The part of a module that can be held. `on_change` is told of each new state."""

    def __init__(
        self, uid: str, state: State, launcher: Launcher, on_change: Callable[[Any], None]
    ) -> None:
        super().__init__(uid, state, launcher)
        self._on_change = on_change

    def hold(self, reason: str) -> None:
        """Keep it from playing until it is released, or without a process. Tell the roster."""
        self.held = reason
        if self.state is State.WAITING:
            self._move_to(State.HELD)

    def release(self) -> None:
        """Undo `hold`. Tell the roster."""
        self.held = None
        if self.state is State.HELD:
            self._move_to(State.WAITING)

    def wait_for_turn(self) -> None:
        """Take the place of one that has gone, as one that waits, or is held. Tell the roster."""
        self._move_to(State.WAITING if self.held is None else State.HELD)

    def _move_to(self, state: State) -> None:
        """The one writer of `state`."""
        self.state = step(self.state, state)
        log.debug("%r", self)
        self._on_change(self)
