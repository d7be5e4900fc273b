"""The queue: one module plays, the others are suspended, a background plays while it is empty.

`python -m shmooze.queue [NAME]` runs one with the module types that the settings name; the name
(default `queue`) is its name in `ports` and its section in the settings.
"""

from __future__ import annotations

if __name__ == "__main__":
    from shmooze.runtime.patch import patch_all

    patch_all()

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from shmooze.access.permission import Target
from shmooze.access.scopes import ORDER, OWN
from shmooze.attached import AttachingBroker
from shmooze.broker import section
from shmooze.broker.broker import Broker
from shmooze.broker.catalog import by_type, refuse_turns, types_from_settings
from shmooze.broker.launchers import Launchers
from shmooze.broker.policy import FirstPlays, Policy
from shmooze.broker.roster import Place
from shmooze.broker.shapes import Added, Args, Key, Names, Shown, Told, Type, Uid, Wanted
from shmooze.broker.views import as_targets, select, show
from shmooze.errors import CommandError
from shmooze.modules.module import Module
from shmooze.runtime import declared
from shmooze.runtime.program import run_named

if TYPE_CHECKING:
    from shmooze.turns.forecast import Forecast


class Queue(AttachingBroker):
    """Modules in order. The first one plays, the others wait for their turn.

    A background plays while there is nothing else to play.
    """

    name = "queue"
    log_namespace = "client-queue"

    def __init__(
        self,
        modules: Iterable[type[Module]],
        backgrounds: Iterable[type[Module]] = (),
        logfilename: str | None = None,
        name: str | None = None,
    ) -> None:
        self.backgrounds_available_dict = by_type(backgrounds)
        self._forecast: Forecast | None = None
        self._repeat: Any = None
        super().__init__(modules, logfilename, name)
        refuse_turns(self.kinds())

    def make_policy(self) -> Policy:
        policy = FirstPlays(self.kinds())
        self.renewals.append(lambda renewal: lambda: policy.renew(renewal.kinds))
        return policy

    def forecast(self, shown: list[Shown]) -> None:
        if self.durations is None:
            return
        if self._forecast is None:
            # Loaded only where there is a history.
            from shmooze.turns.forecast import forecast_of_queue

            self._forecast = forecast_of_queue(self.roster, self.durations)
        self._forecast.complete(shown)

    def attach_ordering(self) -> None:
        from shmooze.ordering.attach import attach  # loaded only where the settings order items

        attach(self, keeps_first=True)

    def _set_repeat(self, mode: str) -> None:
        self._repeating().become(mode)

    def _repeating(self) -> Any:
        """What repeats items, from the first time on that it is wanted."""
        if self._repeat is None:
            from shmooze.ordering.repeat import Repeat  # loaded only where items are repeated

            policy = self._policy if isinstance(self._policy, FirstPlays) else None
            self._repeat = Repeat(self.items, self.roster, self._factory, policy)
        return self._repeat

    def restore(self, launchers: Launchers) -> None:
        super().restore(launchers)
        if (mode := self.kept_values.get("repeat")) is not None:
            self._repeating().restore(mode)

    def kinds(self) -> Iterable[type[Module]]:
        return dict.fromkeys([*super().kinds(), *self.backgrounds_available_dict.values()])

    def types_by_place(self) -> dict[Place, dict[str, type[Module]]]:
        return {**super().types_by_place(), Place.BACKGROUND: self.backgrounds_available_dict}

    def show_background(self, parameters: Wanted = {}) -> Shown | None:
        """The background, or null if there is none."""
        background = self.roster.background
        return show(background, parameters) if background else None

    def set_bg(self, type: Type, args: Args = {}, key: Key = None) -> Added:
        """Start a module as the background, and remove the old background.

        If the new one cannot be started, the old one stays.
        """
        kind = self.kind_of(type, Place.BACKGROUND)
        return {"uid": self.items.set_background(kind, args, key)}

    def backgrounds_available(self) -> list[str]:
        """The names of the module types that can be the background."""
        return list(self.backgrounds_available_dict)

    def tell_background(self, uid: Uid, cmd: Told, args: Args = {}) -> Any:
        """Pass a command on to the background, as `tell_module` does to a module."""
        return self.items.tell(self._find_background(uid), cmd, args)

    def ask_background(self, uid: Uid, parameters: Names) -> dict[str, Any]:
        """The latest values of some parameters of the background, without those not set."""
        return select(self._find_background(uid), parameters)

    def cmd_targets(self, cmd: str, args: dict[str, Any]) -> Iterable[Target] | None:
        background = as_targets([self.roster.background] if self.roster.background else [])
        if cmd == "set_bg" and "type" in args:
            return [Target(args["type"]), *background]
        if cmd == "tell_background":
            return background
        return super().cmd_targets(cmd, args)

    def _find_background(self, uid: str) -> Module:
        background = self.roster.background
        if background is None or background.uid != uid:
            raise CommandError(f"no background with uid {uid!r} in {self.name}")
        return background

    commands = {
        "add": Broker.add,
        "rm": Broker.rm,
        "mv": Broker.mv,
        "hold": Broker.hold,
        "release": Broker.release,
        "pause": Broker.pause,
        "resume": Broker.resume,
        "skip": Broker.skip,
        "clear": Broker.clear,
        "shuffle": Broker.shuffle,
        "repeat": Broker.repeat,
        "status": Broker.status,
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
        "wait": Broker.wait,
        "follow": Broker.follow,
        "usage": Broker.usage,
        "standby_available": Broker.standby_available,
        "reload": Broker.reload,
    }
    log_cmds = (*Broker.log_cmds, "mv", "set_bg", "tell_background")
    cmd_scopes = {**Broker.cmd_scopes, "mv": (ORDER, OWN)}
    read_cmds = (*Broker.read_cmds, "queue", "bg", "backgrounds_available", "ask_background")


def _from_settings(name: str) -> Queue:
    words = "is a key of pools: of a queue, one module plays"
    section.refuse_key(declared.current(), name, "slots", words)
    section.refuse_key(declared.current(), name, "has", "is a key of pools: in a queue, one plays")
    modules = types_from_settings(name, "modules")
    return Queue(modules, types_from_settings(name, "backgrounds", may_be_empty=True), name=name)


if __name__ == "__main__":
    run_named(_from_settings, "queue")
