"""Modules that are added for requests, or released because of them, each once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent

from shmooze.broker.broker import Broker
from shmooze.errors import CommandError, TooMany
from shmooze.modules.module import Module
from shmooze.servers.line import Line, Target, Waiting
from shmooze.servers.refusals import Unavailable


class Starts:
    """Adds and releases what requests of a line wait for. `on_end` is called after each attempt.

    An attempt goes on if the client leaves that has caused it: others may wait for the same by
    then. If it fails, all who wait are refused.
    """

    def __init__(self, broker: Broker, line: Line, on_end: Callable[[], None]) -> None:
        self._broker, self._roster, self._items = broker, broker.roster, broker.items
        self._line, self._on_end = line, on_end
        #: What is being added or released.
        self.under_way: set[Target] = set()

    def begin(self, request: Waiting, module: Module | None) -> None:
        """Add what a request waits for, or release the module if it rests. Does not wait."""
        target = request.target
        action: Callable[[], Any] | None = None
        if module is None and not isinstance(target, str) and not self._is_arriving(target):
            name = target.TYPE_STRING
            kind = self._broker.modules_available_dict.get(name, target)  # its present definition
            action = lambda: self._items.add(kind, {}, None)  # noqa: E731
        elif module is not None and module.is_resting:
            uid = module.uid
            action = lambda: self._items.release([uid])  # noqa: E731
        if action is not None and target not in self.under_way:
            self.under_way.add(target)
            gevent.spawn(request.context.copy().run, self._attempt, request, action)

    def _is_arriving(self, kind: type[Module]) -> bool:
        """Whether a client is adding just that."""
        arriving = self._roster.listed[len(self._roster.order) :]
        return any(module.TYPE_STRING == kind.TYPE_STRING for module in arriving)

    def _attempt(self, request: Waiting, action: Callable[[], Any]) -> None:
        target, name = request.target, request.kind.TYPE_STRING
        try:
            action()
        except TooMany as full:
            self._line.refuse(target, Unavailable(503, f"{name}: {full}", full.retry_after))
        except CommandError as refusal:
            words = f"a request could not start {name}: {refusal}"
            closed = self._broker.is_closed
            why = Unavailable(503, words, 1.0) if closed else Unavailable(502, words)
            self._line.refuse(target, why)
        finally:
            self.under_way.discard(target)
            self._on_end()
