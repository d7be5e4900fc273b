"""Reloads among all else that happens to a queue or pool: nothing is lost, nothing is half done.

No process is started and no time passes: the children are in memory, and the clock is a fake.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
import machines
import pytest
from fakes import FakeProcess, fake_clock
from fakes import run_until_idle as rest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from memory_keeper import MemoryKeeper
from reloadable import Service, settings_in

from shmooze import pool, queue
from shmooze.broker.roster import Place
from shmooze.errors import CommandError
from shmooze.modules.lifecycle import WITHOUT_PROCESS, State

#: Seconds after which all commands, restarts and ends are over.
LONG = 400.0
#: What may be said of a type beside its program.
LAZY = {"spawn": "lazy", "lookahead": 0}
KEYS: list[dict[str, Any]] = [
    *({}, LAZY, {"standby": 1}, {"reuse": 3}),
    *({"restart": "always"}, {"restart": "on-failure", **LAZY}),
]
#: Sections with a mistake in them, beside good types.
BAD: list[dict[str, Any]] = [{"max_modules": 0}, {"order": "x"}, {"modules": {"a": {}}}]
TYPES = ("a", "b", "c")


class Reloads(RuleBasedStateMachine):
    """What holds for queue and pool alike."""

    make: Any
    keys: list[dict[str, Any]] = [{}]

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        file = self._stack.enter_context(settings_in(folder))
        clock = self._stack.enter_context(fake_clock())
        #: How often the settings were changed. The program of each type is named after that.
        self.version = 0
        self.types: dict[str, Any] = {"a": {"process": ["0"], **LAZY}, "b": {"process": ["0"]}}
        self.service = Service(file, clock, self.make, modules=self.types)
        self.broker = self.service.broker
        self.broker.items.keeper = self.keeper = MemoryKeeper()
        self.service.launcher._on_launch = self._on_launch
        #: The version of the settings when each `add` began that is under way.
        self.adding: dict[Any, int] = {}
        self.added: set[str] = set()
        self.removed: set[str] = set()

    def _on_launch(self, process: FakeProcess) -> None:
        """Every process is of the definition that counts now, or did when its `add` began."""
        process.begun_at = self.version  # type: ignore[attr-defined]
        oldest = min([self.version, *self.adding.values()])
        name, program = process.label.split()[0], int(process.spec.argv[0])
        if oldest == self.version:
            assert self.types[name]["process"] == [str(program)]

    def _add(self, name: str) -> None:
        def add() -> None:
            try:
                self.added.add(self.broker.add(name)["uid"])
            except CommandError:
                pass  # the type may be gone, there may be too many modules, or the child has ended
            finally:
                del self.adding[gevent.getcurrent()]

        greenlet = gevent.spawn(add)
        self.adding[greenlet] = self.version
        rest()

    @rule(data=st.data())
    def add(self, data: st.DataObject) -> None:
        self._add(data.draw(st.sampled_from([*self.types, *self.types, *TYPES])))

    @rule(data=st.data())
    def add_several(self, data: st.DataObject) -> None:
        for name in data.draw(st.lists(st.sampled_from([*self.types]), min_size=2, max_size=4)):
            self._add(name)

    @rule(data=st.data(), names=st.sets(st.sampled_from(TYPES), min_size=1))
    def reload(self, data: st.DataObject, names: set[str]) -> None:
        """Each type stays as it is, or is defined anew; others are gone."""
        self.version += 1
        new = {}
        for name in sorted(names):
            keys = data.draw(st.sampled_from(KEYS))
            stays = name in self.types and data.draw(st.booleans())
            new[name] = self.types[name] if stays else {"process": [str(self.version)], **keys}
        before, self.types = self.types, new
        section = data.draw(st.sampled_from(self.keys))
        report = self.service.reload(modules=new, **section)
        assert report.get("added", []) == [f"modules.{n}" for n in new if n not in before]
        assert report.get("removed", []) == [f"modules.{n}" for n in before if n not in new]

    @rule(section=st.sampled_from(BAD))
    def reload_in_vain(self, section: dict[str, Any]) -> None:
        before = [*self.broker.kinds()], [*self.broker.roster.everyone]
        modules = {"a": {"process": ["bad"]}, **section.get("modules", {})}
        with pytest.raises(CommandError, match="Nothing was changed"):
            self.service.reload(**{**section, "modules": modules})
        assert before == ([*self.broker.kinds()], [*self.broker.roster.everyone])

    @precondition(lambda self: self.service.launcher.living)
    @rule(data=st.data(), status=st.sampled_from([0, 1]))
    def a_child_exits(self, data: st.DataObject, status: int) -> None:
        data.draw(st.sampled_from(self.service.launcher.living)).exit(status)
        rest()

    @precondition(lambda self: self.service.launcher.living)
    @rule(data=st.data())
    def a_child_is_done(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(self.service.launcher.living))
        process.update("result", value=1)
        process.update("rm")
        rest()

    @precondition(lambda self: self.broker.roster.order)
    @rule(data=st.data(), command=st.sampled_from(["rm", "hold", "release"]))
    def change_one(self, data: st.DataObject, command: str) -> None:
        uid = data.draw(st.sampled_from([each.uid for each in self.broker.roster.order]))
        if command == "rm":
            self.removed.add(uid)

        def send() -> None:
            try:
                getattr(self.broker, command)([uid])
            except CommandError:
                pass  # it is starting, has ended, or has no type

        gevent.spawn(send)
        rest()

    @rule()
    def keeping_takes_its_time(self) -> None:
        self.keeper.may_go_on.clear()

    @rule()
    def keeping_goes_on(self) -> None:
        self.keeper.may_go_on.set()
        rest()

    @rule(seconds=st.sampled_from([0.2, 3.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.service.clock.advance(seconds)

    @invariant()
    def no_item_is_lost(self) -> None:
        listed = {each.uid for each in self.broker.roster.listed}
        leaving = {each.uid for each in self.broker.roster.everyone}
        ended = {each["uid"] for each in self.broker.gone()}
        assert self.added <= listed | leaving | ended | self.removed
        assert len(listed) == len(self.broker.roster.listed)

    @invariant()
    def what_waits_has_the_present_definition(self) -> None:
        offered = self.broker.modules_available_dict
        for module in self.broker.roster.order:
            if module.state not in WITHOUT_PROCESS or self.broker._reconciler.is_starting(module):
                continue
            assert type(module) is offered.get(module.TYPE_STRING) or module.is_missing
            assert module.is_missing == (module.TYPE_STRING not in offered)
            if module.is_missing:
                assert module.held == f"there is no type {module.TYPE_STRING!r} in the settings"

    @invariant()
    def nothing_is_left_of_what_was_replaced(self) -> None:
        roster = self.broker.roster
        waiting = {*roster.in_state(State.WAITING), *roster.in_state(State.HELD)}
        assert waiting <= {*roster.listed}

    @invariant()
    def what_waits_for_use_is_on_offer(self) -> None:
        roster = self.broker.roster
        for module in roster.in_state(State.STANDBY):
            is_taken = roster.place_of(module) is not Place.NOWHERE
            assert is_taken or type(module) in [*self.broker.kinds()]

    def teardown(self) -> None:
        try:
            self.keeper.may_go_on.set()
            self.service.clock.advance(LONG)
            assert not self.adding
            for module in self.broker.roster.order:
                assert module.state is State.PLAYING or not self._should_play(module)
        finally:
            self._stack.close()

    def _should_play(self, module: Any) -> bool:
        return module.held is None


class QueueReloads(Reloads):
    make = staticmethod(queue._from_settings)
    keys = [{}, {"order": "fair"}, {"order": "priority"}, {"max_modules": 3}]

    def _should_play(self, module: Any) -> bool:
        free = [each for each in self.broker.roster.order if each.held is None]
        return module is free[0] if free else False


class PoolReloads(Reloads):
    make = staticmethod(pool._from_settings)
    keys = [{}, {"slots": 1}, {"slots": 2, "order": "priority"}, {"max_modules": 3}]

    def _should_play(self, module: Any) -> bool:
        return module.held is None and self.broker.room() is None


@pytest.mark.parametrize("machine", [QueueReloads, PoolReloads])
def test_nothing_is_lost_by_reloads(machine: type[Reloads]) -> None:
    machines.run(machine, examples=12, steps=25)
