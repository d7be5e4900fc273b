"""The scheduler: adds the items of schedules when their times have come.

Strategy. Each time of a schedule gives its item a key of its own, and the item is kept with it.
Then it is noted that the time is dealt with. If the service dies in between, the item with that key
is found after the restart, and no second one is added. If several times are over at once, since the
service was down or the clock was set forward, only the last one counts. If the clock is set back,
times come again, and their keys tell which of them have had their items.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakValueDictionary

import gevent
import msgspec
from gevent.lock import Semaphore
from msgspec.structs import replace

from shmooze.access.caller import Caller, caller
from shmooze.broker.broker import Broker
from shmooze.errors import CommandError, StateError, TooMany
from shmooze.modules.lifecycle import ENDED
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms
from shmooze.runtime import clock
from shmooze.schedules.alarm import Alarm
from shmooze.schedules.schedule import ONCE, QUEUE, REPLACE, Last, Schedule
from shmooze.schedules.zones import in_words, zone

log = logging.getLogger(__name__)

#: Why a time gets no item while an earlier one lives.
OVERLAPS = "the one before has not ended"


class Scheduler:
    """The schedules of one queue or pool. It goes on with those that an earlier life has kept.

    `prefix` is that of their keys among the kept values.
    """

    #: Seconds by which a time may be late and is not missed yet.
    grace = 60.0
    #: Seconds until an item is tried to be added again, if there was no room or no disk.
    pause = 5.0

    def __init__(self, broker: Broker, prefix: str) -> None:
        self._broker, self._items, self._prefix = broker, broker.items, prefix
        self._all: dict[str, Schedule] = {}
        #: Why schedules have no times, by id.
        self._problems: dict[str, str] = {}
        #: Those whose times are being dealt with.
        self._busy: dict[str, gevent.Greenlet] = {}
        #: When those that could not be dealt with are tried again, and why they could not.
        self._again: dict[str, tuple[float, str]] = {}
        self._locks: WeakValueDictionary[str, Semaphore] = WeakValueDictionary()
        self._alarm = Alarm(f"schedules of {broker.name}", self._ring)
        broker.on_stop.append(self._stop)
        self._load(broker.kept_values)

    def _load(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            if key.startswith(self._prefix):
                try:
                    schedule = msgspec.convert(value, Schedule)
                except msgspec.ValidationError as bad:  # changed by hand
                    log.error("%s: `%s` of the state is not a schedule: %s", self._name, key, bad)
                    continue
                self._all[schedule.id] = schedule
        self._alarm.set()

    @property
    def all(self) -> Iterable[Schedule]:
        """All schedules, the oldest first."""
        return sorted(self._all.values(), key=lambda each: each.added)

    def find(self, id: str) -> Schedule | None:
        """The schedule with this id."""
        return self._all.get(id)

    def put(self, schedule: Schedule) -> None:
        """Add a schedule, or replace the one with its id. Raises CommandError."""
        with self._lock_of(schedule.id):
            self._put(schedule)
        self._alarm.set()

    def remove(self, id: str) -> None:
        """Forget a schedule. Raises CommandError."""
        with self._lock_of(id):
            self._remove(id)

    def _put(self, schedule: Schedule) -> None:
        self._items.keep_value(self._prefix + schedule.id, msgspec.to_builtins(schedule))
        self._all[schedule.id] = schedule

    def _remove(self, id: str) -> None:
        self._items.keep_value(self._prefix + id, None)
        self._all.pop(id, None)

    def _lock_of(self, id: str) -> Semaphore:
        """Held while a schedule is changed, since keeping takes its time."""
        return self._locks.setdefault(id, Semaphore())

    def problem_of(self, schedule: Schedule) -> str | None:
        """Why a schedule cannot add anything at present; None: it can."""
        if schedule.type not in self._broker.modules_available_dict:
            return f"there is no type {schedule.type!r} in the settings"
        return self._problems.get(schedule.id)

    @property
    def _name(self) -> str:
        return str(self._broker.name)

    def _stop(self) -> None:
        self._alarm.close()
        gevent.joinall([*self._busy.values()])

    def _ring(self, _was_set_back: bool) -> float | None:
        """Deal with what is due. Returns when the next time comes."""
        now = clock.time()
        moments: list[float] = []
        for schedule in [*self._all.values()]:
            if schedule.id in self._busy:
                continue
            again, _ = self._again.get(schedule.id, (0.0, ""))
            if now < again <= now + self.pause:  # it is further away if the clock was set back
                moments.append(again)
                continue
            try:
                due, upcoming = schedule.due(now), schedule.next(now)
            except ValueError as bad:
                if self._problems.get(schedule.id) != str(bad):
                    log.error("%s: schedule %s: %s", self._name, schedule.id, bad)
                self._problems[schedule.id] = str(bad)
                continue
            self._problems.pop(schedule.id, None)
            if due is not None or upcoming is None:
                self._busy[schedule.id] = gevent.spawn(self._deal_with, schedule, due)
            else:
                if schedule.seen > now:  # the clock was set back: times come again
                    self._all[schedule.id] = replace(schedule, seen=now)
                moments.append(upcoming)
        return min(moments, default=None)

    def _deal_with(self, schedule: Schedule, due: float | None) -> None:
        id = schedule.id
        _, refusal = self._again.pop(id, (0.0, ""))
        try:
            last = None if due is None else self._item_at(schedule, due, refusal)
            with self._lock_of(id):
                if self._all.get(id) is not schedule:
                    return  # it was removed or replaced meanwhile
                if due is not None:
                    schedule = self._all[id] = replace(schedule, seen=due, last=last)
                if schedule.next(max(clock.time(), schedule.seen)) is None:
                    log.info("%s: schedule %s has had its last time", self._name, id)
                    self._remove(id)
                else:
                    self._put(schedule)
        except (TooMany, StateError) as bad:
            if str(bad) != refusal:
                log.warning("%s: schedule %s: %s", self._name, id, bad)
            self._again[id] = clock.time() + self.pause, str(bad)
        except Exception:
            log.exception("%s: schedule %s", self._name, id)
            self._again[id] = clock.time() + self.pause, "internal error"
        finally:
            del self._busy[id]
            self._alarm.set()

    def _item_at(self, schedule: Schedule, moment: float, refusal: str) -> Last:
        """Add the item of a time, unless it is there already, or not wanted. Raises StateError and
        TooMany. `refusal` is why that failed before.
        """
        key = schedule.key(moment)
        uid = self._items.find_key(key)
        if uid is None:
            if (reason := self._why_not(schedule, moment)) is not None:
                reason = f"{reason}: {refusal}" if refusal else reason
                log.log(
                    logging.INFO if reason == OVERLAPS else logging.WARNING,
                    "%s: schedule %s: %s",
                    self._name,
                    schedule.id,
                    reason,
                )
                return Last(moment, reason=reason)
            try:
                uid = self._add(schedule, key)
            except (TooMany, StateError):
                raise
            except CommandError as refused:
                log.warning("%s: schedule %s: %s", self._name, schedule.id, refused)
                return Last(moment, reason=str(refused))
        if schedule.overlap == REPLACE:
            earlier = [module for module in self._living(schedule) if module.uid != uid]
            for module in earlier:
                module.removal = "was replaced by the next one of its schedule"
            self._items.remove([module.uid for module in earlier])
        return Last(moment, uid)

    def _why_not(self, schedule: Schedule, moment: float) -> str | None:
        """Why a time gets no item; None: it gets one."""
        late = clock.time() - moment
        if late > self.grace and schedule.missed != ONCE:
            return f"missed {in_words(moment, zone(schedule.tz))}, which was {late:.0f} s ago"
        if schedule.overlap not in (QUEUE, REPLACE) and self._living(schedule):
            return OVERLAPS
        return None

    def _add(self, schedule: Schedule, key: str) -> str:
        kind = self._broker.modules_available_dict.get(schedule.type)
        if kind is None:
            raise CommandError(f"there is no type {schedule.type!r} in the settings")
        terms = Terms(priority=schedule.priority, label=schedule.label, schedule=schedule.id)
        token = caller.set(Caller("read", "", schedule.by))  # the item is this client's
        try:
            return self._items.add(kind, schedule.args, key, terms, later=True)
        finally:
            caller.reset(token)

    def _living(self, schedule: Schedule) -> list[Module]:
        """The items of a schedule that have not ended."""
        return [
            module
            for module in self._broker.roster.listed
            if module.terms.schedule == schedule.id and module.state not in ENDED
        ]
