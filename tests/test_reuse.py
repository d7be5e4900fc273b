"""A process that serves several items of its type, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from fake_types import Plain
from fakes import Fake, FakeClock, FakeLauncher, FakeProcess, open_with, run_until_idle
from support import Client, Site, child, is_alive, wait_until

from shmooze.errors import CommandError
from shmooze.modules.module import Module
from shmooze.pool import Pool
from shmooze.queue import Queue

#: Seconds in which a child that does nothing by itself is ended.
LADDER = Fake.natural_death_timeout + Fake.sigterm_timeout


class Job(Fake):
    """Serves three items with each process."""

    TYPE_STRING = "job"
    reuse = 3


class LazyJob(Job):
    TYPE_STRING = "lazy-job"
    spawn = "lazy"
    lookahead = 0


class Service:
    """A queue or pool in memory, and its processes."""

    def __init__(self, broker: Queue | Pool, launcher: FakeLauncher) -> None:
        self.broker, self.launcher = broker, launcher
        open_with(broker, launcher)
        run_until_idle()

    def add(self, kind: str = "job", **args: Any) -> str:
        uid: str = self.broker.add(kind, args)["uid"]
        run_until_idle()
        return uid

    def process_of(self, uid: str) -> FakeProcess:
        process = self.module(uid)._process
        assert isinstance(process, FakeProcess)
        return process

    def module(self, uid: str) -> Module:
        module = self.broker.roster.find(uid)
        assert module is not None
        return module

    def finish(self, uid: str, value: Any = None) -> FakeProcess:
        process = self.process_of(uid)
        process.update("result", value=value)
        run_until_idle()
        return process

    def ends(self) -> dict[str, dict[str, Any]]:
        return {end["uid"]: end for end in self.broker.gone()}


@pytest.fixture
def pool(clock: FakeClock, launcher: FakeLauncher) -> Service:
    return Service(Pool([Job, Plain]), launcher)


@pytest.fixture
def queue(clock: FakeClock, launcher: FakeLauncher) -> Service:
    return Service(Queue([LazyJob], []), launcher)


def test_the_process_of_an_item_that_is_done_takes_the_next_one(pool: Service) -> None:
    first = pool.add(n=1)
    process = pool.finish(first, 42)
    assert process.exit_status is None
    assert pool.ends()[first]["state"] == "done"
    second = pool.add(n=2)
    assert pool.process_of(second) is process
    assert process.heard == ["init", "play", "init", "play"]
    assert process.label == f"job {second[:8]}"


def test_it_serves_as_many_items_as_its_type_says(pool: Service, clock: FakeClock) -> None:
    process = pool.finish(pool.add())
    assert pool.finish(pool.add()) is process
    assert pool.finish(pool.add()) is process
    clock.advance(LADDER)
    assert process.exit_status is not None
    assert process.heard[-1] == "rm"
    assert pool.process_of(pool.add()) is not process


def test_other_types_do_not_get_it_and_have_none(pool: Service, clock: FakeClock) -> None:
    process = pool.finish(pool.add())
    plain = pool.add("plain")
    assert pool.process_of(plain) is not process
    process = pool.finish(plain)
    clock.advance(LADDER)
    assert process.exit_status is not None


class Recycled(Fake):
    """A class of an application that has something of its own of this name."""

    TYPE_STRING = "recycled"

    def reuse(self) -> str:  # type: ignore[override]
        return "paper"


def test_a_class_may_call_something_else_reuse(clock: FakeClock, launcher: FakeLauncher) -> None:
    pool = Service(Pool([Recycled]), launcher)
    process = pool.finish(pool.add("recycled"))
    clock.advance(LADDER)
    assert process.exit_status is not None


@pytest.mark.parametrize(
    "end",
    [
        lambda pool, uid: pool.process_of(uid).update("fail", error="broken"),
        lambda pool, uid: pool.process_of(uid).update("rm"),
        lambda pool, uid: pool.process_of(uid).exit(0),
        lambda pool, uid: pool.process_of(uid).send("nonsense"),
        lambda pool, uid: pool.broker.rm([uid]),
    ],
    ids=["failed", "left by itself", "exited", "broke the protocol", "was removed"],
)
def test_whatever_else_ends_an_item_ends_its_process(
    pool: Service, clock: FakeClock, end: Any
) -> None:
    uid = pool.add()
    process = pool.process_of(uid)
    end(pool, uid)
    clock.advance(LADDER)
    assert process.exit_status is not None
    assert pool.process_of(pool.add()) is not process


def _leaves_half_a_line(process: FakeProcess) -> None:
    process._updates.deliver(b'{"cmd":"result","args":{"value":1}}\n{"cmd":')


def _leaves_another_process(process: FakeProcess) -> None:
    process.has_started_others = True
    process.update("result", value=1)


def _answers_unasked(process: FakeProcess) -> None:
    process.update("result", value=1)
    process.answer_unasked()


@pytest.mark.parametrize("finish", [_leaves_half_a_line, _leaves_another_process, _answers_unasked])
def test_anything_unclear_ends_the_process_and_the_item_is_done(
    pool: Service, clock: FakeClock, finish: Any
) -> None:
    uid = pool.add()
    process = pool.process_of(uid)
    finish(process)
    clock.advance(LADDER)
    assert process.exit_status is not None
    assert pool.ends()[uid]["state"] == "done"
    assert list(pool.ends()) == [uid]


def test_a_command_under_way_is_answered_to_its_caller_before_the_next_item(
    pool: Service, clock: FakeClock
) -> None:
    uid = pool.add()
    process = pool.process_of(uid)
    process.is_obedient = False
    asked = gevent.spawn(pool.broker.tell_module, uid, "last")
    waiting = gevent.spawn(_refusal_of, pool, uid)
    run_until_idle()
    process.update("result", value=1)
    run_until_idle()
    process.answer(result="answered")
    process.is_obedient = True
    run_until_idle()
    assert asked.get() == "answered"
    assert waiting.get() == f"job {uid} ended with a result"
    assert "do_too_late" not in process.heard
    assert pool.process_of(pool.add()) is process


def _refusal_of(pool: Service, uid: str) -> str:
    with pytest.raises(CommandError) as refusal:
        pool.broker.tell_module(uid, "too_late")
    return str(refusal.value)


def test_a_child_that_owes_an_answer_for_too_long_is_ended(pool: Service, clock: FakeClock) -> None:
    uid = pool.add()
    process = pool.process_of(uid)
    process.is_obedient = False
    gevent.spawn(_refusal_of, pool, uid)
    run_until_idle()
    process.update("result", value=1)
    clock.advance(2 * LADDER)
    assert process.exit_status is not None
    assert pool.ends()[uid]["state"] == "done"


def test_nothing_of_an_item_reaches_the_next_one(pool: Service) -> None:
    first = pool.add()
    process = pool.process_of(first)
    process.update("set_parameters", parameters={"secret": 1})
    process.update("save", state={"secret": 2})
    process.print("secret")
    pool.finish(first, "secret")
    process.update("set_parameters", parameters={"secret": 3})
    process.update("save", state={"secret": 4})
    process.update("result", value="secret")
    run_until_idle()
    assert len(process.refusals) == 3
    second = pool.add()
    assert pool.process_of(second) is process
    module = pool.module(second)
    assert (module.parameters, module.saved, module.output) == ({}, None, [])


def test_a_process_that_dies_between_two_items_fails_none(pool: Service) -> None:
    first = pool.add()
    process = pool.finish(first)
    process.exit(1)
    run_until_idle()
    assert pool.process_of(pool.add()) is not process
    assert list(pool.ends()) == [first]


def test_an_error_of_the_item_before_that_is_read_after_the_hang_up_fails_none(
    pool: Service, clock: FakeClock
) -> None:
    process = pool.finish(pool.add())
    process.is_obedient = False
    adding = gevent.spawn(pool.broker.add, "job")
    run_until_idle()
    process._commands.deliver(b"")  # the two streams have no order
    process.update("fail", error="too late")
    process.exit(1)
    clock.advance(LADDER)
    second = adding.get(timeout=1)["uid"]
    assert pool.process_of(second) is not process
    assert len([*pool.ends()]) == 1


def test_a_process_that_does_not_read_the_next_init_is_replaced(
    pool: Service, clock: FakeClock
) -> None:
    process = pool.finish(pool.add())
    process.is_obedient, process.leaves_unread = False, True
    adding = gevent.spawn(pool.broker.add, "job")
    clock.advance(Job.standby_timeout)
    clock.advance(Job.sigterm_timeout)
    assert pool.process_of(adding.get()["uid"]) is not process
    assert process.exit_status is not None


def test_a_process_that_nobody_needs_is_told_rm_after_a_while(
    pool: Service, clock: FakeClock
) -> None:
    first = pool.add()
    process = pool.finish(first)
    clock.advance(61.0)
    clock.advance(LADDER)
    assert process.heard[-1] == "rm"
    assert process.exit_status is not None
    assert list(pool.ends()) == [first], "what was no item is not among those that have ended"


def test_it_makes_room_for_a_module_that_is_added(clock: FakeClock, launcher: FakeLauncher) -> None:
    pool = Pool([Job, Plain])
    open_with(pool, launcher, max_modules=1)
    uid = pool.add("job")["uid"]
    launcher.processes[0].update("result", value=None)
    run_until_idle()
    assert launcher.processes[0].exit_status is None
    assert pool.add("plain")["uid"] != uid
    clock.advance(LADDER)
    assert launcher.processes[0].exit_status is not None


def test_the_end_of_the_service_ends_it(pool: Service, clock: FakeClock) -> None:
    process = pool.finish(pool.add())
    stopping = gevent.spawn(pool.broker.stop)
    clock.advance(LADDER)
    stopping.get()
    assert process.exit_status is not None


def test_items_that_wait_for_their_turn_share_one_process(queue: Service, clock: FakeClock) -> None:
    uids = [queue.add("lazy-job", n=n) for n in range(7)]
    for number, uid in enumerate(uids):
        assert queue.finish(uid, number).number == number // 3
    clock.advance(LADDER)
    ends = queue.ends()
    assert [ends[uid]["result"] for uid in uids] == [*range(7)]
    assert [process.heard.count("init") for process in queue.launcher.processes] == [3, 3, 1]


def test_no_item_waits_for_the_end_of_a_process_that_is_not_reused(queue: Service) -> None:
    first, second = queue.add("lazy-job"), queue.add("lazy-job")
    process = queue.process_of(first)
    process.has_started_others = True
    queue.finish(first)
    assert process.exit_status is None
    assert queue.process_of(second) is not process
    assert queue.process_of(second).is_playing


def test_an_item_that_could_not_begin_waits_for_another_process(
    queue: Service, clock: FakeClock
) -> None:
    first, second = queue.add("lazy-job"), queue.add("lazy-job")
    process = queue.process_of(first)
    process.leaves_unread = True

    def hang(_: object = None) -> None:
        process.is_obedient = False

    hang()
    process.update("result", value=1)
    clock.advance(Job.standby_timeout)
    clock.advance(LADDER)
    run_until_idle()
    assert process.exit_status is not None
    assert queue.process_of(second) is not process
    assert queue.process_of(second).is_playing


def test_the_restored_state_of_an_item_goes_to_the_process_that_it_takes_over(
    clock: FakeClock, launcher: FakeLauncher
) -> None:
    queue = Service(Queue([LazyJob], []), launcher)
    first, second = queue.add("lazy-job"), queue.add("lazy-job")
    queue.module(second).saved = b'{"n":7}'
    process = queue.finish(first)
    assert queue.process_of(second) is process
    assert process.restored == [{"n": 7}]


# The same with real programs, which know nothing of it.


@pytest.fixture(scope="module")
def running(make_shared_site: Callable[..., Site]) -> Iterator[Client]:
    types: dict[str, Any] = {"tcp": {}, "stdio": {"adapter": "stdio"}}
    for described in types.values():
        described |= {"process": child("several"), "reuse": 100, "natural_death_timeout": 0.5}
    site = make_shared_site(services=("pool",), settings={"pool": {"modules": types}})
    yield Client(site.start(), "pool")


def _end_of(pool: Client, uid: str) -> dict[str, Any]:
    def ends() -> list[dict[str, Any]]:
        return [each for each in pool("gone") if each["uid"] == uid]

    found: list[dict[str, Any]] = wait_until(ends, "it is gone")
    return found[0]


def _pid_of(pool: Client, kind: str, leaves: str = "") -> int:
    end = _end_of(pool, pool.add(kind, leaves=leaves))
    assert (end["state"], end["ladder"]) == ("done", end["ladder"])
    return int(end["result"])


in_each_way = pytest.mark.parametrize("kind", ["tcp", "stdio"])


@in_each_way
def test_a_worker_begins_anew_with_each_item(running: Client, kind: str) -> None:
    pid = _pid_of(running, kind)
    assert [_pid_of(running, kind, leaves) for leaves in ("a pause", "")] == [pid, pid]
    assert is_alive(pid)


@in_each_way
@pytest.mark.parametrize("leaves", ["a process", "a thread", "an error"])
def test_what_an_item_has_left_is_ended_with_its_process(
    running: Client, kind: str, leaves: str
) -> None:
    pid = _pid_of(running, kind, leaves)
    assert _pid_of(running, kind) != pid
    wait_until(lambda: not is_alive(pid), "the process has ended")


def test_each_item_has_output_and_parameters_of_its_own(running: Client) -> None:
    pid = _pid_of(running, "tcp", "first")
    lines = running.site.log("pool")
    second = running.add("tcp", leaves="second")
    assert _end_of(running, second)["result"] == pid
    line = f"tcp {second[:8]}: output of an item that leaves second"
    wait_until(lambda: line in running.site.log("pool").removeprefix(lines), "it is logged")


def test_processes_that_wait_for_an_item_end_with_the_service(
    make_site: Callable[..., Site],
) -> None:
    types = {"tcp": {"process": child("several"), "reuse": 100}}
    site = make_site(services=("pool",), settings={"pool": {"modules": types}}).start()
    pid = _pid_of(Client(site, "pool"), "tcp")
    assert site.stop() == {"pool": 0}
    assert not is_alive(pid)
