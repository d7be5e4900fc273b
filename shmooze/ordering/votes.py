"""Votes of owners on items: to come sooner, or to be skipped. Each has one vote of each kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from shmooze.access.permission import Target
from shmooze.access.scopes import ADD, ORDER
from shmooze.broker import section
from shmooze.broker.items import Items
from shmooze.broker.roster import Place, Roster
from shmooze.broker.shapes import Uid, object_of
from shmooze.broker.views import as_targets
from shmooze.errors import CommandError
from shmooze.modules.lifecycle import ENDED
from shmooze.modules.module import Module
from shmooze.modules.terms import Terms
from shmooze.ordering.owners import owner_of_caller

UP, SKIP = KINDS = ("up", "skip")

_MEANINGS = {UP: "it comes sooner", SKIP: "it ends if enough people want that"}


def _one_of(kinds: Sequence[str]) -> Meta:
    meanings = "; ".join(f"`{kind}`: {_MEANINGS[kind]}" for kind in kinds)
    return Meta(description=f"{meanings}.", extra_json_schema={"enum": [*kinds]})


Kind = Annotated[str, _one_of(KINDS)]
TakeBack = Annotated[bool, Meta(description="Whether an earlier vote is taken back.")]
_COUNT = {"type": "integer"}
Counts = Annotated[dict[str, int], object_of("The votes on it.", ups=_COUNT, skips=_COUNT)]


class Votes:
    """The command `vote`, which is added to a queue or pool. `service` is its name in errors."""

    def __init__(self, service: str, chosen: section.Votes, items: Items, roster: Roster) -> None:
        self._service, self._chosen, self._items, self._roster = service, chosen, items, roster
        self.commands = {"vote": _described([kind for kind in KINDS if self._takes(kind)])}

    def _takes(self, kind: str) -> bool:
        return self._chosen.up if kind == UP else self._chosen.skip is not None

    def vote(self, uid: Uid, kind: Kind, take_back: TakeBack = False) -> Counts:
        """Vote for a module. A second vote of the same person changes nothing.

        A person is a token, or an address where no tokens are used.
        """
        if kind not in KINDS:
            raise CommandError(f"vote: argument `kind`: must be one of {', '.join(KINDS)}")
        if not self._takes(kind):
            raise CommandError(f"vote: {self._service} has no votes of the kind {kind!r}")
        owner = owner_of_caller()

        def plan() -> tuple[Mapping[str, float], Mapping[str, Terms]]:
            module = self._find(uid)
            terms = _with_vote(module.terms, kind, owner, take_back)
            if terms == module.terms:
                return {}, {}
            return self._new_place(module, terms) if kind == UP else {}, {uid: terms}

        self._items.rearrange(plan)
        terms = self._find(uid).terms
        counts = {"ups": len(terms.ups), "skips": len(terms.skips)}
        most = self._chosen.skip
        if kind == SKIP and most is not None and len(terms.skips) >= most:
            votes = "1 vote" if most == 1 else f"{most} votes"
            self._items.remove([uid], f"was skipped by {votes}")
        return counts

    def _new_place(self, module: Module, terms: Terms) -> Mapping[str, float]:
        """The number of the place that an item gets by a vote."""
        if terms.moved or module in self._items.current:
            return {}
        line = self._roster.line
        others = [each for each in line.everyone if each is not module]
        before, module.terms = module.terms, terms
        try:
            successor = self._items.ordering.successor(module, others)
        finally:
            module.terms = before
        return line.promise_before([module.uid], successor)

    def _find(self, uid: str) -> Module:
        module = self._roster.find(uid)
        if (
            module is None
            or self._roster.place_of(module) is not Place.ORDER
            or module.state in ENDED
        ):
            raise CommandError(f"vote: no item with uid {uid!r} in {self._service}")
        return module

    def cmd_targets(self, cmd: str, args: dict[str, Any]) -> Iterable[Target] | None:
        return as_targets(self._items.named([args["uid"]])) if cmd == "vote" else None

    commands: Mapping[str, Callable[..., Any]] = {"vote": vote}
    log_cmds: Sequence[str] = ("vote",)
    read_cmds: Sequence[str] = ()
    cmd_scopes: Mapping[str, Collection[str]] = {"vote": (ADD, ORDER)}


def _with_vote(terms: Terms, kind: str, owner: str, take_back: bool) -> Terms:
    votes = terms.ups if kind == UP else terms.skips
    rest = tuple(each for each in votes if each != owner)
    if not take_back:
        rest = votes if owner in votes else (*votes, owner)
    return replace(terms, ups=rest) if kind == UP else replace(terms, skips=rest)


def _described(kinds: Sequence[str]) -> Callable[..., Any]:
    """The command, which `describe` shows with these kinds alone."""

    @wraps(Votes.vote)
    def vote(self: Votes, **args: Any) -> Any:
        return self.vote(**args)

    vote.__annotations__ = {**Votes.vote.__annotations__, "kind": Annotated[str, _one_of(kinds)]}
    return vote
