"""The state that a module saves: kept within limits, and given back to its next life."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import gevent
import msgspec
import pytest
from fake_types import AfterFailure, Again, Ahead, Lazy, Plain
from fakes import Fake, FakeClock, FakeLauncher, FakeProcess, open_with, run_until_idle

from shmooze.broker.roster import Change
from shmooze.errors import CommandError
from shmooze.modules import Module
from shmooze.modules.lifecycle import State
from shmooze.pool import Pool

#: Seconds after which a module that has ended was started again.
LONG = 30.0


class Small(Fake):
    TYPE_STRING = "small"
    max_state_bytes = 10


class Log:
    """A command log in memory."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Any]] = []

    def log(self, uid: str | None, namespace: str, command: Any, answer: Any) -> None:
        self.rows.append((namespace, msgspec.json.decode(msgspec.json.encode(command))))


@pytest.fixture
def pool(clock: FakeClock, launcher: FakeLauncher) -> Pool:
    pool = Pool([Plain, Again, AfterFailure, Lazy, Small])
    open_with(pool, launcher)
    return pool


@pytest.fixture
def changes(pool: Pool) -> list[Change]:
    """What a listener of the roster hears."""
    heard: list[Change] = []
    pool.roster.listen(lambda uid, what: heard.append(what))
    return heard


def add(pool: Pool, launcher: FakeLauncher, kind: str) -> tuple[Module, FakeProcess]:
    module = pool.roster.find(pool.add(kind)["uid"])
    assert module is not None
    return module, launcher.processes[-1]


def save(process: FakeProcess, state: Any) -> None:
    process.update("save", state=state)
    run_until_idle()


# The next life.


@pytest.mark.parametrize("state", [{"at": 12.5, "title": "ü"}, [1, [2]], "x", 0, False, None])
def test_state_comes_back_right_before_init(
    pool: Pool, clock: FakeClock, launcher: FakeLauncher, state: Any
) -> None:
    _, first = add(pool, launcher, "after-failure")
    save(first, "an earlier state")
    save(first, state)
    first.exit(1)
    clock.advance(LONG)
    second = launcher.processes[-1]
    assert second is not first
    assert second.heard == ["restore", "init", "play"]
    assert second.restored == [state]


def test_module_that_never_saves_gets_no_restore(
    pool: Pool, clock: FakeClock, launcher: FakeLauncher
) -> None:
    module, process = add(pool, launcher, "again")
    assert module.saved is None
    process.exit(0)
    clock.advance(LONG)
    assert [each.heard[:2] for each in launcher.processes] == 2 * [["init", "play"]]


def test_state_lasts_for_all_later_lives(
    pool: Pool, clock: FakeClock, launcher: FakeLauncher
) -> None:
    _, process = add(pool, launcher, "again")
    save(process, 7)
    for _ in range(2):
        launcher.processes[-1].exit(1)
        clock.advance(LONG)
    assert [process.restored for process in launcher.processes] == [[], [7], [7]]


def test_state_that_is_saved_right_before_the_end_counts_however_late_it_is_read(
    pool: Pool, clock: FakeClock, launcher: FakeLauncher
) -> None:
    _, process = add(pool, launcher, "again")
    save(process, 1)
    process.delay_reading()
    process.update("save", state=2)
    process.exit(1)
    clock.advance(LONG)
    assert launcher.processes[-1].restored == [2]


def test_state_that_is_saved_in_answer_to_rm_counts(
    pool: Pool, changes: list[Change], launcher: FakeLauncher
) -> None:
    module, process = add(pool, launcher, "plain")
    process.is_obedient = False
    removing = gevent.spawn(pool.rm, [module.uid])
    run_until_idle()
    changes.clear()
    save(process, 3)
    process.answer()
    save(process, 4)
    assert removing.ready()
    assert module.saved == b"4"
    assert changes.count(Change.SAVED) == 2


def test_lazy_module_that_has_lived_before_restores_its_state(
    pool: Pool, launcher: FakeLauncher
) -> None:
    launcher.may_go_on.clear()
    module = pool._factory.new_waiting(Lazy, {})
    module.saved = b'{"at":1}'
    launcher.may_go_on.set()
    module.start({})
    (process,) = launcher.processes
    assert (process.heard, process.restored) == (["restore", "init"], [{"at": 1}])


@pytest.fixture
def ready(clock: FakeClock, launcher: FakeLauncher) -> tuple[Pool, Module, FakeProcess]:
    """A pool, and its module on standby with its process."""
    pool = Pool([Ahead])
    open_with(pool, launcher)
    clock.advance(1)
    (module,) = pool.roster.in_state(State.STANDBY)
    return pool, module, launcher.processes[0]


def test_process_on_standby_restores_a_state_too(ready: tuple[Pool, Module, FakeProcess]) -> None:
    pool, module, process = ready
    module.saved = b"5"
    assert pool.add("ahead")["uid"] == module.uid
    assert (process.heard, process.restored) == (["restore", "init", "play"], [5])


def begin_to_restore(pool: Pool, module: Module, process: FakeProcess) -> gevent.Greenlet:
    """An `add` of which the process has got `restore`, and has not answered it."""
    module.saved = b"5"
    process.is_obedient = False
    adding = gevent.spawn(pool.add, "ahead")
    run_until_idle()
    return adding


def test_refused_restore_is_a_refused_start(
    ready: tuple[Pool, Module, FakeProcess], clock: FakeClock
) -> None:
    pool, module, process = ready
    adding = begin_to_restore(pool, module, process)
    assert process.heard == ["restore"]
    process.answer(False)
    clock.advance(LONG)
    with pytest.raises(CommandError) as refused:
        adding.get()
    assert str(refused.value) == "ahead refused `restore`: no restore"
    assert process.heard == ["restore"]  # and no `init`


def test_refused_restore_ends_a_life_and_not_the_item(
    pool: Pool, clock: FakeClock, launcher: FakeLauncher
) -> None:
    module, process = add(pool, launcher, "again")
    save(process, 5)
    process.exit(1)
    launcher.fault = "no such program"  # so that the next one is not started yet
    clock.advance(1)
    launcher.fault = ""
    refusing: list[FakeProcess] = []

    def refuse(process: FakeProcess) -> None:
        process.is_obedient = bool(refusing)
        refusing.append(process)

    launcher._on_launch = refuse
    clock.advance(2)
    refusing[0].connect()
    run_until_idle()
    refusing[0].answer(False)
    clock.advance(LONG)
    assert pool.gone()[-1]["reason"] == "refused `restore`: no restore"
    assert [process.restored for process in refusing] == [[5], [5]]
    assert pool.roster.find(module.uid).state is State.PLAYING


def test_restore_and_init_each_have_the_time_of_a_command(
    pool: Pool, clock: FakeClock, launcher: FakeLauncher
) -> None:
    module = pool._factory.new_waiting(Lazy, {})
    module.saved = b"5"
    launcher._on_launch = lambda process: setattr(process, "is_obedient", False)
    starting = gevent.spawn(module.start, {})
    run_until_idle()
    (process,) = launcher.processes
    process.connect()
    for _ in ("restore", "init"):
        clock.advance(Lazy.command_timeout - 0.5)
        process.answer()
        run_until_idle()
    assert starting.ready()
    assert module.state is State.SUSPENDED


def test_module_that_is_removed_while_it_restores_gets_no_init(
    ready: tuple[Pool, Module, FakeProcess], clock: FakeClock
) -> None:
    pool, module, process = ready
    adding = begin_to_restore(pool, module, process)
    pool.rm([module.uid])
    process.answer()
    clock.advance(LONG)
    with pytest.raises(CommandError, match="was removed before it had started"):
        adding.get()
    assert process.heard == ["restore"]


# What is kept, and what is refused.


def test_state_that_is_too_long_is_refused_and_the_old_one_kept(
    pool: Pool, launcher: FakeLauncher
) -> None:
    module, process = add(pool, launcher, "small")
    save(process, "x" * 8)
    save(process, "x" * 9)
    save(process, "ü" * 5)  # bytes, not characters
    assert module.saved == b'"xxxxxxxx"'
    assert process.refusals == [
        "the state takes 11 bytes of JSON; `max_state_bytes` is 10",
        "the state takes 12 bytes of JSON; `max_state_bytes` is 10",
    ]
    save(process, [1, 2])
    assert module.saved == b"[1,2]"
    assert module.state is State.PLAYING


REFUSED = {
    "NaN": (float("nan"), "bad update: "),
    "a long integer": (10**30, "an integer does not fit into 64 bits"),
    "half of a surrogate pair": ("\ud800", "bad update: half of a surrogate pair"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_state_that_could_not_be_passed_on_is_refused(
    pool: Pool, launcher: FakeLauncher, what: str
) -> None:
    value, words = REFUSED[what]
    module, process = add(pool, launcher, "plain")
    save(process, 1)
    save(process, {"x": value})
    (refusal,) = process.refusals
    assert refusal.startswith(words)
    assert module.saved == b"1"


def test_state_that_is_nested_too_deep_is_refused(pool: Pool, launcher: FakeLauncher) -> None:
    module, process = add(pool, launcher, "plain")
    nested: Any = 0
    for _ in range(70):
        nested = [nested]
    save(process, nested)
    assert process.refusals == ["nested over 64 levels deep"]
    assert module.saved is None


def test_update_without_a_state_is_refused(pool: Pool, launcher: FakeLauncher) -> None:
    module, process = add(pool, launcher, "plain")
    process.update("save")
    run_until_idle()
    assert process.refusals == ["bad update: Object missing required field `state` - at `$.args`"]
    assert module.saved is None


def test_nothing_is_saved_before_the_first_command(
    ready: tuple[Pool, Module, FakeProcess],
) -> None:
    pool, module, process = ready
    save(process, 6)
    assert module.saved is None
    assert process.refusals == ["no state can be saved before the first command"]
    pool.add("ahead")
    assert process.heard == ["init", "play"]
    save(process, 6)
    assert module.saved == b"6"


def test_state_of_a_removed_module_is_forgotten(
    pool: Pool, clock: FakeClock, launcher: FakeLauncher
) -> None:
    module, process = add(pool, launcher, "again")
    save(process, 7)
    pool.rm([module.uid])
    process.exit(0)
    clock.advance(LONG)
    forgotten = weakref.ref(module)
    del module, process
    launcher.processes.clear()
    gc.collect()
    assert forgotten() is None


# Who is told.


def test_listener_hears_of_each_new_state_once(
    pool: Pool, changes: list[Change], launcher: FakeLauncher
) -> None:
    _, process = add(pool, launcher, "plain")
    changes.clear()
    for state in (1, 1, 2, "1", None, None):
        save(process, state)
    assert changes == 4 * [Change.SAVED]


def test_listener_hears_of_a_successor(
    pool: Pool, changes: list[Change], clock: FakeClock, launcher: FakeLauncher
) -> None:
    _, process = add(pool, launcher, "again")
    process.exit(1)
    clock.advance(LONG)
    changes.clear()
    save(launcher.processes[-1], 1)
    assert changes == [Change.SAVED]


def test_saving_costs_neither_reconciler_nor_events_anything(
    pool: Pool, launcher: FakeLauncher
) -> None:
    module, _ = add(pool, launcher, "plain")
    watching = pool.events.watch(None)
    assert [next(watching)[:4] for _ in range(2)] == [b":\n\n", b"id: "]
    run_until_idle()
    pool.roster.tell(module, Change.SAVED)
    assert not pool._reconciler._is_awake
    assert (pool.events._touched, pool.events._publisher) == ({}, None)
    pool.roster.tell(module, Change.PARAMETERS)
    assert pool.events._touched


def test_clients_do_not_see_the_state(pool: Pool, launcher: FakeLauncher) -> None:
    _, process = add(pool, launcher, "plain")
    before = pool.show_roster(parameters=True)
    save(process, {"password": "secret"})
    assert pool.show_roster(parameters=True) == before


def test_log_has_what_was_saved_and_restored(
    pool: Pool, clock: FakeClock, launcher: FakeLauncher
) -> None:
    pool.logger = log = Log()
    _, process = add(pool, launcher, "again")
    save(process, {"at": 1})
    save(process, "x" * (1 << 17))  # refused, and so not logged
    process.exit(1)
    clock.advance(LONG)
    args = {"state": {"at": 1}}
    assert log.rows == [
        ("queue-module", {"cmd": "init", "args": {}}),
        ("queue-module", {"cmd": "play"}),
        ("module-instance", {"cmd": "save", "args": args}),
        ("queue-module", {"cmd": "restore", "args": args}),
        ("queue-module", {"cmd": "init", "args": {}}),
        ("queue-module", {"cmd": "play"}),
    ]
