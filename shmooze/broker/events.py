"""Live state for any number of watchers: a snapshot first, then changes.

    event: snapshot   {"modules": [{"uid", "type", "state", "args"?, "by", "added", "held"?,
                       "web"?, "restarts"?, "next_attempt_at"?, "parameters"}, …],
                       "background": {…} | null, "paused"?: {"suspend": BOOL}, "repeat"?: MODE}
    event: change     {"modules"?: {uid: {"type"?, "state"?, "args"?, "by"?, "added"?, "held"?,
                       "web"?, "restarts"?, "next_attempt_at"?, "set"?: {…}, "unset"?: […]}},
                       "order"?: [uid, …], "background"?: uid | null,
                       "paused"?: {…} | null, "repeat"?: MODE | null,
                       "gone"?: {uid: {"reason", "ended"}}}

Strategy. The roster names each module that changes. Some thirty times a second at most, these
are compared with what was told of them last, and the difference becomes one event: so a busy
module's changes merge, and its last value always comes. An event costs what has changed, not what
there is, and is encoded once, for all. A watcher is no more than the number of the last event that
it has got. It takes the next ones from a bounded history as fast as its client reads. Whoever falls
behind that history gets a snapshot again, the same one as all others who need one at that time.
Nobody waits for a watcher.

While nobody watches, nothing is compared or kept.
"""

from __future__ import annotations

import re
import secrets
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import bottle
import gevent
import msgspec
from gevent.event import Event

from shmooze.broker.roster import Change, Roster
from shmooze.broker.shown import Shown

_encode = msgspec.json.Encoder().encode

#: A line that clients overlook.
HEARTBEAT = b":\n\n"


class EventHub:
    """Tells watchers what changes in a roster."""

    #: Seconds between two events at the least.
    interval = 1 / 30
    #: Seconds after which a watcher hears something, be it nothing.
    heartbeat = 15.0
    #: Events that are kept for those who are behind or come back.
    kept = 1000
    #: Bytes of those at the most.
    kept_bytes = 4 << 20
    #: Bytes of a snapshot after which the values of further modules become events of their own.
    max_event = 4 << 20
    #: Seconds for which events are kept when the last watcher has gone.
    linger = 60.0

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        roster.listen(self._on_change, ~(Change.SAVED | Change.COMMANDS))  # which are not shown
        #: Tells this life of the program from others: their numbers mean nothing here.
        self._instance = secrets.token_hex(4)
        self._number = 0
        #: The last snapshot that was made, its number, and those whose values it lacks.
        self._snapshot: tuple[int, bytes, list[str]] = (-1, b"", [])
        self._history: deque[bytes] = deque()
        self._history_bytes = 0
        #: The number of the event that each watcher was given last.
        self._watchers: dict[object, int] = {}
        #: When nobody is watching any more; None: somebody is.
        self._deserted: float | None = None
        self._awake = False
        #: What was told last: modules by uid, their order, and the background.
        self._told: dict[str, Shown] = {}
        self._told_order: list[str] = []
        self._told_background: str | None = None
        #: Uids of modules that may be different now, and whether the order may be.
        self._touched: dict[str, None] = {}
        self._order_touched = False
        self._gone: dict[str, dict[str, str]] = {}
        #: What concerns the whole service, by name, and what was told of that last.
        self._status: dict[str, Any] = {}
        self._told_status: dict[str, Any] = {}
        self._publisher: gevent.Greenlet | None = None
        self._next = Event()

    def _on_change(self, uid: str, what: Change) -> None:
        if self._awake:
            self._touched[uid] = None
            self._order_touched |= Change.PLACE in what
            self._publish_later()

    def _publish_later(self) -> None:
        if self._publisher is None:
            self._publisher = gevent.spawn(self._publish_soon)

    def tell_gone(self, report: dict[str, Any]) -> None:
        """A module has gone; see views.exit_report."""
        if self._awake:
            self._gone[report["uid"]] = {"reason": report["reason"], "ended": report["ended"]}
            self._publish_later()

    def tell_status(self, name: str, value: Any) -> None:
        """Something that concerns the whole service has another value; None: nothing to tell."""
        self._status = {**self._status, name: value}
        if self._awake:
            self._publish_later()

    def serve(self) -> Iterator[bytes]:
        """Answer a request for the events."""
        bottle.response.content_type = "text/event-stream"
        bottle.response.set_header("Cache-Control", "no-store")
        return self.watch(bottle.request.get_header("Last-Event-ID"))

    def watch(self, last_id: str | None) -> Iterator[bytes]:
        """Events as they go over the wire, without end; those after `last_id` if that is known."""
        watcher = object()
        self._watchers[watcher] = self._number
        self._wake()
        try:
            number = self._number_of(last_id)
            yield HEARTBEAT  # so that who comes back to nothing new hears that it is heard
            while True:
                missing = self._number - number
                if missing > len(self._history):
                    self._publish()
                    number = self._watchers[watcher] = self._number
                    yield from self._snapshot_events()
                elif missing:
                    number = self._watchers[watcher] = number + 1
                    yield self._history[-missing]
                elif not self._next.wait(self.heartbeat):
                    yield HEARTBEAT
        finally:
            del self._watchers[watcher]
            if not self._watchers:
                self._deserted = time.monotonic()

    def lags(self) -> list[int]:
        """By how many events each watcher is behind."""
        return [self._number - number for number in self._watchers.values()]

    def _wake(self) -> None:
        self._deserted = None
        if not self._awake:
            self._awake = True
            everyone = filter(None, [*self._roster.listed, self._roster.background])
            self._told = {module.uid: Shown.of(module) for module in everyone}
            self._told_order = self._order()
            self._told_background = self._background()
            self._told_status = self._status
            self._number += 1  # what happened meanwhile was told to nobody

    def _sleep(self) -> None:
        self._awake = False
        self._history.clear()
        self._history_bytes = 0
        self._touched.clear()
        self._order_touched = False
        self._gone.clear()
        self._told = {}
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
        """What is different from what was told, which is what is told from now on."""
        change: dict[str, Any] = {}
        touched, self._touched = self._touched, {}
        if modules := {uid: changes for uid in touched if (changes := self._changes_of(uid))}:
            change["modules"] = modules
        if self._order_touched:
            self._order_touched = False
            if (order := self._order()) != self._told_order:
                change["order"] = self._told_order = order
            if (background := self._background()) != self._told_background:
                change["background"] = self._told_background = background
        if (status := self._status) is not (before := self._told_status):
            different = {key for key in status if status[key] != before.get(key)}
            change |= {key: status[key] for key in different}
            self._told_status = status
        if self._gone:
            change["gone"], self._gone = self._gone, {}
        return change

    def _changes_of(self, uid: str) -> dict[str, Any]:
        module, before = self._roster.find(uid), self._told.get(uid)
        if module is None:
            self._told.pop(uid, None)
            return {}
        now = Shown.of(module)
        if changes := now.changes_since(before):
            self._told[uid] = now
        return changes

    def _order(self) -> list[str]:
        return [module.uid for module in self._roster.listed]

    def _background(self) -> str | None:
        return self._roster.background.uid if self._roster.background else None

    def _snapshot_events(self) -> Iterator[bytes]:
        """A snapshot; where it is too long for one event, changes that complete it.

        The values of those are the present ones: what comes after repeats what has changed.
        """
        number = self._number
        if self._snapshot[0] != number:
            self._snapshot = number, *self._make_snapshot()
        _, snapshot, missing = self._snapshot
        yield snapshot
        for left, uid in zip(reversed(range(len(missing))), missing, strict=True):
            shown = self._told.get(uid)
            change = {"modules": {uid: shown.values()}} if shown else {}
            yield self._event("change", _encode(change), self._id(number, left))

    def _make_snapshot(self) -> tuple[bytes, list[str]]:
        """A snapshot, and the uids of those whose args and parameters were too long for it."""
        encoded: dict[str, bytes] = {}
        missing: list[str] = []
        size = 0
        background = self._told_background
        for uid in [*self._told_order, *([background] if background else [])]:
            shown = self._told[uid]
            if size >= self.max_event and (shown.parameters or shown.view.args):
                shown = shown.without_values()
                missing.append(uid)
            encoded[uid] = _encode(shown.as_dict(uid))
            size += len(encoded[uid])
        modules = b",".join(encoded[uid] for uid in self._told_order)
        status = {key: value for key, value in self._told_status.items() if value is not None}
        data = b'{"modules":[%b],"background":%b%b}' % (
            modules,
            encoded[background] if background else b"null",
            b"," + _encode(status)[1:-1] if status else b"",
        )
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
