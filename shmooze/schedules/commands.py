"""The commands on schedules: `schedule`, `schedules`, `unschedule`.

All else of schedules is loaded with the first one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shmooze.access.caller import caller, caller_name
from shmooze.access.permission import Target
from shmooze.access.scopes import ADD, CONTROL, OWN
from shmooze.broker.broker import Broker
from shmooze.broker.order_commands import decides_order
from shmooze.broker.shapes import Args, Label, Priority, Type
from shmooze.broker.terms import moment, terms_of
from shmooze.broker.views import shown_of
from shmooze.errors import CommandError
from shmooze.runtime import clock
from shmooze.schedules.shapes import (
    At,
    Cron,
    Every,
    Id,
    Missed,
    NewId,
    Overlap,
    Scheduled,
    Shown,
    Until,
    Zone,
)

if TYPE_CHECKING:
    from shmooze.schedules.schedule import Schedule
    from shmooze.schedules.scheduler import Scheduler

#: Before the keys of kept values that are schedules.
KEPT = "schedule:"
#: Characters that an id may have.
_MAX_ID = 100


class Schedules:
    """The schedules of one queue or pool, as commands that are added to it."""

    #: Schedules at the same time.
    most = 1000

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._scheduler: Scheduler | None = None

    def attach(self) -> None:
        """Offer the commands, and go on with the schedules that are kept."""
        self._broker.add_table(self)
        self._broker.on_open.append(self._known)

    def schedule(
        self,
        type: Type,
        args: Args = {},
        cron: Cron = None,
        at: At = None,
        every: Every = None,
        tz: Zone = None,
        missed: Missed = "skip",
        overlap: Overlap = "skip",
        until: Until = None,
        label: Label = None,
        priority: Priority = 0,
        id: NewId = None,
    ) -> Scheduled:
        """Add a module at the times that `cron`, `at` or `every` gives. One of them is required.

        Schedules are kept in the state file. No time adds more than one module, even if the service
        crashes or the clock is changed.
        """
        _check_choice("missed", missed, "skip", "once")
        _check_choice("overlap", overlap, "skip", "queue", "replace")
        if sum(given is not None for given in (cron, at, every)) != 1:
            raise CommandError("schedule: needs one of `cron`, `at` and `every`")
        self._require_order(priority)
        kind = self._broker.kind_of(type)
        terms = terms_of("schedule", label=label, priority=priority)
        self._broker.items.describer.prepare("schedule", kind, args)  # to refuse it at once
        at, until = self._moment("at", at, tz), self._moment("until", until, tz)
        scheduler = self._get()
        id = self._new_id(scheduler, id)
        now = clock.time()
        from shmooze.schedules.schedule import Schedule

        new = Schedule(
            id=id,
            type=type,
            args=args,
            label=terms.label,
            priority=terms.priority,
            cron=cron,
            every=every,
            at=at,
            tz=tz,
            missed=missed,
            overlap=overlap,
            until=until,
            by=caller_name(),
            added=round(now, 3),
            seen=round(now, 3),
        )
        self._check(new, now)
        scheduler.put(new)
        return {"id": id, "next": new.upcoming(now)}

    def schedules(self) -> list[Shown]:
        """The schedules, oldest first, each with its next five times."""
        scheduler = self._known()
        return [self._show(each, scheduler) for each in scheduler.all] if scheduler else []

    def unschedule(self, id: Id) -> None:
        """Remove a schedule. What it has added stays."""
        scheduler = self._known()
        if scheduler is None or scheduler.find(id) is None:
            raise CommandError(f"unschedule: no schedule with id {id!r} in {self._broker.name}")
        scheduler.remove(id)

    def _require_order(self, priority: float) -> None:
        """Raise CommandError if a schedule would give the caller more than `add` does."""
        self._broker.require_order("schedule", priority=priority > 0)
        who = caller.get()
        if who is not None and self._broker.items.has_owner_limits and not decides_order(who):
            words = "with `limits`, a token needs the scope `order` or `control`"
            raise CommandError(f"schedule: {words}")

    def _known(self) -> Scheduler | None:
        """The scheduler, if there may be schedules."""
        is_kept = any(key.startswith(KEPT) for key in self._broker.kept_values)
        return self._get() if is_kept else self._scheduler

    def _get(self) -> Scheduler:
        if self._scheduler is None:
            from shmooze.schedules.scheduler import Scheduler  # loaded only with a schedule

            self._scheduler = Scheduler(self._broker, KEPT)
        return self._scheduler

    def _new_id(self, scheduler: Scheduler, id: str | None) -> str:
        if id is None:
            id = str(uuid.uuid4())
        elif not 0 < len(id) <= _MAX_ID or not id.isprintable():
            words = f"must be a line of 1 to {_MAX_ID} characters"
            raise CommandError(f"schedule: argument `id`: {words}")
        who, earlier = caller.get(), scheduler.find(id)
        if earlier is None:
            if len([*scheduler.all]) >= self.most:
                raise CommandError(f"schedule: limit reached ({self.most} schedules)")
        elif who is not None and who.role != CONTROL and earlier.by != who.name:
            raise CommandError(f"schedule: {id!r} was added with another token")
        return id

    def _moment(self, name: str, given: str | float | None, tz: str | None) -> float | None:
        from shmooze.schedules.recurrence import local_moment
        from shmooze.schedules.zones import zone

        try:
            chosen = zone(tz)
            local = local_moment(given, chosen) if isinstance(given, str) else None
            return moment(name, given) if local is None else local
        except ValueError as bad:
            raise CommandError(f"schedule: {bad}") from None

    def _check(self, new: Schedule, now: float) -> None:
        """Raise CommandError for a schedule that never adds anything."""
        if new.at is not None and new.at <= now:
            raise CommandError("schedule: argument `at`: is in the past")
        try:
            first = new.next(now)
        except ValueError as bad:
            raise CommandError(f"schedule: argument `cron`: {bad}") from None
        if first is None:
            raise CommandError("schedule: it has no time to come, or none before `until`")

    def _show(self, schedule: Schedule, scheduler: Scheduler) -> dict[str, Any]:
        now = clock.time()
        shown: dict[str, Any] = {"id": schedule.id, "type": schedule.type, **self._args(schedule)}
        if schedule.label is not None:
            shown["label"] = schedule.label
        if schedule.priority:
            shown["priority"] = schedule.priority
        for key in ("cron", "every", "tz"):
            if (value := getattr(schedule, key)) is not None:
                shown[key] = value
        for key in ("at", "until"):
            if (value := getattr(schedule, key)) is not None:
                shown[key] = clock.iso8601(value)
        shown |= {
            "missed": schedule.missed,
            "overlap": schedule.overlap,
            "by": schedule.by,
            "added": clock.iso8601(schedule.added),
            "next": schedule.upcoming(now),
        }
        if schedule.last is not None:
            shown["last"] = schedule.last.shown()
        if (problem := scheduler.problem_of(schedule)) is not None:
            shown["problem"] = problem
        return shown

    def _args(self, schedule: Schedule) -> dict[str, Any]:
        """What clients see of its args: {"args"?, "label"?}."""
        kind = self._broker.modules_available_dict.get(schedule.type)
        if kind is None or not kind.show_args:
            return {}
        presentation = self._broker.items.describer.presentation(kind)
        if presentation is None:
            return {"args": schedule.args}
        return shown_of(presentation.view(schedule.args))

    def cmd_targets(self, cmd: str, args: dict[str, Any]) -> Iterable[Target] | None:
        if cmd == "schedule":
            return [Target(args["type"])]
        if cmd == "unschedule":
            scheduler = self._known()
            schedule = scheduler.find(args["id"]) if scheduler else None
            return [Target(schedule.type, schedule.id, schedule.by)] if schedule else []
        return None

    commands: Mapping[str, Callable[..., Any]] = {
        "schedule": schedule,
        "schedules": schedules,
        "unschedule": unschedule,
    }
    log_cmds: Sequence[str] = ("schedule", "unschedule")
    read_cmds: Sequence[str] = ("schedules",)
    cmd_scopes: Mapping[str, Collection[str]] = {"schedule": (ADD,), "unschedule": (OWN,)}


def _check_choice(name: str, value: str, *choices: str) -> None:
    if value not in choices:
        one_of = ", ".join(choices)
        raise CommandError(f"schedule: argument `{name}`: must be one of {one_of}")
