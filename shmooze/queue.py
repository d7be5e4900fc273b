"""The queue: one module plays, the others are suspended, a background plays while it is empty.

`python -m shmooze.queue [NAME]` runs one with the module types that the settings name; the name
(default `queue`) is its name in `ports` and its section in the settings.
"""

from __future__ import annotations

if __name__ == "__main__":
    from shmooze.runtime.patch import patch_all

    patch_all()

from collections.abc import Iterable
from typing import Any

from shmooze.broker.broker import Broker
from shmooze.broker.catalog import by_type, types_from_settings
from shmooze.broker.events import View
from shmooze.broker.views import Wanted, entry, select, show
from shmooze.errors import CommandError
from shmooze.modules.lifecycle import READY, State
from shmooze.modules.module import Module
from shmooze.runtime.program import run_named


class Queue(Broker):
    """An ordered roster of which the first plays."""

    name = "queue"
    log_namespace = "client-queue"

    def __init__(
        self,
        modules: Iterable[type[Module]],
        backgrounds: Iterable[type[Module]] = (),
        logfilename: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(modules, logfilename, name)
        self.backgrounds_available_dict = by_type(backgrounds)
        self.background: Module | None = None
        #: The longest of all types.
        self._lookahead = max((kind.lookahead for kind in self.kinds()), default=0)

    def head(self) -> Module | None:
        """The one whose turn it is: the first that can play, or the background."""
        for module in self.roster:
            if module.state in READY:  # one that is being started is passed over
                return module
        return self.background

    def view(self) -> View:
        there = self.background
        return View(super().view().modules, (there.uid, entry(there)) if there else None)

    def should_play(self, module: Module) -> bool:
        return module is self.head()

    def may_play(self, module: Module) -> bool:
        """Only when nobody else is on stage, those who were told to leave it included."""
        return all(other is module for other in self.playing)

    def undecided(self) -> Iterable[Module]:
        head = self.head()
        return [*self.playing, *([head] if head else [])]

    def is_due(self, kind: type[Module], place: int) -> bool:
        return place <= kind.lookahead

    def due(self) -> Iterable[Module]:
        near = self.roster[: self._lookahead + 1]
        return [
            module
            for place, module in enumerate(near)
            if module.state is State.WAITING and self.is_due(type(module), place)
        ]

    def kinds(self) -> Iterable[type[Module]]:
        return {*super().kinds(), *self.backgrounds_available_dict.values()}

    def replace(self, module: Module, successor: Module | None) -> bool:
        if module is not self.background:
            return super().replace(module, successor)
        self.background = successor
        return True

    def rm(self, uids: list[str]) -> None:
        before = self.head()
        named = self._dismiss_named(uids)
        self.settle_and_wait([*named, *self._changed_heads(before)])

    def mv(self, uids: list[str]) -> None:
        before = self.head()
        places = {uid: place for place, uid in reversed(list(enumerate(uids)))}
        self.roster.sort(key=lambda module: places.get(module.uid, len(places)))
        self.settle_and_wait(self._changed_heads(before))

    def show_background(self, parameters: Wanted = {}) -> dict[str, Any] | None:
        return show(self.background, parameters) if self.background else None

    def set_bg(self, type: str, args: dict[str, Any] = {}) -> dict[str, str]:
        module = self._start_new(self._kind(self.backgrounds_available_dict, type), args, [])
        old = [self.background] if self.background else []
        self._dismiss(old)
        self.background = module
        self.settle_and_wait([*old, module])
        self._refuse_failed(module)
        return {"uid": module.uid}

    def backgrounds_available(self) -> list[str]:
        return list(self.backgrounds_available_dict)

    def tell_background(self, uid: str, cmd: str, args: dict[str, Any] = {}) -> Any:
        return self._find_background(uid).tell(cmd, args)

    def ask_background(self, uid: str, parameters: list[str]) -> dict[str, Any]:
        return select(self._find_background(uid), parameters)

    def _changed_heads(self, before: Module | None) -> list[Module]:
        """The head of before and the present one, if they are not the same."""
        now = self.head()
        return [] if now is before else [head for head in (before, now) if head is not None]

    def _find_background(self, uid: str) -> Module:
        if self.background is None or self.background.uid != uid:
            raise CommandError(f"no background with uid {uid!r} in {self.name}")
        return self.background

    commands = {
        "add": Broker.add,
        "rm": rm,
        "mv": mv,
        "queue": Broker.show_roster,
        "bg": show_background,
        "set_bg": set_bg,
        "modules_available": Broker.modules_available,
        "backgrounds_available": backgrounds_available,
        "tell_module": Broker.tell_module,
        "tell_background": tell_background,
        "ask_module": Broker.ask_module,
        "ask_background": ask_background,
        "output": Broker.output,
        "gone": Broker.gone,
        "usage": Broker.usage,
        "standby_available": Broker.standby_available,
    }
    log_cmds = (*Broker.log_cmds, "mv", "set_bg", "tell_background")
    read_cmds = (*Broker.read_cmds, "queue", "bg", "backgrounds_available", "ask_background")


def _from_settings(name: str) -> Queue:
    modules = types_from_settings(name, "modules")
    return Queue(modules, types_from_settings(name, "backgrounds", may_be_empty=True), name=name)


if __name__ == "__main__":
    run_named(_from_settings, "queue")
