"""Dependencies: items that start only when others are done, and fail when one ends otherwise.

Strategy. What an item comes `after` is one of its terms, and so is which of that is done (`met`).
So the service can forget items that have ended, and still knows who may start. One greenlet takes
the ends of items one after the other, keeps what follows from them, and carries it out.
"""

from __future__ import annotations

import logging
from typing import Any

import gevent
from gevent.event import Event
from msgspec.structs import replace

from shmooze.broker.broker import Broker
from shmooze.broker.roster import Change
from shmooze.errors import CommandError, ShmoozeError
from shmooze.jobs.ends import Ends
from shmooze.modules.exit import Outcome
from shmooze.modules.lifecycle import ENDED
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms
from shmooze.runtime import clock

log = logging.getLogger(__name__)

_WORDS = {
    Outcome.FAILED: "failed",
    Outcome.REMOVED: "was removed",
    Outcome.LOST: "was lost",
    None: "is not known any more",
}


class Dependencies:
    """The condition that all items have ended which an item comes after. See Condition."""

    #: Seconds before the history is asked again that could not be read.
    pause = 1.0

    def __init__(self, broker: Broker, ends: Ends) -> None:
        self._broker, self._roster, self._ends = broker, broker.roster, ends
        #: Uids of items that wait, and what each still waits for.
        self._missing: dict[str, set[str]] = {}
        #: The reverse.
        self._awaited: dict[str, set[str]] = {}
        #: Uids of those that nobody has looked at since they began to wait.
        self._new: set[str] = set()
        #: What has ended since, and how.
        self._ended: dict[str, Outcome] = {}
        self._wakeup = Event()
        self._greenlet: gevent.Greenlet | None = None
        broker.items.conditions.add(self)
        ends.listen(self._on_end)
        self._roster.listen(self._on_change, Change.PLACE)
        for module in self._roster.everyone:
            self._on_change(module.uid, Change.PLACE)
        broker.on_open.append(self._begin)
        broker.on_stop.append(self._stop)
        if not broker.is_opening:
            self._begin()

    def _begin(self) -> None:
        """Begin: the history knows by now what was lost with an earlier life of the service."""
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def _stop(self) -> None:
        """Whatever ends from now on ends with the service."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def obstacle(self, kind: type[Module], terms: Terms) -> str | None:
        """See Condition."""
        if not (missing := _missing(terms)):
            return None
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"after {missing[0][:8]}{more}"

    def resolve(self, terms: Terms) -> Terms:
        """See Jobs."""
        met = []
        for uid in terms.after:
            if self._ends.lives(uid):
                continue
            outcome = self._ends.outcome_of(uid)
            if outcome is None and not self._ends.lives(uid):
                raise CommandError(
                    f"add: argument `after`: no item with uid {uid!r} in {self._broker.name}"
                )
            if outcome is Outcome.DONE:
                met.append(uid)
        return replace(terms, met=tuple(met)) if met else terms

    def _on_change(self, uid: str, _what: Change) -> None:
        module = self._roster.find(uid)
        if module is None:
            self._drop(uid)
        elif uid not in self._missing and (missing := _missing(module.terms)):
            self._missing[uid] = set(missing)
            for awaited in missing:
                self._awaited.setdefault(awaited, set()).add(uid)
            self._new.add(uid)
            self._wakeup.set()

    def _drop(self, uid: str) -> None:
        for awaited in self._missing.pop(uid, ()):
            waiting = self._awaited[awaited]
            waiting.discard(uid)
            if not waiting:
                del self._awaited[awaited]
        self._new.discard(uid)

    def _on_end(self, module: Module, report: dict[str, Any]) -> None:
        if module.uid in self._awaited:
            self._ended[module.uid] = Outcome(report["state"])
            self._wakeup.set()

    def _run(self) -> None:
        while True:
            self._wakeup.wait()
            self._wakeup.clear()
            try:
                ended = {**self._look_up(), **self._ended}
            except ShmoozeError as bad:
                log.warning("%s: items wait on: %s", self._broker.name, bad)
                clock.sleep(self.pause)
                self._wakeup.set()
                continue
            for uid in ended:
                self._ended.pop(uid, None)
            self._carry_out(ended)

    def _look_up(self) -> dict[str, Outcome | None]:
        """How those have ended for which new items wait, as far as they do not live."""
        found: dict[str, Outcome | None] = {}
        new = [uid for uid in self._new if uid in self._missing]
        for awaited in {each for uid in new for each in self._missing[uid]}:
            if not self._ends.lives(awaited):
                found[awaited] = self._ends.outcome_of(awaited)
        self._new.difference_update(new)
        return found

    def _carry_out(self, ended: dict[str, Outcome | None]) -> None:
        """Let those go on that wait for these, or fail."""
        met: dict[str, list[str]] = {}
        for awaited, outcome in ended.items():
            for uid in [*self._awaited.get(awaited, ())]:
                module = self._roster.find(uid)
                if outcome is Outcome.DONE:
                    met.setdefault(uid, []).append(awaited)
                elif module is not None and module.state not in ENDED:
                    module.give_up(f"was not started: {awaited[:8]} {_WORDS[outcome]}")
        modules = {uid: self._roster.find(uid) for uid in met}
        terms = {
            uid: _with(module.terms, met[uid])
            for uid, module in modules.items()
            if module is not None
        }
        if not terms:
            return
        try:
            self._broker.items.keeper.keep_terms(terms)
        except CommandError as bad:
            # They start now, and after a crash the history tells the same again.
            log.warning("%s: not kept which items are done: %s", self._broker.name, bad)
        for uid in terms:
            if (module := self._roster.find(uid)) is not None:
                module.terms = _with(module.terms, met[uid])
                self._drop(uid)
                self._on_change(uid, Change.PLACE)  # it may wait for more
                self._new.discard(uid)  # which was looked up already
                self._broker.items.conditions.update(module)
                self._roster.tell(module, Change.TERMS)


def _missing(terms: Terms) -> list[str]:
    return [uid for uid in terms.after if uid not in terms.met] if terms.after else []


def _with(terms: Terms, done: list[str]) -> Terms:
    return replace(terms, met=tuple(dict.fromkeys([*terms.met, *done])))
