"""Permission: whether the caller of a command may execute it.

A processor says which scopes allow a command, and what a command would change. All else is here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from shmooze.access.caller import Caller
from shmooze.access.scopes import CONTROL, OWN, READ
from shmooze.errors import CommandError


class Target(NamedTuple):
    """A module that a command would add or change."""

    type: str
    #: Its uid; None: the command would add it.
    uid: str | None = None
    #: The name of the token it was added with; None: none.
    by: str | None = None


#: Returns what a command would change; None: that is not known.
FindTargets = Callable[[], Iterable[Target] | None]


def require_permission(
    who: Caller, cmd: str, enough: Collection[str], find_targets: FindTargets
) -> None:
    """Raise CommandError if the caller's token does not allow a command, for all of its targets.

    `enough` are scopes of which each allows the command; `control` always does. A token that is
    restricted to some modules allows no command whose targets are not known.
    """
    scopes = who.scopes
    if who.role == CONTROL or READ in enough:
        return
    held = scopes.allowed & {CONTROL, *enough}
    if not held:
        if scopes.allowed == {READ}:
            raise CommandError(f"{cmd}: this token may only read")
        needed = " or ".join(f"`{each}`" for each in enough or [CONTROL])
        raise CommandError(f"{cmd}: this token needs the scope {needed}")
    only_own = held == {OWN}
    if not only_own and scopes.types is None:
        return
    targets = find_targets()
    if targets is None:
        limit = "its own modules" if only_own else f"modules of type {_list(scopes.types)}"
        raise CommandError(f"{cmd}: this token may only change {limit}")
    for target in targets:
        if scopes.types is not None and target.type not in scopes.types:
            verb = "add" if target.uid is None else "change"
            raise CommandError(f"{cmd}: this token may not {verb} modules of type {target.type!r}")
        if only_own and target.uid is not None and (target.by is None or target.by != who.name):
            raise CommandError(
                f"{cmd}: this token may only change its own modules, and {target.uid} is not one"
            )


def _list(types: Collection[str] | None) -> str:
    return " or ".join(repr(each) for each in sorted(types or ()))
