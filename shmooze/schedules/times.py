"""The condition on times: items wait for `not_before`, expire, and play alone in their windows.

Strategy. An alarm looks at an item when its next moment has come, and at all that have times when
the clock was set back. While an item plays alone, all others are blocked, from when it can play
until it cannot any more: while its process starts, or has failed, the others go on.
"""

from __future__ import annotations

import heapq
import logging

import gevent

from shmooze.broker.broker import Broker
from shmooze.broker.roster import Change, Place
from shmooze.errors import CommandError
from shmooze.modules.lifecycle import ENDED, READY, State
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms
from shmooze.runtime import clock
from shmooze.schedules import windows
from shmooze.schedules.alarm import Alarm
from shmooze.schedules.zones import in_words

log = logging.getLogger(__name__)

_RELEVANT = Change.PLACE | Change.STATE | Change.TERMS


class Times:
    """The times of the items of one queue or pool."""

    #: Seconds until an item that has expired is tried to be removed again.
    pause = 60.0

    def __init__(self, broker: Broker) -> None:
        self._broker, self._items, self._roster = broker, broker.items, broker.roster
        self._alarm = Alarm(f"times of {broker.name}", self._ring)
        #: Uids of all items that have times.
        self._timed: set[str] = set()
        #: Those that have changed.
        self._changed: set[str] = set()
        #: When to look at which of them again.
        self._moments: list[tuple[float, str]] = []
        #: Those that have played, and so expire no more.
        self._played: set[str] = set()
        #: Those that play alone now, and what others are told of that.
        self._alone: dict[str, str] = {}
        #: Whether any has ever had a window.
        self._has_windows = False

    def attach(self) -> None:
        """Let them count from now on."""
        self._items.conditions.add(self)
        self._items.play_only_if(self._may_play)
        self._roster.listen(self._on_change, _RELEVANT)
        self._broker.on_stop.append(self._alarm.close)
        for module in self._roster.everyone:
            self._on_change(module.uid, Change.PLACE)

    def obstacle(self, kind: type[Module], terms: Terms) -> str | None:
        """See Condition."""
        now = clock.time()
        if terms.not_before is not None and terms.not_before > now:
            return f"not before {in_words(terms.not_before)}"
        if terms.window is not None:
            return None if windows.is_open(terms.window, now) else windows.in_words(terms.window)
        return next(iter(self._alone.values()), None)

    def _may_play(self, module: Module) -> bool:
        """Whether nobody plays who is about to be suspended, since one of both plays alone."""
        if not self._has_windows:
            return True
        has_window = module.terms.window is not None
        return not any(
            has_window is not (other.terms.window is not None) or (has_window and not other.is_free)
            for other in self._roster.in_state(State.PLAYING)
        )

    def _on_change(self, uid: str, _what: Change) -> None:
        module = self._roster.find(uid)
        if uid in self._timed or (module is not None and module.terms.has_times):
            self._timed.add(uid)
            self._changed.add(uid)
            self._alarm.set()

    def _ring(self, was_set_back: bool) -> float | None:
        now = clock.time()
        due = self._timed.copy() if was_set_back else self._changed.copy()
        self._changed.clear()
        while self._moments and self._moments[0][0] <= now:
            due.add(heapq.heappop(self._moments)[1])
        for uid in due:
            self._look(uid, now)
        self._block_others()
        return self._moments[0][0] if self._moments else None

    def _look(self, uid: str, now: float) -> None:
        """Bring an item up to date, and note when to look at it again."""
        module = self._roster.find(uid)
        if module is None or module.state in ENDED or not module.terms.has_times:
            for known in (self._timed, self._played):
                known.discard(uid)
            return
        terms = module.terms
        moments = [terms.not_before or 0.0]
        if terms.window is not None:
            self._has_windows = True
            moments.append(windows.next_edge(terms.window, now))
        if terms.expires is not None and uid not in self._played:
            moments.append(terms.expires)
            if module.state is State.PLAYING:
                self._played.add(uid)
                gevent.spawn(self._keep_played, uid)
            elif terms.expires <= now:
                gevent.spawn(self._expire, module)
                moments.append(now + self.pause)
        self._items.conditions.update(module)
        if moment := min((moment for moment in moments if moment > now), default=None):
            heapq.heappush(self._moments, (moment, uid))

    def _keep_played(self, uid: str) -> None:
        """An item plays: it does not expire, in no later life either."""
        module = self._roster.find(uid)
        if module is not None:
            try:
                self._items.change_terms(module, expires=None)
            except CommandError as bad:
                log.warning("%r: it may expire after a restart of the service: %s", module, bad)

    def _expire(self, module: Module) -> None:
        if module.state is State.PLAYING or self._roster.find(module.uid) is not module:
            return
        assert module.terms.expires is not None
        module.removal = f"expired: it had not begun by {in_words(module.terms.expires)}"
        try:
            self._items.remove([module.uid])
        except CommandError as bad:
            log.warning("%r has expired and cannot be removed: %s", module, bad)

    def _block_others(self) -> None:
        """Let the others play, or not, if it is different now who plays alone."""
        alone = {
            uid: f"{module.view.label or module.TYPE_STRING} {uid[:8]} plays alone"
            for uid in self._timed
            if (module := self._roster.find(uid)) is not None and self._plays_alone(module)
        }
        if alone != self._alone:
            self._alone = alone
            self._items.conditions.update_all()

    def _plays_alone(self, module: Module) -> bool:
        if module.terms.window is None or not module.is_free:
            return False
        # A process that needs what others have would wait for them for ever.
        comes = bool(module.needs) and module.state in (State.WAITING, State.STARTING)
        has_place = self._roster.place_of(module) is Place.ORDER
        return has_place and (comes or module.state in READY)
