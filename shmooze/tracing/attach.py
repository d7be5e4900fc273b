"""Attaching traces to a queue or pool: spans of its requests and commands, and of its items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Span, StatusCode, Tracer

from shmooze.broker.broker import Broker
from shmooze.broker.roster import Change, Place
from shmooze.modules.exit import Outcome
from shmooze.modules.module import Module
from shmooze.runtime import declared
from shmooze.tracing.requests import Traced
from shmooze.tracing.tracer import close, tracer

_PLACES = (Place.ARRIVING, Place.ORDER, Place.BACKGROUND)


def attach(broker: Broker) -> None:
    """Raises SettingsError."""
    own = tracer(declared.current(), str(broker.name))
    front = broker.front
    broker.front = lambda app: Traced(front(app), own)
    commands, answer = TracedCommands(own), broker.single_command
    broker.single_command = lambda query: commands.answer(query, answer)  # type: ignore[method-assign]
    Items(broker, own)
    broker.on_closed.append(close)


class TracedCommands:
    """A span for each command, below that of its request."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def answer(
        self, query: dict[str, Any], answer: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """What `answer` answers."""
        cmd = query.get("cmd")
        name = cmd if isinstance(cmd, str) and len(cmd) < 100 else "command"
        with self._tracer.start_as_current_span(name) as span:
            answered = answer(query)
            if not answered.get("success"):
                span.set_status(StatusCode.ERROR, str(answered.get("error")))
            return answered


class Items:
    """A span for each item, from its `add` to its end. It has an event for each of its states."""

    def __init__(self, broker: Broker, tracer: Tracer) -> None:
        self._broker, self._tracer = broker, tracer
        self._spans: dict[str, tuple[Span, str]] = {}
        broker.roster.listen(self._on_change, Change.PLACE | Change.STATE)
        broker.supervision.on_end.append(self._on_end)
        broker.on_closed.append(self._end_all)

    def _on_change(self, uid: str, _what: Change) -> None:
        roster = self._broker.roster
        module = roster.find(uid)
        if module is None:
            return
        span, before = self._spans.get(uid, (None, ""))
        if span is None:
            if roster.place_of(module) not in _PLACES:
                return  # one on standby is not an item yet; or it has ended
            span = self._begin(module)
        if (state := module.state.shown) != before:
            span.add_event(state)
            self._spans[uid] = (span, state)

    def _begin(self, module: Module) -> Span:
        attributes = {"shmooze.uid": module.uid, "shmooze.type": module.TYPE_STRING}
        if module.origin.by is not None:
            attributes["shmooze.by"] = module.origin.by
        return self._tracer.start_span(f"item {module.TYPE_STRING}", attributes=attributes)

    def _on_end(self, module: Module, report: dict[str, Any]) -> None:
        span, _ = self._spans.pop(module.uid, (None, ""))
        if span is None:
            return
        span.set_attribute("shmooze.outcome", report["state"])
        span.set_attribute("shmooze.reason", report["reason"])
        if report["state"] in (Outcome.FAILED.value, Outcome.LOST.value):
            span.set_status(StatusCode.ERROR, report["reason"])
        span.end()

    def _end_all(self) -> None:
        """The service ends, and its items come back with it: each life has a span."""
        for span, _ in self._spans.values():
            span.set_attribute("shmooze.reason", "was stopped with the service")
            span.end()
        self._spans.clear()
