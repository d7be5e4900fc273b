"""Worker: work in a thread that starts, pauses and ends as the parent says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from fake_parent import Stage
from support import wait_until

from shmooze.modules import Worker, worker
from shmooze.modules.pymodule import CLOSED

SOON = 10


class Counting(Worker):
    """Counts, with as many steps as the test allows."""

    def cmd_init(self, stop: int = 10_000):
        self.stop, self.count = stop, 0
        self.cleaned_up = threading.Event()

    def do_count(self) -> int:
        return self.count

    def work(self):
        try:
            while self.count < self.stop:
                self.sleep(0.001)
                self.count += 1
                self.set_parameters({"count": self.count})
        finally:
            self.cleaned_up.set()


@pytest.fixture
def put_on_stage(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Worker]], Stage]:
    return lambda module: Stage(module, monkeypatch)


@pytest.fixture
def counting(put_on_stage: Callable[[type[Worker]], Stage]) -> Stage:
    stage = put_on_stage(Counting)
    stage.ask("init")
    return stage


def test_work_starts_with_the_first_play(counting: Stage) -> None:
    assert counting.module._thread is None
    counting.ask("play")
    assert counting.parameters() == {"count": 1}
    counting.ask("rm")


def test_work_is_quiet_when_suspend_is_answered_and_goes_on_with_the_next_play(
    counting: Stage,
) -> None:
    for _ in range(20):
        counting.ask("play")
        counting.next_update()
        counting.ask("suspend")
        assert counting.module._is_quiet
    counting.ask("rm")


def test_work_suspended_right_after_its_first_play_has_not_begun(
    put_on_stage: Callable[[type[Worker]], Stage],
) -> None:
    stage = put_on_stage(Counting)
    stage.ask("init")
    stage.ask("play")
    stage.ask("suspend")
    count = stage.ask("do_count")
    assert stage.module._is_quiet
    stage.ask("rm")
    assert stage.ask("do_count") == count


@pytest.mark.parametrize("state", ["playing", "suspended"])
def test_work_has_cleaned_up_when_rm_is_answered(counting: Stage, state: str) -> None:
    counting.ask("play")
    if state == "suspended":
        counting.ask("suspend")
    counting.ask("rm")
    assert counting.module.cleaned_up.is_set()
    updates = [
        counting.connection.updates.get() for _ in range(counting.connection.updates.qsize())
    ]
    assert {each["cmd"] for each in updates} <= {"set_parameters"}, "it does not leave by itself"


def test_module_that_has_never_played_is_removed_at_once(counting: Stage) -> None:
    assert counting.ask("rm") is None


def test_module_leaves_when_its_work_returns(counting: Stage) -> None:
    counting.ask("init", stop=1)
    counting.ask("play")
    assert [counting.next_update()["cmd"] for _ in range(3)] == ["set_parameters", "rm", "closed"]


class Faulty(Worker):
    def cmd_init(self, way: str):
        self.way = way

    def work(self):
        if self.way == "raise":
            raise RuntimeError("there is no sound card")
        if self.way == "fail":
            self.fail("there is no sound")
        elif self.way == "mistake":
            self.way.play()
        elif self.way == "exit":
            raise SystemExit("no disc")
        elif self.way == "status":
            raise SystemExit(3)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("raise", "there is no sound card"),
        ("fail", "there is no sound"),
        ("mistake", "internal error; see the output of the module"),
        ("exit", "no disc"),
        ("status", "exited with status 3"),
    ],
)
def test_fault_of_the_work_ends_the_module_with_its_reason(
    put_on_stage: Callable[[type[Worker]], Stage], way: str, words: str
) -> None:
    stage = put_on_stage(Faulty)
    stage.ask("init", way=way)
    stage.ask("play")
    assert stage.next_update() == {"cmd": "fail", "args": {"error": words}}
    stage.ask("rm")
    assert stage.connection.updates.empty(), "it waits for the parent to end it"


class Adding(Worker):
    def cmd_init(self, numbers: list):
        self.numbers = numbers

    def work(self):
        self.result(sum(self.numbers))


def test_work_gives_its_result_and_waits_for_the_parent_to_end_it(
    put_on_stage: Callable[[type[Worker]], Stage],
) -> None:
    stage = put_on_stage(Adding)
    stage.ask("init", numbers=[1, 2, 4])
    stage.ask("play")
    assert stage.next_update() == {"cmd": "result", "args": {"value": 7}}
    stage.ask("rm")
    assert stage.connection.updates.empty()


class Staying(Worker):
    def work(self):
        self.set_parameters({"done": True})
        self.stay()


def test_module_may_stay_when_its_work_is_done(
    put_on_stage: Callable[[type[Worker]], Stage],
) -> None:
    stage = put_on_stage(Staying)
    stage.ask("init")
    stage.ask("play")
    assert stage.parameters() == {"done": True}
    stage.ask("suspend")
    stage.ask("play")
    stage.ask("rm")
    assert not stage.module._thread.is_alive()
    assert stage.connection.updates.empty()


class Deaf(Worker):
    patience = 0.01

    def cmd_init(self):
        self.go, self.has_begun = threading.Event(), threading.Event()

    def work(self):
        self.has_begun.set()
        self.go.wait(SOON)
        self.wait_while_paused()


def test_work_that_does_not_pause_does_not_hold_up_the_answer_for_long(
    put_on_stage: Callable[[type[Worker]], Stage],
) -> None:
    stage = put_on_stage(Deaf)
    stage.ask("init")
    stage.ask("play")
    stage.module.has_begun.wait(SOON)
    for cmd in ("suspend", "rm"):
        assert stage.ask(cmd) is None
    stage.module.go.set()
    stage.module._thread.join(SOON)
    assert not stage.module._thread.is_alive()


@pytest.mark.parametrize("seconds", [1e12, float("inf")])
def test_sleep_may_be_longer_than_a_thread_can_wait(
    put_on_stage: Callable[[type[Worker]], Stage], seconds: float
) -> None:
    class Sleeping(Worker):
        def work(self):
            try:
                self.sleep(seconds)
            finally:
                self.set_parameters({"order": self._order})

    stage = put_on_stage(Sleeping)
    stage.ask("play")
    stage.ask("suspend")
    stage.ask("rm")
    assert stage.parameters() == {"order": worker.END}


def test_only_the_work_can_pause(counting: Stage) -> None:
    with pytest.raises(RuntimeError, match="only `work` can pause, in its own thread"):
        counting.module.sleep(1)


def test_paused_time_does_not_count_as_sleep(
    put_on_stage: Callable[[type[Worker]], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sleeper(Worker):
        def work(self):
            self.sleep(60)

    now = 0.0
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: now))
    stage = put_on_stage(Sleeper)
    stage.ask("init")

    def play_for(seconds: float) -> None:
        nonlocal now
        stage.ask("play")
        wait_until(lambda: not stage.module._is_quiet, "it sleeps")
        with stage.module._changed:  # which it has released by then
            now += seconds
        stage.ask("suspend")

    play_for(50)
    now += 1000
    play_for(9)
    assert stage.module._thread.is_alive()
    play_for(1)
    stage.ask("play")
    assert stage.next_update() == {"cmd": "rm"}


def test_commands_are_the_functions_of_these_names() -> None:
    class Base(Worker):
        def cmd_restore(self, state): ...
        def do_add(self): ...
        def do(self): ...
        def other(self): ...

    class Derived(Base):
        def cmd_rm(self): ...
        def do_add(self): ...
        def named(self): ...

        commands = {"do_more": named}

    assert sorted(Base.commands) == ["do_add", "init", "play", "restore", "rm", "suspend"]
    assert sorted(Derived.commands) == sorted([*Base.commands, "do_more"])
    assert Base.commands["rm"] is Worker.commands["rm"]
    assert Derived.commands["rm"] is Derived.cmd_rm
    assert Derived.commands["do_add"] is Derived.do_add


def test_work_that_raises_after_its_result_is_followed_by_no_other_item(
    put_on_stage: Callable[[type[Worker]], Stage],
) -> None:
    class Late(Worker):
        def work(self) -> None:
            self.result(1)
            raise ValueError("too late")

    stage = put_on_stage(Late)
    stage.ask("init")
    stage.ask("play")
    assert stage.connection.updates.get(timeout=SOON)["cmd"] == "result"
    with pytest.raises(SystemExit):
        stage.connection.on_next_item()
    assert stage.connection.state == CLOSED
