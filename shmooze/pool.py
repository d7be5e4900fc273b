"""The pool: all modules play at the same time.

`python -m shmooze.pool [NAME]` runs one with the module types that the settings name; the name
(default `pool`) is its name in `ports` and its section in the settings.
"""

from __future__ import annotations

if __name__ == "__main__":
    from shmooze.runtime.patch import patch_all

    patch_all()

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from shmooze.attached import AttachingBroker
from shmooze.broker import section
from shmooze.broker.broker import Broker
from shmooze.broker.catalog import types_from_settings
from shmooze.broker.policy import AllPlay, Policy, Room, Wanted
from shmooze.broker.renewal import Renewal
from shmooze.broker.shapes import Shown
from shmooze.errors import SettingsError
from shmooze.modules.module import Module
from shmooze.runtime import declared, schema
from shmooze.runtime.program import run_named
from shmooze.settings import Settings

if TYPE_CHECKING:
    from shmooze.turns.forecast import Forecast
    from shmooze.turns.policy import Turns


class Pool(AttachingBroker):
    """Modules that all play at the same time, or as many as there are `slots`, and as there is
    enough for of what the pool `has`.
    """

    name = "pool"
    log_namespace = "client-pool"

    def __init__(
        self,
        modules: Iterable[type[Module]],
        logfilename: str | None = None,
        name: str | None = None,
        slots: int | None = None,
        has: Mapping[str, float] | None = None,
    ) -> None:
        if slots is not None and (isinstance(slots, bool) or slots < 1):
            raise SettingsError(f"Pool: `slots` must be a whole number above 0, not {slots!r}")
        #: Modules that play at the same time; None: all.
        self.slots = slots
        #: What there is of what types need, such as {"gpu": 2}.
        self.has = _checked(has or {})
        self._turns: Turns | None = None
        self._forecast: Forecast | None = None
        super().__init__(modules, logfilename, name)

    def start(self) -> None:
        self._refuse_unused_keys()
        super().start()

    def check(self) -> None:
        self._refuse_unused_keys()
        super().check()

    def _refuse_unused_keys(self) -> None:
        if self.slots is None:
            words = "is not used by this program: pass it to its `Pool(…, slots=…)`"
            section.refuse_key(declared.current(), str(self.name), "slots", words)
        if not self.has:
            words = "is not used by this program: pass it to its `Pool(…, has=…)`"
            section.refuse_key(declared.current(), str(self.name), "has", words)

    def make_policy(self) -> Policy:
        self.renewals.append(self._prepare_turns)
        if self.slots is None and not self.has and not any(map(_takes_turns, self.kinds())):
            return AllPlay()
        return self._make_turns(self.kinds(), self.slots, self.has)

    def _make_turns(
        self, kinds: Iterable[type[Module]], slots: int | None, has: Mapping[str, float]
    ) -> Policy:
        from shmooze.turns.forecast import Forecast  # loaded only where not everybody plays
        from shmooze.turns.policy import Turns

        self._turns = turns = Turns(kinds, slots, has)
        self.commands = {"mv": Broker.mv, "shuffle": Broker.shuffle, **self.commands}
        self._forecast = Forecast(
            self.roster,
            lambda: turns.now(self.roster),
            lambda type: None if self.durations is None else self.durations(type),
        )
        return turns

    def _prepare_turns(self, renewal: Renewal) -> Callable[[], None]:
        slots, has, kinds = self.slots, self.has, renewal.kinds
        if self.from_settings is not None:
            slots = section.slots(renewal.source, str(self.name))
            has = section.has(renewal.source, str(self.name))
        if slots is None and not has and self._turns is None and not any(map(_takes_turns, kinds)):
            self._refuse_order(renewal.source)
            return lambda: None
        from shmooze.turns.grants import Resources

        resources = Resources(kinds, has)

        def take() -> None:
            self.slots, self.has = slots, dict(has)
            if self._turns is None:
                self.use_policy(self._make_turns(kinds, slots, has))
            else:
                self._turns.renew(kinds, slots, resources, self.roster)
                self._reconciler.choose_again()

        return take

    @property
    def takes_turns(self) -> bool:
        return self._turns is not None

    def room(self) -> Room | None:
        return None if self._turns is None else self._turns.now(self.roster)

    def waiting(self) -> Sequence[Module]:
        return () if self._turns is None else self._turns.plan(self.roster).waiting

    def want(self, wanted: Sequence[Wanted]) -> None:
        if self._turns is not None and [*self._turns.wanted] != [*wanted]:
            self._turns.wanted = wanted
            self._turns.choose_again()
            self._reconciler.choose_again()

    def forecast(self, shown: list[Shown]) -> None:
        if self._forecast is not None:
            self._forecast.complete(shown)

    def attach_ordering(self) -> None:
        from shmooze.ordering.attach import attach  # loaded only where the settings order items

        if self._turns is None:
            self._refuse_order(declared.current())
        attach(self, keeps_first=False)

    def _refuse_order(self, source: Settings) -> None:
        words = "needs `slots`: without them all modules play, whatever their order"
        for key in ("order", "age"):
            section.refuse_key(source, str(self.name), key, words)

    commands = {
        "add": Broker.add,
        "rm": Broker.rm,
        "hold": Broker.hold,
        "release": Broker.release,
        "pause": Broker.pause,
        "resume": Broker.resume,
        "skip": Broker.skip,
        "clear": Broker.clear,
        "status": Broker.status,
        "pool": Broker.show_roster,
        "modules_available": Broker.modules_available,
        "tell_module": Broker.tell_module,
        "ask_module": Broker.ask_module,
        "output": Broker.output,
        "gone": Broker.gone,
        "wait": Broker.wait,
        "follow": Broker.follow,
        "usage": Broker.usage,
        "standby_available": Broker.standby_available,
        "reload": Broker.reload,
    }
    read_cmds = (*Broker.read_cmds, "pool")


def _takes_turns(kind: type[Module]) -> bool:
    """Whether a type has keys by which not all of its modules play at once."""
    has_needs = isinstance(kind.needs, Mapping) and bool(kind.needs)
    return has_needs or kind.max_playing is not None


def _checked(has: Mapping[str, float]) -> dict[str, float]:
    """What a program has given as `has`. Raises SettingsError."""
    checked = schema.check(
        section.Section,
        {"has": dict(has)},
        lambda _, problem: SettingsError(f"Pool: `has` {problem}"),
    )
    amounts: dict[str, float] = checked["has"]
    return amounts


def _from_settings(name: str) -> Pool:
    source = declared.current()
    slots, has = section.slots(source, name), section.has(source, name)
    return Pool(types_from_settings(name, "modules"), name=name, slots=slots, has=has)


if __name__ == "__main__":
    run_named(_from_settings, "pool")
