"""The commands on ended items: `history`, `item`, `requeue`, `forget`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from sqlite3 import Connection
from typing import Any

from shmooze.access.caller import caller_has_left
from shmooze.access.permission import Target
from shmooze.access.scopes import ADD
from shmooze.broker.broker import Broker
from shmooze.broker.roster import Place
from shmooze.broker.shapes import OfBatch, Uid
from shmooze.broker.views import show
from shmooze.errors import CommandError
from shmooze.modules.module import Module
from shmooze.state import past
from shmooze.state.file import StateFile
from shmooze.state.past import Filter
from shmooze.state.shapes import (
    OUTCOMES,
    Before,
    By,
    Count,
    Found,
    InState,
    Limit,
    OfType,
    Text,
    Uids,
)
from shmooze.state.tables import table
from shmooze.state.visibility import Visibility

_ARGS = "args."


class History:
    """The ended items of one queue or pool, as commands that are added to it."""

    def __init__(self, broker: Broker, file: StateFile) -> None:
        self._broker, self._file = broker, file
        self._table = table(str(broker.name), "history")

    def history(
        self,
        limit: Limit = 50,
        before: Before = None,
        type: OfType = None,
        state: InState = None,
        by: By = None,
        text: Text = None,
        count: Count = None,
        batch: OfBatch = None,
    ) -> Found:
        """What has ended, newest first, a page at a time.

        With `count`, a list of values instead, the most frequent first: how often each has ended,
        how many seconds that took, and when it ended last.
        """
        if state is not None and state not in OUTCOMES:
            one_of = ", ".join(OUTCOMES)
            raise CommandError(f"history: argument `state`: must be one of {one_of}")
        wanted = Filter(self._visibility(), type, state, by, text, batch)
        if count is None:
            return self._file.read(lambda db: past.page(db, self._table, wanted, limit, before))
        if before is not None:
            raise CommandError("history: `before` has no meaning together with `count`")
        key = _key_of(count)
        return self._file.read(lambda db: past.counts(db, self._table, wanted, key, limit))

    def item(self, uid: Uid) -> dict[str, Any]:
        """All about one module, running or ended.

        A running module is shown with all its parameters, an ended one with the keys of `history`
        and those of `gone`.
        """
        if (living := self._living().get(uid)) is not None:
            return show(living, True)
        if (known := self._find(uid)) is None:
            raise CommandError(f"no item with uid {uid!r} in {self._broker.name} or its history")
        return known

    def requeue(self, uids: Uids) -> list[str]:
        """Add ended items again, with the same types and args. Returns the new uids in order.

        If one of them is not in the history, or its type is not available, nothing is added.
        If a module refuses to start, the rest is not added, and the error names what was added.
        """
        types = self._types_of(uids)
        self._refuse_living("requeue", uids)
        for uid in uids:
            if uid not in types:
                raise CommandError(
                    f"requeue: no item with uid {uid!r} in the history of {self._broker.name};"
                    " nothing was added"
                )
            if types[uid] not in self._broker.modules_available_dict:
                raise CommandError(
                    f"requeue: {uid!r} has the type {types[uid]!r}, which cannot be added to"
                    f" {self._broker.name}; nothing was added"
                )
        new: list[str] = []
        for uid in uids:
            try:
                new.append(self._add_again(uid, types[uid]))
            except CommandError as refused:
                _add_progress(refused, uid, uids, new)
                raise
        return new

    def _add_again(self, uid: str, type: str) -> str:
        if caller_has_left():
            raise CommandError("was not added, since the client disconnected")
        args = self._file.read(lambda db: past.args_of(db, self._table, uid))
        if not isinstance(args, dict):
            raise CommandError("was not added, since its args are no longer in the history")
        # As the command, which an application may have a function of its own for.
        added = self._broker.commands["add"](self._broker, type=type, args=args)
        return str(added["uid"])

    def forget(self, uids: Uids) -> None:
        """Remove ended items from the history. Unknown uids are ignored.

        The uid of a module that has not ended is an error, and nothing is removed.
        """
        self._refuse_living("forget", uids)
        sql = f"DELETE FROM {self._table} WHERE uid = ?"
        self._file.commit(*((sql, (uid,)) for uid in uids))
        for forget in self._broker.on_forget:
            forget(uids)

    def usual_seconds(self, type: str) -> float | None:
        """How long items of a type usually took that were done; None if there is none."""
        try:
            return self._file.read(lambda db: past.median_seconds(db, self._table, type))
        except CommandError:  # it is only a guess, and no reason to fail
            return None

    def _find(self, uid: str) -> dict[str, Any] | None:
        """An item that has no place any more, perhaps since a moment ago."""
        visibility, items = self._visibility(), table(str(self._broker.name), "items")

        def find(db: Connection) -> dict[str, Any] | None:
            # First where it leaves, then where it goes.
            return past.find_ending(db, items, uid, visibility) or past.find(
                db, self._table, uid, visibility
            )

        return self._file.read(find)

    def _types_of(self, uids: list[str]) -> dict[str, str]:
        return self._file.read(lambda db: past.types(db, self._table, uids))

    def _living(self) -> dict[str, Module]:
        """The items that have not ended, by uid. One that was removed has, even if its process
        takes a while.
        """
        roster = self._broker.roster
        return {
            module.uid: module
            for module in roster.everyone
            if roster.place_of(module) is not Place.NOWHERE
        }

    def _refuse_living(self, cmd: str, uids: list[str]) -> None:
        living = self._living()
        for uid in uids:
            if uid in living:
                raise CommandError(f"{cmd}: {uid!r} has not ended; nothing was changed")

    def _visibility(self) -> Visibility:
        kinds = list(self._broker.kinds())
        presented = [(kind, self._broker.items.describer.presentation(kind)) for kind in kinds]
        described = {kind.TYPE_STRING: each for kind, each in presented if each is not None}
        return Visibility.of(kinds, described)

    def cmd_targets(self, cmd: str, args: dict[str, Any]) -> Iterable[Target] | None:
        if cmd != "requeue":
            return None
        return map(Target, self._types_of(args["uids"]).values())

    commands: Mapping[str, Callable[..., Any]] = {
        "history": history,
        "item": item,
        "requeue": requeue,
        "forget": forget,
    }
    log_cmds: Sequence[str] = ("requeue", "forget")
    read_cmds: Sequence[str] = ("history", "item")
    cmd_scopes: Mapping[str, Collection[str]] = {"requeue": (ADD,)}


def _key_of(count: str) -> str | None:
    """The key of args that `count` names; None for the type."""
    if count == "type":
        return None
    key = count.removeprefix(_ARGS)
    if key == count or not key or set(key) & set('"\\') or not key.isprintable():
        raise CommandError(
            'history: argument `count`: must be "type" or "args.KEY", with a KEY that has neither'
            " quotes, backslashes nor control characters"
        )
    return key


def _add_progress(refused: CommandError, uid: str, uids: list[str], new: list[str]) -> None:
    """Let a refusal say which item it is about, and what was added before."""
    line = f"requeue: {uid!r}: {refused}"
    if new:
        line += f"; {len(new)} of {len(uids)} were added: {', '.join(new)}"
    refused.args = (line,)
