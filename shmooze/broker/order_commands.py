"""The commands on the order of a queue or pool, and on whether it plays.

Clients read their docstrings and hints in the answer to `describe`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any

from msgspec import Meta

from shmooze.access.caller import Caller, caller
from shmooze.access.permission import Target
from shmooze.access.scopes import CONTROL, ORDER, OWN
from shmooze.broker.arranging import PAUSED
from shmooze.broker.items import Items
from shmooze.broker.roster import Roster
from shmooze.broker.shapes import Uids, object_of
from shmooze.broker.views import as_targets
from shmooze.errors import CommandError
from shmooze.lib.service import JSONCommandProcessor
from shmooze.modules.module import Module

Neighbour = Annotated[str | None, Meta(description="The uid of a module that is not moved.")]
To = Annotated[int | None, Meta(description="A place, counted from 0.")]
Suspends = Annotated[bool, Meta(description="Whether those that play are suspended.")]
Skipped = Annotated[
    str | None, Meta(description="The uid of a module that plays; null for the only one.")
]
Playing = Annotated[bool, Meta(description="Whether to remove those that play, too.")]
Mode = Annotated[
    str,
    Meta(
        description="`all`: at the end; `one`: in its place; `off`: not at all.",
        extra_json_schema={"enum": ["off", "one", "all"]},
    ),
]
Status = Annotated[
    dict[str, Any],
    object_of(
        "What concerns the whole service.",
        paused={
            "type": ["object", "null"],
            "properties": {"suspend": {"type": "boolean"}},
            "description": "How it is paused; null: it is not.",
        },
        repeat={"enum": ["off", "one", "all"]},
    ),
]


def decides_order(who: Caller) -> bool:
    """Whether somebody's token lets them decide on the order of others."""
    return who.role == CONTROL or bool(who.scopes.allowed & {CONTROL, ORDER})


class OrderCommands(JSONCommandProcessor):
    """Commands on the order of a broker, which has the attributes declared here."""

    name: str | None
    roster: Roster
    items: Items

    def mv(
        self, uids: Uids, before: Neighbour = None, after: Neighbour = None, to: To = None
    ) -> None:
        """Move modules to the front, or to the place that another argument names.

        The moved modules are in the order of `uids`, one after the other. All others keep their
        order.
        """
        # The caller is not known where the move is kept.
        check = partial(self._check_passed, caller.get())
        self.items.move(uids, before, after, to, check)

    def _check_passed(self, who: Caller | None, passed: Iterable[Module]) -> None:
        """Raise CommandError if somebody's items pass those of others by the scope `own`, where
        priority or turns decide on the order.
        """
        if who is None or decides_order(who) or not self.items.ordering.marks_moved:
            return
        if any(each.origin.by is None or each.origin.by != who.name for each in passed):
            words = "this token needs the scope `order` or `control` to pass items of others"
            raise CommandError(f"mv: {words}")

    def shuffle(self) -> None:
        """Put the modules that do not play in a random order."""
        self.items.shuffle()

    def pause(self, suspend: Suspends = False) -> None:
        """Keep all modules from beginning to play until `resume`, also after a restart.

        Modules that play go on, unless `suspend` is true.
        """
        self.items.pause(suspend)

    def resume(self) -> None:
        """Let modules play again after `pause`."""
        self.items.resume()

    def skip(self, uid: Skipped = None) -> str | None:
        """Remove the module that plays, so that the next one plays.

        Returns its uid, or null if none plays. If several play, name one of them.
        """
        return self.items.skip(uid)

    def clear(self, playing: Playing = False) -> None:
        """Remove all modules that do not play. The background stays."""
        self.items.remove(self._cleared(playing), "was removed with all others")

    def repeat(self, mode: Mode) -> None:
        """Add modules that are done to the queue again: at its end, or in their own places."""
        self._set_repeat(mode)

    def _set_repeat(self, mode: str) -> None:
        raise NotImplementedError

    def status(self) -> Status:
        """Whether the service is paused, and whether modules that are done are repeated."""
        return {PAUSED: self.items.paused, "repeat": self.items.repeat}

    def _cleared(self, playing: bool) -> list[str]:
        current = () if playing else self.items.current
        return [module.uid for module in self.roster.listed if module not in current]

    def require_order(self, cmd: str, **wanted: bool) -> None:
        """Raise CommandError if the caller's token may not decide on the order of others, and an
        argument would do that.
        """
        who = caller.get()
        if who is None or decides_order(who):
            return
        for argument, is_wanted in wanted.items():
            if is_wanted:
                words = "this token needs the scope `order` or `control`"
                raise CommandError(f"{cmd}: argument `{argument}`: {words}")

    def cmd_targets(self, cmd: str, args: dict[str, Any]) -> Iterable[Target] | None:
        if not self._is_order_command(cmd):
            return super().cmd_targets(cmd, args)
        if cmd == "mv" and "uids" in args:
            return as_targets(self.items.named(args["uids"]))
        if cmd == "skip":
            current = self.items.current
            uid = args.get("uid")
            return as_targets(each for each in current if uid is None or each.uid == uid)
        if cmd == "clear":
            return as_targets(self.items.named(self._cleared(args.get("playing", False))))
        return super().cmd_targets(cmd, args)

    def allow_order_commands(self) -> None:
        """Log the commands of this table, and let tokens use them. An application that has a
        command of its own by such a name decides that itself.
        """
        ours = [cmd for cmd in (*_SCOPES, "status") if self._is_order_command(cmd)]
        scopes = {cmd: _SCOPES[cmd] for cmd in ours if cmd in _SCOPES}
        self.cmd_scopes = {**scopes, **self.cmd_scopes}
        self.log_cmds = [*self.log_cmds, *(cmd for cmd in scopes if cmd not in self.log_cmds)]
        self.read_cmds = [*self.read_cmds, *(cmd for cmd in ours if cmd not in scopes)]

    def _is_order_command(self, cmd: str) -> bool:
        function = self.commands.get(cmd)
        return function is not None and function is OrderCommands.__dict__.get(cmd)


#: The scopes that allow the commands that change something.
_SCOPES: Mapping[str, tuple[str, ...]] = {
    "mv": (ORDER, OWN),
    "shuffle": (ORDER,),
    "repeat": (ORDER,),
    "pause": (ORDER,),
    "resume": (ORDER,),
    "skip": (OWN,),
    "clear": (OWN,),
}
