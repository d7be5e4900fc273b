"""Reload: new settings for a queue or pool that runs. Children and clock are in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import pytest
from fakes import FakeClock, fake_clock
from fakes import run_until_idle as rest
from memory_keeper import MemoryKeeper
from reloadable import Service, settings_in

from shmooze import pool, queue, settings
from shmooze.errors import CommandError
from shmooze.settings import Settings

#: Seconds in which everything has ended, or was started again.
LONG = 100.0


Make = Callable[..., Service]
OLD = {"process": ["old"]}
NEW = {"process": ["new"]}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    with settings_in(tmp_path) as file:
        yield file


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with fake_clock() as fake:
        yield fake


@pytest.fixture
def a_pool(file: Path, clock: FakeClock) -> Make:
    return partial(Service, file, clock, pool._from_settings)


@pytest.fixture
def a_queue(file: Path, clock: FakeClock) -> Make:
    return partial(Service, file, clock, queue._from_settings)


# Types.


def test_a_new_type_can_be_added_at_once(a_pool: Make) -> None:
    service = a_pool()
    assert service.reload(modules={"plain": OLD, "other": NEW}) == {"added": ["modules.other"]}
    assert service.program_of(service.add("other")) == "new"
    assert service.broker.modules_available() == ["plain", "other"]


def test_what_runs_keeps_its_definition_and_the_next_one_has_the_new(a_pool: Make) -> None:
    service = a_pool()
    uid = service.add()
    assert service.reload(modules={"plain": {**NEW, "command_timeout": 9}}) == {
        "changed": ["modules.plain"]
    }
    assert service.shown(uid)["state"] == "playing"
    assert service.broker.roster.order[0].command_timeout == 5.0
    assert service.program_of(service.add()) == "new"
    assert len(service.launcher.living) == 2


def test_a_file_that_says_the_same_changes_nothing(a_queue: Make) -> None:
    service = a_queue(backgrounds={"quiet": OLD})
    kinds = [*service.broker.kinds()]
    assert service.reload(backgrounds={"quiet": OLD}) == {}
    assert [*service.broker.kinds()] == kinds


def test_an_item_that_waits_is_started_by_the_new_definition(a_queue: Make) -> None:
    lazy = {**OLD, "spawn": "lazy", "lookahead": 0}
    service = a_queue(modules={"plain": lazy})
    first, second = service.add(args={"n": 1}), service.add(args={"n": 2}, label="Two")
    before = service.shown(second)
    service.reload(modules={"plain": {**lazy, **NEW}})
    assert service.shown(second) == before
    service.broker.rm([first])
    service.clock.advance(LONG)
    assert service.program_of(second) == "new"
    assert service.shown(second)["state"] == "playing"
    assert (service.shown(second)["args"], service.shown(second)["label"]) == ({"n": 2}, "Two")


def test_an_item_that_is_being_kept_gets_the_new_definition(a_queue: Make) -> None:
    lazy = {**OLD, "spawn": "lazy", "lookahead": 0}
    service = a_queue(modules={"plain": lazy})
    service.add()
    service.broker.items.keeper = keeper = MemoryKeeper()
    keeper.may_go_on.clear()
    adding = gevent.spawn(service.broker.add, "plain")
    rest()
    service.reload(modules={"plain": {**lazy, "lookahead": 1}})
    keeper.may_go_on.set()
    rest()
    uid = adding.get()["uid"]
    assert service.shown(uid)["state"] == "suspended"
    service.broker.items.keeper = keeper = MemoryKeeper()
    keeper.may_go_on.clear()
    adding = gevent.spawn(service.broker.add, "plain")
    rest()
    service.reload(modules={"other": OLD})
    keeper.may_go_on.set()
    rest()
    uid = adding.get()["uid"]
    assert service.shown(uid)["held"] == "there is no type 'plain' in the settings"


def test_what_is_started_again_gets_the_new_definition(a_pool: Make) -> None:
    service = a_pool(modules={"plain": {**OLD, "restart": "always"}})
    ends_before, ends_after = service.add(), service.add()
    service.process_of(ends_before).exit(1)
    rest()
    service.reload(modules={"plain": {**NEW, "restart": "always"}})
    service.process_of(ends_after).exit(1)
    service.clock.advance(LONG)
    for uid in (ends_before, ends_after):
        assert service.program_of(uid) == "new"
        assert service.shown(uid)["state"] == "playing"


def test_items_of_a_type_that_is_gone_are_held_until_it_is_back(a_queue: Make) -> None:
    lazy = {**OLD, "spawn": "lazy", "lookahead": 0}
    service = a_queue(modules={"plain": lazy, "other": OLD})
    plays, waits, held = service.add(), service.add(), service.add()
    service.broker.hold([held])
    assert service.reload(modules={"other": OLD}) == {"removed": ["modules.plain"]}
    assert service.shown(plays)["state"] == "playing"
    for uid in (waits, held):
        assert service.shown(uid)["held"] == "there is no type 'plain' in the settings"
    with pytest.raises(CommandError, match="unknown module type 'plain'; known: other"):
        service.broker.add("plain")
    with pytest.raises(CommandError, match="there is no type 'plain'"):
        service.broker.release([waits])
    service.reload(modules={"other": OLD, "plain": {**lazy, **NEW}})
    assert "held" not in service.shown(waits)
    assert service.shown(held)["held"] == "held by a client"
    service.broker.rm([plays])
    service.clock.advance(LONG)
    assert service.shown(waits)["state"] == "playing"
    assert service.program_of(waits) == "new"


def test_one_whose_type_is_gone_is_not_started_again(a_pool: Make) -> None:
    service = a_pool(modules={"plain": {**OLD, "restart": "always"}, "other": OLD})
    uid = service.add()
    service.reload(modules={"other": OLD})
    service.process_of(uid).exit(1)
    service.clock.advance(LONG)
    assert service.shown(uid)["state"] == "held"
    assert service.launcher.living == []


def test_the_background_keeps_its_definition_too(a_queue: Make) -> None:
    service = a_queue(backgrounds={"quiet": OLD})
    setting = gevent.spawn(service.broker.set_bg, "quiet")  # type: ignore[attr-defined]
    rest()
    setting.get()
    assert service.reload(backgrounds={"quiet": NEW}) == {"changed": ["backgrounds.quiet"]}
    assert service.broker.roster.background is not None
    assert service.broker.roster.background.state.value == "playing"


def test_processes_on_standby_are_replaced(a_pool: Make) -> None:
    service = a_pool(modules={"plain": {**OLD, "standby": 2}})
    service.clock.advance(LONG)
    service.reload(modules={"plain": {**NEW, "standby": 1}})
    service.clock.advance(LONG)
    assert [each.spec.argv[0] for each in service.launcher.living] == ["new"]
    service.reload(modules={"plain": NEW})
    service.clock.advance(LONG)
    assert service.launcher.living == []


def test_standby_can_begin_with_a_reload(a_pool: Make) -> None:
    service = a_pool()
    service.reload(modules={"plain": {**OLD, "standby": 1}})
    service.clock.advance(LONG)
    assert service.broker.standby_available()["plain"]["available"] == 1


def test_a_process_of_an_old_definition_serves_no_further_item(a_pool: Make) -> None:
    service = a_pool(modules={"plain": {**OLD, "reuse": 9}})
    uid = service.add()
    service.reload(modules={"plain": {**NEW, "reuse": 9}})
    process = service.process_of(uid)
    process.update("result", value=1)
    process.update("rm")
    service.clock.advance(LONG)
    assert service.launcher.living == []
    assert service.program_of(service.add()) == "new"


def test_programs_are_preloaded_as_the_new_settings_say(a_pool: Make) -> None:
    service = a_pool()
    service.reload(modules={"plain": {"process": ["python3", "x.py"], "preload": True}})
    assert service.launchers.preloaded == ["plain"]


def test_a_time_limit_counts_for_new_items(a_pool: Make) -> None:
    service = a_pool()
    old = service.add()
    service.reload(modules={"plain": {**OLD, "time_limit": 10}})
    new = service.add()
    service.clock.advance(LONG)
    assert [each["uid"] for each in service.broker.show_roster()] == [old]
    assert service.broker.gone()[-1]["uid"] == new


def test_a_description_counts_at_once_also_one_in_a_file(a_pool: Make, file: Path) -> None:
    described = {**OLD, "schema": "plain.json"}
    for name in ("n", "m"):
        schema = {"args": {"type": "object", "required": [name]}}
        (file.parent / "plain.json").write_text(json.dumps(schema))
        service = a_pool() if name == "n" else service  # noqa: F821
        service.reload(modules={"plain": described})
        with pytest.raises(CommandError, match=f"`{name}`"):
            service.broker.add("plain")


# What is wrong.


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"modules": {"plain": {"process": []}}}, "`pool.modules.plain.process` must name"),
        ({"modules": {"plain": {**OLD, "proces": 1}}}, "`pool.modules.plain.proces` is unknown"),
        ({"modules": {}}, "`pool.modules` names no module type"),
        ({"slots": 0}, "`pool.slots` must be a whole number above 0"),
        ({"max_modules": "x"}, "`pool.max_modules` must be"),
        ({"order": "priority"}, "`pool.order` needs `slots`"),
        ({"slots": 1, "age": 1}, "`pool.age` needs"),
        ({"route_by": "json:x"}, "`pool.route_by` needs a type with `http`"),
        ({"modules": {"plain": {**OLD, "needs": {"gpu": 1}}}}, "`pool.modules.plain.needs` names"),
        ({"modules": {"plain": {**OLD, "preempt": True}}}, "`pool.modules.plain.preempt` has no"),
        ({"modules": {"plain": {**OLD, "schema": "none.json"}}}, "`pool.modules.plain.schema`"),
        ({"modules": {"plain": {**OLD, "schema": {"args": 1}}}}, "`pool.modules.plain.schema"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_changes_nothing(
    a_pool: Make, section: dict[str, Any], words: str
) -> None:
    service = a_pool()
    uid, kinds, current = service.add(), [*service.broker.kinds()], settings.current()
    other = {"other": {**NEW, "standby": 1}}
    with pytest.raises(CommandError) as refusal:
        service.reload(
            **{**section, "modules": {**other, **section.get("modules", other)}}
            if section != {"modules": {}}
            else section
        )
    text = str(refusal.value)
    assert words in text and str(service.file) in text and text.endswith("Nothing was changed")
    assert "\n" not in text
    service.clock.advance(LONG)
    assert [*service.broker.kinds()] == kinds
    assert settings.current() is current
    assert [each["uid"] for each in service.broker.show_roster()] == [uid]
    assert len(service.launcher.processes) == 1
    assert service.reload() == {}


@pytest.mark.parametrize("content", ["{", "[]", "\xff", '{"ports": {"pool": "x"}}'])
def test_a_broken_file_changes_nothing(a_pool: Make, content: str) -> None:
    service = a_pool()
    service.file.write_text(content, "latin-1")
    with pytest.raises(CommandError, match="Nothing was changed"):
        service.broker.reload()
    assert service.program_of(service.add()) == "old"


def test_a_service_that_ends_does_not_reload(a_pool: Make) -> None:
    service = a_pool()
    service.broker.stop()
    with pytest.raises(CommandError, match="pool is shutting down"):
        service.broker.reload()


# Other keys.


def test_slots_count_at_once_in_both_directions(a_pool: Make) -> None:
    service = a_pool()
    uids = [service.add() for _ in range(3)]
    assert service.reload(slots=1) == {"settings": ["pool.slots"]}
    states = lambda: [service.shown(uid)["state"] for uid in uids]  # noqa: E731
    assert states() == ["playing", "suspended", "suspended"]
    service.reload(slots=2)
    assert states() == ["playing", "playing", "suspended"]
    service.reload()
    assert states() == ["playing"] * 3


def test_what_the_pool_has_counts_at_once(a_pool: Make) -> None:
    needing = {"plain": {**OLD, "needs": {"gpu": 1}}}
    service = a_pool(has={"gpu": 1}, modules=needing)
    first, second = service.add(), service.add()
    assert service.shown(second)["state"] == "waiting"
    service.reload(has={"gpu": 2}, modules=needing)
    assert service.shown(second)["state"] == "playing"
    assert service.process_of(first).spec.argv == ["old"]


def test_the_limit_of_a_type_counts_those_of_old_definitions(a_pool: Make) -> None:
    service = a_pool()
    service.add()
    service.reload(modules={"plain": {**NEW, "max_playing": 1}})
    second = service.add()
    assert service.shown(second)["state"] == "suspended"


def test_limits_and_order_count_for_new_items(a_queue: Make) -> None:
    service = a_queue()
    first, second = service.add(), service.add()
    changed = service.reload(order="priority", limits={"per_hour": 9}, max_modules=4)
    assert changed == {"settings": ["queue.max_modules", "queue.order", "queue.limits"]}
    third = service.add(priority=2)
    order = [each["uid"] for each in service.broker.show_roster()]
    assert order == [first, third, second]
    service.add()
    with pytest.raises(CommandError, match="limit reached"):
        service.broker.add("plain")
    service.reload(order="fair")
    service.reload(order="fifo")
    with pytest.raises(CommandError, match='needs `"order": "priority"`'):
        service.broker.add("plain", priority=2)


def test_keys_that_need_a_restart_are_named_until_then(a_pool: Make) -> None:
    service = a_pool()
    service.top["state_path"] = "x.db"
    service.top["ports"]["pool"] = 5001
    needs = {"needs_restart": ["state_path", "ports.pool", "pool.votes"]}
    assert service.reload(votes={"skip": 1}) == needs
    assert service.reload(votes={"skip": 1}) == needs


def test_types_of_a_program_stay_but_keys_of_the_section_count(a_pool: Make) -> None:
    service = a_pool()
    service.broker.from_settings = None
    report = service.reload(modules={"other": OLD}, max_modules=1)
    assert report == {"settings": ["pool.max_modules"]}
    service.add()
    with pytest.raises(CommandError, match="limit reached"):
        service.broker.add("plain")


def test_a_reload_is_refused_while_the_service_starts(file: Path, clock: FakeClock) -> None:
    file.write_text(json.dumps({"ports": {"pool": 1}, "pool": {"modules": {"plain": OLD}}}))
    settings.use(Settings.load())
    with pytest.raises(CommandError, match="still starting"):
        pool._from_settings("pool").reload()
