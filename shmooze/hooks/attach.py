"""Attaching hooks to a queue or pool: what happens becomes deliveries."""

from __future__ import annotations

import logging
import uuid
from functools import partial
from typing import Any

import gevent
import msgspec
from gevent.event import Event

from shmooze.broker.broker import Broker
from shmooze.broker.roster import Change
from shmooze.broker.views import loss_report
from shmooze.hooks.declared import Hook, hooks_of
from shmooze.hooks.delivery import Delivery, deliver
from shmooze.hooks.outbox import KEPT, Outbox
from shmooze.modules.exit import Outcome
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.runtime import clock, declared

log = logging.getLogger(__name__)


def attach(broker: Broker, opens: bool = True) -> None:
    """Tell the hooks of the settings what happens in a broker, if it is to open. Raises
    SettingsError.
    """
    hooks = hooks_of(declared.current(), str(broker.name))
    if hooks and opens:
        Hooks(broker, hooks)
        if not declared.current().get("state_path"):
            log.warning(
                "%s: without `state_path`, what its hooks were not told yet is lost with it",
                broker.name,
            )


class Hooks:
    """The hooks of one queue or pool."""

    #: Seconds for which there has to be nothing to do before the service counts as idle.
    quiet = 1.0

    def __init__(self, broker: Broker, hooks: list[Hook]) -> None:
        self._broker = broker
        self.outboxes = [
            Outbox(hook, partial(self._deliver, hook), self._keep_value) for hook in hooks
        ]
        self._may_be_idle = Event()
        self._was_busy = False
        self._watcher: gevent.Greenlet | None = None
        broker.supervision.on_end.append(self._on_end)
        broker.on_open.append(self._begin)
        broker.on_closed.append(self._stop)
        if any("idle" in hook.on for hook in hooks):
            broker.roster.listen(self._on_change, Change.PLACE | Change.STATE | Change.TERMS)

    def _begin(self) -> None:
        kept = self._broker.kept_values
        found = [kept[key] for key in kept if key.startswith(KEPT)]
        for value in sorted(found, key=lambda value: float(value["since"])):
            self._restore(msgspec.convert(value, Delivery))
        for outbox in self.outboxes:
            outbox.begin()
        for loss in self._broker.lost.values():
            self.tell([Outcome.LOST.value], loss_report(loss))
        self._watcher = gevent.spawn(self._watch_for_idleness)

    def _restore(self, delivery: Delivery) -> None:
        for outbox in self.outboxes:
            if outbox.hook.name == delivery.hook:
                outbox.restore(delivery)
                return
        log.warning("hook %s is not in the settings any more: not told of", delivery.hook)
        gevent.spawn(self._keep_value, KEPT + delivery.id, None)

    def _stop(self) -> None:
        if self._watcher is not None:
            self._watcher.kill()
        for outbox in self.outboxes:
            outbox.stop()

    def _keep_value(self, key: str, value: Any) -> None:
        self._broker.items.keeper.keep_value(key, value)

    def _deliver(self, hook: Hook, delivery: Delivery) -> None:
        deliver(hook, delivery, self._broker.factory.local_launcher)

    def tell(self, events: list[str], item: dict[str, Any] | None = None) -> None:
        """One of these events has happened, the first one that a hook is for. Does not wait."""
        for outbox in self.outboxes:
            event = next((each for each in events if each in outbox.hook.on), None)
            if event is not None:
                outbox.add(self._new_delivery(outbox.hook, event, item))

    def _new_delivery(self, hook: Hook, event: str, item: dict[str, Any] | None) -> Delivery:
        now = clock.time()
        id = str(uuid.uuid4())
        payload: dict[str, Any] = {
            "id": id,
            "event": event,
            "service": self._broker.name,
            "at": clock.iso8601(now),
        }
        if item is not None:
            payload["item"] = item
        return Delivery(id, hook.name, payload, now)

    def _on_end(self, module: Module, report: dict[str, Any]) -> None:
        outcome = Outcome(report["state"])
        is_given_up = outcome is Outcome.FAILED and module.restarts.given_up
        self.tell([*(["given_up"] if is_given_up else []), outcome.value], report)

    def _on_change(self, uid: str, _what: Change) -> None:
        self._may_be_idle.set()

    def _watch_for_idleness(self) -> None:
        while True:
            self._may_be_idle.wait()
            self._may_be_idle.clear()
            if self._is_busy():
                self._was_busy = True
            elif self._was_busy and not clock.wait(self._may_be_idle, self.quiet):
                self._was_busy = False
                self.tell(["idle"])

    def _is_busy(self) -> bool:
        """Whether an item plays, starts, ends or waits for more than its release."""
        roster = self._broker.roster
        is_ending = bool(roster.in_state(State.ENDING))
        return is_ending or any(module.held is None for module in roster.listed)
