"""The commands that queue and pool share.

Clients read their docstrings and hints in the answer to `describe`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any

from msgspec import Meta

from shmooze.access.permission import Target
from shmooze.access.scopes import ADD, ORDER, OWN
from shmooze.broker.attachments import Attachments
from shmooze.broker.describer import describe_type, describe_types
from shmooze.broker.factory import ModuleFactory
from shmooze.broker.order_commands import OrderCommands
from shmooze.broker.roster import Place
from shmooze.broker.shapes import (
    Added,
    After,
    Args,
    Batch,
    Ended,
    Followed,
    Grep,
    Index,
    InWindow,
    Key,
    KnownUids,
    Label,
    Later,
    Line,
    MaxLines,
    MaybeUids,
    Moment,
    Names,
    OfBatch,
    OneUid,
    OnStandby,
    Patience,
    Priority,
    Shown,
    Since,
    Told,
    Type,
    Uid,
    Used,
    Waited,
    Wanted,
)
from shmooze.broker.supervision import Supervision
from shmooze.broker.terms import moment, terms_of
from shmooze.broker.usage import UsageSampler
from shmooze.broker.views import as_targets, select, show
from shmooze.errors import CommandError
from shmooze.modules.module import Module

#: Lines of output that clients get if they do not ask for more.
_SHOWN_LINES = 200
_ONE_TYPE = Meta(description="The name of the module type to describe; null for all.")


class Commands(Attachments, OrderCommands):
    """Commands on the modules of a broker, which has the attributes declared here."""

    modules_available_dict: dict[str, type[Module]]
    _factory: ModuleFactory
    _supervision: Supervision
    _usage: UsageSampler

    def types_by_place(self) -> dict[Place, dict[str, type[Module]]]:
        """The types on offer for each place of an item."""
        raise NotImplementedError

    def add(
        self,
        type: Type,
        args: Args = {},
        key: Key = None,
        priority: Priority = 0,
        at: Index = None,
        label: Label = None,
        not_before: Moment = None,
        expires: Moment = None,
        after: After = [],
        batch: Batch = None,
        window: InWindow = None,
        later: Later = False,
    ) -> Added:
        """Start a module and put it at the end. `order` or `at` may put it elsewhere.

        Returns once the module has accepted its arguments, and plays if it is its turn. A module
        that refuses its arguments is removed, and its own text is the error.
        """
        kind = self.kind_of(type)
        is_alone = window is not None  # in which no others play
        self.require_order("add", at=at is not None, priority=priority > 0, window=is_alone)
        terms = terms_of(
            "add",
            priority=priority,
            label=label,
            not_before=not_before,
            expires=expires,
            after=after,
            batch=batch,
            window=window,
        )
        if terms.has_times:
            self.need_times()
        if terms.after:
            terms = self.need_jobs().resolve(terms)
        return {"uid": self.items.add(kind, args, key, terms, at, later)}

    def rm(self, uids: MaybeUids = None, batch: OfBatch = None) -> None:
        """Remove modules, and the background if its uid is given.

        With `batch`, remove all that were added with this name.

        Returns when they have stopped, or their time to do so is over, and the next one plays.
        Their processes may end later; `gone` says how.
        """
        if uids is None and batch is None:
            raise CommandError("rm: argument `uids` is missing")
        self.items.remove(self._to_remove(uids, batch))

    def _to_remove(self, uids: list[str] | None, batch: str | None) -> list[str]:
        everyone = self.roster.everyone if batch is not None else ()
        return [*(uids or ()), *(each.uid for each in everyone if each.terms.batch == batch)]

    def wait(self, uid: OneUid = None, timeout: Patience = 30.0, batch: OfBatch = None) -> Waited:
        """Wait until an item has ended; with `batch`, until all items of that batch have.

        Returns how it ended, or null if it has not ended in time. The service may answer null
        before `timeout` seconds are over; then ask again.
        """
        if (uid is None) == (batch is None):
            raise CommandError("wait: needs either `uid` or `batch`")
        if batch is not None:
            return self.need_jobs().wait_for_batch(batch, timeout)
        return self.need_jobs().wait(str(uid), timeout)

    def follow(self, uid: Uid, since: Line = 0, timeout: Patience = 30.0) -> Followed:
        """Wait for output of an item, from the line `since` on, or for its end.

        To get what comes next, send the command again with `next` of the answer as `since`.
        """
        return self.need_jobs().follow(uid, since, timeout)

    def hold(self, uids: KnownUids) -> None:
        """Keep modules from playing until `release`. They keep their places.

        A module without a process does not start; one with a process is suspended. If one of them
        is just starting, none is held.
        """
        self.items.hold(uids)

    def release(self, uids: KnownUids) -> None:
        """Let held modules start and play when it is their turn.

        Modules that are not held are ignored.
        """
        self.items.release(uids)

    def show_roster(self, parameters: Wanted = {}) -> list[Shown]:
        """The modules in order, then those that are still starting and have no place yet.

        It shows the latest values that the modules have sent, and never disturbs them.
        """
        shown = [show(module, parameters) for module in self.roster.listed]
        self.forecast(shown)
        return shown

    def forecast(self, shown: list[Shown]) -> None:
        """Add to modules that wait for their turns when these come, as far as that is known."""

    def modules_available(self) -> list[str]:
        """The names of the module types that can be added."""
        return list(self.modules_available_dict)

    def tell_module(self, uid: Uid, cmd: Told, args: Args = {}) -> Any:
        """Pass a command on to a module.

        Returns the module's answer. If it refuses, its own text is the error.
        """
        return self.items.tell(self._find(uid), cmd, args)

    def ask_module(self, uid: Uid, parameters: Names) -> dict[str, Any]:
        """The latest values of some parameters of a module, without those that are not set."""
        return select(self._find(uid), parameters)

    def output(
        self, uid: Uid, since: Since = None, grep: Grep = None, limit: MaxLines = _SHOWN_LINES
    ) -> list[str]:
        """The last lines that a module has written, oldest first.

        With `log_path` in the settings, also those of a module that has ended.
        """
        try:
            start = moment("since", since)
        except ValueError as bad:
            raise CommandError(f"output: {bad}") from None
        lives = [module for module in self.roster.everyone if module.uid == uid]
        if self.log_files is None and start is not None:
            raise CommandError("output: argument `since`: needs `log_path` in the settings")
        is_plain = start is None and grep is None and limit <= _SHOWN_LINES
        if self.log_files is not None and not (lives and is_plain):
            lines = self.log_files.read(uid, limit, start, grep)
            if lines is not None:
                return lines
        if not lives:
            raise CommandError(f"no module with uid {uid!r} in {self.name}")
        return [line for line in lives[-1].output if grep is None or grep in line][-limit:]

    def gone(self) -> list[Ended]:
        """How and why the last 100 modules ended, oldest first."""
        return list(self._supervision.ended)

    def standby_available(self) -> OnStandby:
        """The standby processes of each type that has `standby`."""
        return self._factory.standby.show()

    def usage(self) -> Used:
        """CPU time and memory of each module, including all processes that it has started.

        Measured on request, and at most once a second.
        """
        return self._usage.read()

    def describe(self, type: Annotated[str | None, _ONE_TYPE] = None) -> dict[str, Any]:
        """Describe this service with its commands and module types, or one module type alone.

        A type without a description is `{}`.
        """
        if type is not None:
            return describe_type(self.types_by_place(), self.items.describer, type)
        return self.described()

    built_in = {"describe": describe}

    def described(self) -> dict[str, Any]:
        types = describe_types(self.types_by_place(), self.items.describer)
        types |= self.items.limits_available(self.types_by_place().values())
        return {**super().described(), **types, "events": True}

    def loggable(self, query: Any) -> Any:
        return self.items.describer.loggable(query)

    # Who may do what.

    def cmd_targets(self, cmd: str, args: dict[str, Any]) -> Iterable[Target] | None:
        if cmd == "add" and "type" in args:
            return [Target(args["type"])]
        if cmd == "rm" and not args.keys().isdisjoint(("uids", "batch")):
            uids = self._to_remove(args.get("uids"), args.get("batch"))
            return as_targets(self.items.named(uids))
        if cmd in ("hold", "release") and "uids" in args:
            return as_targets(self.items.named(args["uids"]))
        if cmd == "tell_module" and "uid" in args:
            return as_targets(self.items.named([args["uid"]]))
        return super().cmd_targets(cmd, args)

    def kind_of(self, type: str, place: Place = Place.ORDER) -> type[Module]:
        """The type on offer with this name, for this place. Raises CommandError."""
        types = self.types_by_place()[place]
        if type not in types:
            raise CommandError(f"unknown module type {type!r}; known: {', '.join(types) or 'none'}")
        return types[type]

    def _find(self, uid: str) -> Module:
        module = self.roster.find(uid)
        place = self.roster.place_of(module) if module is not None else Place.NOWHERE
        if module is not None and place is Place.ORDER:
            return module
        if place is Place.ARRIVING:
            raise CommandError(f"module {uid!r} in {self.name} is still starting")
        raise CommandError(f"no module with uid {uid!r} in {self.name}")

    optional_cmds: Mapping[str, str] = {
        **dict.fromkeys(
            ("history", "item", "requeue", "forget", "schedule", "schedules", "unschedule"),
            "`state_path`",
        ),
        "vote": "`votes`",
        "metrics": "`metrics`",
    }
    log_cmds: tuple[str, ...] | list[str] = ("rm", "add", "tell_module", "hold", "release")
    cmd_scopes: Mapping[str, Collection[str]] = {
        "add": (ADD,),
        "rm": (OWN,),
        "tell_module": (OWN,),
        "hold": (ORDER, OWN),
        "release": (ORDER, OWN),
    }
    read_cmds: tuple[str, ...] | list[str] = (
        *("modules_available", "ask_module", "output", "gone", "wait", "follow"),
        *("usage", "standby_available"),
    )
