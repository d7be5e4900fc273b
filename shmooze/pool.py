"""The pool: all modules play at the same time.

`python -m shmooze.pool [NAME]` runs one with the module types that the settings name; the name
(default `pool`) is its name in `ports` and its section in the settings.
"""

from __future__ import annotations

if __name__ == "__main__":
    from shmooze.runtime.patch import patch_all

    patch_all()

from collections.abc import Iterable, Sequence

from shmooze.broker import declared
from shmooze.broker.broker import Broker
from shmooze.broker.catalog import types_from_settings
from shmooze.broker.policy import AllPlay, Policy, SomePlay
from shmooze.errors import SettingsError
from shmooze.modules.module import Module
from shmooze.runtime import declared as runtime_declared
from shmooze.runtime.program import run_named


class Pool(Broker):
    """Modules that all play at the same time, or as many of them as there are `slots`."""

    name = "pool"
    log_namespace = "client-pool"

    def __init__(
        self,
        modules: Iterable[type[Module]],
        logfilename: str | None = None,
        name: str | None = None,
        slots: int | None = None,
    ) -> None:
        if slots is not None and (isinstance(slots, bool) or slots < 1):
            raise SettingsError(f"Pool: `slots` must be a whole number above 0, not {slots!r}")
        #: Modules that play at the same time; None: all.
        self.slots = slots
        super().__init__(modules, logfilename, name)

    def start(self) -> None:
        if self.slots is None:
            words = "is not used by this program: pass it to its `Pool(…, slots=…)`"
            declared.refuse_key(runtime_declared.current(), str(self.name), "slots", words)
        super().start()

    def make_policy(self) -> Policy:
        return AllPlay() if self.slots is None else SomePlay(self.slots)

    def free_slots(self) -> int | None:
        capacity = self._policy.capacity
        return None if capacity is None else max(0, capacity - self._policy.taken(self.roster))

    def want(self, modules: Sequence[Module | None]) -> None:
        policy = self._policy
        if isinstance(policy, SomePlay) and [*policy.wanted] != [*modules]:
            policy.wanted = modules
            self._reconciler.choose_again()

    def attach_state(self) -> None:
        from shmooze.state.attach import attach  # loaded only where there is a state file

        attach(self)

    def attach_descriptions(self) -> None:
        from shmooze.description.attach import attach  # loaded only where a type is described

        attach(self)

    def attach_doors(self) -> None:
        from shmooze.servers.attach import attach  # loaded only where a type has a web server

        attach(self)

    commands = {
        "add": Broker.add,
        "rm": Broker.rm,
        "hold": Broker.hold,
        "release": Broker.release,
        "pool": Broker.show_roster,
        "modules_available": Broker.modules_available,
        "tell_module": Broker.tell_module,
        "ask_module": Broker.ask_module,
        "output": Broker.output,
        "gone": Broker.gone,
        "usage": Broker.usage,
        "standby_available": Broker.standby_available,
    }
    read_cmds = (*Broker.read_cmds, "pool")


def _from_settings(name: str) -> Pool:
    slots = declared.slots(runtime_declared.current(), name)
    return Pool(types_from_settings(name, "modules"), name=name, slots=slots)


if __name__ == "__main__":
    run_named(_from_settings, "pool")
