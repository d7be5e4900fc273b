"""Live state for any number of watchers: a snapshot first, then what changes.

    event: snapshot   {"modules": [{"uid", "type", "state", "restarts"?, "next_attempt_at"?,
                       "parameters"}, …], "background": {…} | null}
    event: change     {"modules"?: {uid: {"type"?, "state"?, "restarts"?, "next_attempt_at"?,
                       "set"?: {…}, "unset"?: […]}}, "order"?: [uid, …],
                       "background"?: uid | null, "gone"?: {uid: {"reason", "ended"}}}

Strategy. Whoever changes something just says so (`touch`). Some thirty times a second at the
most, what was touched is compared with what was last told, and the difference becomes one event:
so a busy module's changes merge, and its last value always comes. An event is encoded once, for
all. A watcher is no more than a number, that of the last event which it has got; it takes the
next ones from a bounded history as fast as its client reads. Whoever falls behind that history
gets a snapshot again, the same one as all who need it at that time. Nobody waits for a watcher.

While nobody watches, nothing is compared or kept.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import gevent
import msgspec
from gevent.event import Event

_encode = msgspec.json.Encoder().encode

#: A line that clients overlook.
HEARTBEAT = b":\n\n"


@dataclass
class Entry:
    """One module, as watchers see it. `parameters` is the living dict, not a copy."""

    type: str
    state: str
    parameters: dict[str, Any]
    #: How often it was started again.
    restarts: int = 0
    #: When it is started again, in the seconds of time.time; None: it is not waiting for that.
    next_attempt_at: float | None = None

    def show(self, uid: str) -> dict[str, Any]:
        shown: dict[str, Any] = {"uid": uid, "type": self.type, "state": self.state}
        if self.restarts:
            shown["restarts"] = self.restarts
        if self.next_attempt_at is not None:
            shown["next_attempt_at"] = self.next_attempt_at
        return {**shown, "parameters": self.parameters}


@dataclass
class View:
    """All that watchers see: modules by uid, in order, and the background."""

    modules: dict[str, Entry] = field(default_factory=dict)
    background: tuple[str, Entry] | None = None

    @property
    def everyone(self) -> dict[str, Entry]:
        return dict([*self.modules.items(), *([self.background] if self.background else [])])


class EventHub:
    """Tells watchers what changes in what `look` sees."""

    #: Seconds between two events at the least.
    interval = 1 / 30
    #: Seconds after which a watcher hears something, be it nothing.
    heartbeat = 15.0
    #: Events that are kept for those who are behind or come back.
    kept = 1000
    #: Bytes of those at the most.
    kept_bytes = 4 << 20
    #: Bytes of a snapshot after which parameters of further modules become events of their own.
    max_event = 4 << 20
    #: Seconds for which events are kept when the last watcher has gone.
    linger = 60.0

    def __init__(self, look: Callable[[], View]) -> None:
        self._look = look
        #: Tells this life of the program from others: their numbers mean nothing here.
        self._instance = secrets.token_hex(4)
        self._number = 0
        #: The last snapshot that was made, its number, and those whose parameters it lacks.
        self._snapshot: tuple[int, bytes, list[str]] = (-1, b"", [])
        self._history: deque[bytes] = deque()
        self._history_bytes = 0
        self._watchers = 0
        #: When nobody is watching any more; None: somebody is.
        self._deserted: float | None = None
        self._awake = False
        self._told = View()
        self._touched: set[str] = set()
        self._gone: dict[str, dict[str, str]] = {}
        self._publisher: gevent.Greenlet | None = None
        self._next = Event()

    def touch(self, uid: str | None = None) -> None:
        """A module has changed; without `uid` the roster has."""
        if not self._awake:
            return
        if uid is not None:
            self._touched.add(uid)
        if self._publisher is None:
            self._publisher = gevent.spawn(self._publish_soon)

    def tell_gone(self, uid: str, reason: str, ended: str) -> None:
        """A module has gone, for this reason and at this time."""
        if self._awake:
            self._gone[uid] = {"reason": reason, "ended": ended}
            self.touch()

    def watch(self, last_id: str | None) -> Iterator[bytes]:
        """Events as they go over the wire, without end; those after `last_id` if that is known."""
        self._watchers += 1
        self._wake()
        try:
            number = self._number_of(last_id)
            yield HEARTBEAT  # so that who comes back to nothing new hears that it is heard
            while True:
                missing = self._number - number
                if missing > len(self._history):
                    self._publish()
                    number = self._number
                    yield from self._snapshot_events()
                elif missing:
                    number += 1
                    yield self._history[-missing]
                elif not self._next.wait(self.heartbeat):
                    yield HEARTBEAT
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._deserted = time.monotonic()

    def _wake(self) -> None:
        self._deserted = None
        if not self._awake:
            self._awake = True
            self._told = self._copy_of(self._look())
            self._number += 1  # what happened meanwhile was told to nobody

    def _sleep(self) -> None:
        self._awake = False
        self._history.clear()
        self._history_bytes = 0
        self._touched.clear()
        self._gone.clear()
        self._told = View()
        self._snapshot = (-1, b"", [])

    def _number_of(self, last_id: str | None) -> int:
        """The number of an event of this hub; for any other text one that nobody remembers."""
        instance, _, number = (last_id or "").partition("-")
        if instance != self._instance or not re.fullmatch("[0-9]{1,18}", number):
            return -1
        return int(number) if int(number) <= self._number else -1

    def _publish_soon(self) -> None:
        """Publish now what has come together, and later what comes until then."""
        try:
            gevent.sleep(0)  # all that happens in this turn of the loop is one event
            while self._publish():
                gevent.sleep(self.interval)
                if self._deserted is not None and time.monotonic() - self._deserted > self.linger:
                    self._sleep()
                    break
        finally:
            self._publisher = None

    def _publish(self) -> bool:
        """Make an event of all that is different from what was told; whether there was any."""
        change = self._difference()
        if not change:
            return False
        self._number += 1
        data = _encode_change(change, self.kept_bytes)
        if data is None:  # nobody gets it: a snapshot is made in parts
            self._history.clear()
            self._history_bytes = 0
        else:
            event = self._event("change", data, self._id(self._number))
            self._history.append(event)
            self._history_bytes += len(event)
        while len(self._history) > self.kept or self._history_bytes > self.kept_bytes:
            self._history_bytes -= len(self._history.popleft())
        self._next.set()
        self._next = Event()
        return True

    def _difference(self) -> dict[str, Any]:
        view, told = self._look(), self._told
        now, before = view.everyone, told.everyone
        touched, self._touched = self._touched, set()
        suspects = [
            uid
            for uid, entry in now.items()
            if uid in touched or uid not in before or before[uid].state != entry.state
        ]
        compared = {uid: _compare(before.get(uid), now[uid]) for uid in suspects}
        modules = {uid: difference for uid, difference in compared.items() if difference}
        change: dict[str, Any] = {}
        if modules:
            change["modules"] = modules
        if list(view.modules) != list(told.modules):
            change["order"] = list(view.modules)
        background = view.background[0] if view.background else None
        if background != (told.background[0] if told.background else None):
            change["background"] = background
        if self._gone:
            change["gone"], self._gone = self._gone, {}
        if change:
            self._told = self._copy_of(view, told, modules)
        return change

    def _copy_of(self, view: View, told: View | None = None, changed: Collection[str] = ()) -> View:
        """A view to compare with later; what has not changed is taken over from `told`."""
        old = told.everyone if told is not None else {}

        def copy(uid: str, entry: Entry) -> Entry:
            if uid in old and uid not in changed:
                return old[uid]
            return replace(entry, parameters=dict(entry.parameters))

        modules = {uid: copy(uid, entry) for uid, entry in view.modules.items()}
        background = view.background
        return View(modules, background and (background[0], copy(*background)))

    def _snapshot_events(self) -> Iterator[bytes]:
        """A snapshot; where it is too long for one event, changes that complete it.

        The parameters of those are the present ones: what comes after repeats what has changed.
        """
        number = self._number
        if self._snapshot[0] != number:
            self._snapshot = number, *self._make_snapshot()
        _, snapshot, missing = self._snapshot
        yield snapshot
        for left, uid in zip(reversed(range(len(missing))), missing, strict=True):
            entry = self._told.everyone.get(uid)
            change = {"modules": {uid: {"set": entry.parameters}}} if entry else {}
            yield self._event("change", _encode(change), self._id(number, left))

    def _make_snapshot(self) -> tuple[bytes, list[str]]:
        """A snapshot, and the uids of those whose parameters were too long for it."""
        told, size = self._told, 0
        shown: dict[str, bytes] = {}
        missing: list[str] = []
        for uid, entry in told.everyone.items():
            if size < self.max_event:
                shown[uid] = _encode(entry.show(uid))
                size += len(shown[uid])
            else:
                shown[uid] = _encode(replace(entry, parameters={}).show(uid))
                if entry.parameters:
                    missing.append(uid)
        background = shown[told.background[0]] if told.background else b"null"
        modules = b",".join(shown[uid] for uid in told.modules)
        data = b'{"modules":[%b],"background":%b}' % (modules, background)
        return self._event("snapshot", data, self._id(self._number, len(missing))), missing

    def _id(self, number: int, left: int = 0) -> str:
        """What a client comes back with; while parts of a snapshot are left, nothing we know."""
        return f"{self._instance}-{number}" + (f"-{left}" if left else "")

    def _event(self, kind: str, data: bytes, id: str) -> bytes:
        return b"".join([f"id: {id}\nevent: {kind}\ndata: ".encode(), data, b"\n\n"])


def _encode_change(change: dict[str, Any], most: int) -> bytes | None:
    """A change as JSON; None where it is longer than `most` bytes."""
    modules: dict[str, msgspec.Raw] = {}
    size = 0
    for uid, difference in change.get("modules", {}).items():
        modules[uid] = msgspec.Raw(_encode(difference))
        size += len(modules[uid])
        if size > most:
            return None
    return _encode({**change, "modules": modules} if modules else change)


def _compare(before: Entry | None, now: Entry) -> dict[str, Any]:
    """What of a module is different.

    Values are told apart by identity, since 1, 1.0 and True are equal and not the same.
    """
    difference: dict[str, Any] = {}
    if before is None or before.type != now.type:
        difference["type"] = now.type
    if before is None or before.state != now.state:
        difference["state"] = now.state
    if now.restarts != (before.restarts if before is not None else 0):
        difference["restarts"] = now.restarts
    if now.next_attempt_at != (before.next_attempt_at if before is not None else None):
        difference["next_attempt_at"] = now.next_attempt_at
    old = before.parameters if before is not None else {}
    missing = object()
    values = {
        name: value for name, value in now.parameters.items() if old.get(name, missing) is not value
    }
    if values:
        difference["set"] = values
    if names := [name for name in old if name not in now.parameters]:
        difference["unset"] = names
    return difference
