"""The module states that watchers of the events last got, to find out what has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from shmooze.broker.views import shown_of, web_of
from shmooze.modules.module import Module
from shmooze.modules.origin import Origin
from shmooze.modules.presentation import View
from shmooze.modules.terms import PLAIN, Terms


@dataclass(frozen=True)
class Shown:
    """One module, as watchers see it."""

    type: str
    state: str
    #: What clients see of the args that it was added with.
    view: View
    origin: Origin
    parameters: dict[str, Any]
    terms: Terms
    #: Why it is held; None: it is not.
    held: str | None
    #: What it waits for besides its turn.
    waits: str | None
    #: Whether its web server answers; None: it has none, or no process.
    web: str | None
    #: The machine on which it runs; None: that of the service.
    host: str | None
    #: How often it was started again.
    restarts: int
    #: When it is started again, in seconds since 1970; None: it is not waiting for that.
    next_attempt_at: float | None

    @classmethod
    def of(cls, module: Module) -> Shown:
        """A module as it is now."""
        return cls(
            module.TYPE_STRING,
            module.state.shown,
            module.view,
            module.origin,
            dict(module.parameters),
            module.terms,
            module.held,
            module.waits,
            web_of(module),
            module.host,
            module.restarts.count,
            module.next_attempt,
        )

    def as_dict(self, uid: str) -> dict[str, Any]:
        """The module in a snapshot."""
        shown: dict[str, Any] = {"uid": uid, "type": self.type, "state": self.state}
        shown.update(self._origin())
        shown.update(self.terms.shown())
        if self.held is not None:
            shown["held"] = self.held
        if self.waits is not None:
            shown["waits"] = self.waits
        if self.web is not None:
            shown["web"] = self.web
        if self.host is not None:
            shown["host"] = self.host
        if self.restarts:
            shown["restarts"] = self.restarts
        if self.next_attempt_at is not None:
            shown["next_attempt_at"] = self.next_attempt_at
        return {**shown, "parameters": self.parameters}

    def without_values(self) -> Shown:
        """The same with neither args nor parameters, which may be long."""
        return replace(self, view=View(None, self.view.label), parameters={})

    def values(self) -> dict[str, Any]:
        """In a change event: what `without_values` leaves out."""
        args = {} if self.view.args is None else {"args": self.view.args}
        return {**args, "set": self.parameters}

    def _origin(self) -> dict[str, Any]:
        return {**shown_of(self.view), "by": self.origin.by, "added": self.origin.added_at}

    def changes_since(self, before: Shown | None) -> dict[str, Any]:
        """The module in a change event: what is different.

        Values are compared by identity, since 1, 1.0 and True are equal and not the same.
        """
        changes: dict[str, Any] = {}
        if before is None or before.type != self.type:
            changes["type"] = self.type
        if before is None or before.state != self.state:
            changes["state"] = self.state
        if before is None or _differ(before.view, self.view) or before.origin is not self.origin:
            old_keys = shown_of(before.view) if before is not None else {}
            changes.update({**dict.fromkeys(old_keys), **self._origin()})
        if self.held != (before.held if before is not None else None):
            changes["held"] = self.held
        if self.waits != (before.waits if before is not None else None):
            changes["waits"] = self.waits
        if self.terms is not (before.terms if before is not None else PLAIN):
            old_terms = before.terms.shown() if before is not None else {}
            changes.update({**dict.fromkeys(old_terms), **self.terms.shown()})
        if self.web != (before.web if before is not None else None):
            changes["web"] = self.web
        if self.host != (before.host if before is not None else None):
            changes["host"] = self.host
        if self.restarts != (before.restarts if before is not None else 0):
            changes["restarts"] = self.restarts
        if self.next_attempt_at != (before.next_attempt_at if before is not None else None):
            changes["next_attempt_at"] = self.next_attempt_at
        old = before.parameters if before is not None else {}
        missing = object()
        values = {
            name: value
            for name, value in self.parameters.items()
            if old.get(name, missing) is not value
        }
        if values:
            changes["set"] = values
        if names := [name for name in old if name not in self.parameters]:
            changes["unset"] = names
        return changes


def _differ(before: View, now: View) -> bool:
    return before.args is not now.args or before.label != now.label
