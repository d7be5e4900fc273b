"""Jobs: modules that end with a result. All in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fakes import Fake, FakeClock, run_until_idle
from job_service import Service

from shmooze.modules.exit import Outcome
from shmooze.pool import Pool
from shmooze.queue import Queue


class Job(Fake):
    TYPE_STRING = "job"
    max_result_bytes = 100


class Always(Fake):
    TYPE_STRING = "always"
    restart = "always"


class Hold(Fake):
    TYPE_STRING = "hold"
    after_crash = "hold"


class Retried(Fake):
    TYPE_STRING = "retried"
    retries = 2
    retry_delay = 2.0


class Limited(Fake):
    TYPE_STRING = "limited"
    time_limit = 60.0


class LimitedAgain(Fake):
    TYPE_STRING = "limited-again"
    time_limit = 60.0
    retries = 1


KINDS = [Job, Always, Hold, Retried, Limited, LimitedAgain]


@pytest.fixture
def queue(clock: FakeClock) -> Iterator[Service]:
    service = Service(clock, lambda: Queue(KINDS, KINDS))
    yield service
    service.stop()


@pytest.fixture
def service(clock: FakeClock) -> Iterator[Service]:
    service = Service(clock, lambda: Pool(KINDS))
    yield service
    service.stop()


# Results.


@pytest.mark.parametrize("value", [{"pages": [1, 2]}, None, "é", 0])
def test_module_that_gives_a_result_is_done(service: Service, value: object) -> None:
    uid = service.add()
    service.process.update("result", value=value)
    run_until_idle()
    assert service.states == []
    assert service.process.heard == ["init", "play", "rm"]
    service.process.exit(0)
    run_until_idle()
    [ended] = service.ended
    assert (ended["state"], ended["result"]) == ("done", value)
    assert ended["reason"] == "ended with a result"
    assert service.keeper.history == {uid: Outcome.DONE}


def test_result_counts_although_the_process_ended_right_after_it(service: Service) -> None:
    service.add()
    service.process.delay_reading()
    service.process.update("result", value=7)
    service.process.exit(1)
    run_until_idle()
    service.clock.advance(1)
    assert [(each["state"], each.get("result")) for each in service.ended] == [("done", 7)]


def test_first_result_counts(service: Service) -> None:
    service.add()
    service.process.update("result", value=1)
    service.process.update("result", value=2)
    service.process.update("fail", error="late")
    service.finish(3)
    assert [each["result"] for each in service.ended] == [1]


def test_result_ends_an_item_that_is_always_restarted(service: Service) -> None:
    uid = service.add("always")
    service.finish(1)
    service.clock.advance(100)
    assert service.states == []
    assert service.keeper.history == {uid: Outcome.DONE}


def test_too_long_result_fails_the_module(service: Service) -> None:
    service.add()
    service.finish("x" * 99)
    [ended] = service.ended
    words = "its result takes 101 bytes of JSON; `max_result_bytes` is 100"
    assert (ended["state"], ended["reason"]) == ("failed", f"failed: {words}")
    assert "result" not in ended


@pytest.mark.parametrize("key", ["error", "text"])
def test_module_that_reports_a_failure_has_failed(service: Service, key: str) -> None:
    uid = service.add()
    service.process.update("fail", **{key: "no sound"})
    run_until_idle()
    service.process.exit(0)
    run_until_idle()
    assert [each["reason"] for each in service.ended] == ["failed: no sound"]
    assert service.keeper.history == {uid: Outcome.FAILED}


def test_fail_without_a_text_is_refused(service: Service) -> None:
    service.add()
    service.process.update("fail", reason="no sound")
    run_until_idle()
    [refusal] = service.process.refusals
    assert "must have `error`, a text" in refusal
    assert service.states == ["playing"]


def test_result_of_a_removed_item_does_not_count(service: Service) -> None:
    uid = service.add()
    process = service.process
    process.is_obedient = False
    removing = service.call("rm", uids=[uid])
    process.update("result", value=1)
    run_until_idle()
    process.exit(0)
    service.clock.advance(5)
    assert removing.ready()
    [ended] = service.ended
    assert ended["state"] == "removed" and "result" not in ended
    assert service.keeper.history == {uid: Outcome.REMOVED}


@pytest.mark.parametrize("answers_first", [False, True])
def test_result_counts_that_comes_while_the_service_stops(
    service: Service, answers_first: bool
) -> None:
    uid = service.add()
    process = service.process
    process.is_obedient = False
    stopping = service.call_stop()
    if answers_first:
        process.answer()
        run_until_idle()
    process.update("result", value=1)
    run_until_idle()
    process.exit(0)
    service.clock.advance(5)
    assert stopping.ready()
    assert service.keeper.history == {uid: Outcome.DONE}
    assert service.keeper.gone[-1]["result"] == 1
    service.start()
    assert service.states == []


def test_item_comes_back_that_was_stopped_without_a_result(service: Service) -> None:
    uid = service.add()
    service.stop()
    service.start()
    assert [each["uid"] for each in service.ask("pool")] == [uid]
    assert service.keeper.history == {}


# Retries.


def fail(service: Service, words: str = "broken") -> None:
    """Let the process that was started last fail."""
    service.process.update("fail", error=words)
    run_until_idle()
    service.process.exit(0)
    run_until_idle()


def test_failed_job_is_tried_again_after_a_growing_delay(service: Service) -> None:
    uid = service.add("retried")
    for delay in (2, 4):
        fail(service)
        assert service.states == ["starting"]
        service.clock.advance(delay * 0.7)
        assert service.states == ["starting"]
        service.clock.advance(delay * 0.6)
        assert service.states == ["playing"]
    [shown] = service.ask("pool")
    assert (shown["uid"], shown["restarts"]) == (uid, 2)
    service.finish("at last")
    assert service.keeper.history == {uid: Outcome.DONE}
    assert service.ask("wait", uid=uid)["result"] == "at last"


def test_job_that_fails_while_it_is_added_is_tried_again(service: Service) -> None:
    service.launcher._on_launch = lambda process: setattr(process, "is_obedient", False)
    adding = service.call("add", type="retried")
    service.launcher._on_launch = lambda process: None
    process = service.process
    process.connect()
    run_until_idle()
    process.answer()
    run_until_idle()
    assert process.heard == ["init", "play"]
    process.exit(1)
    service.clock.advance(5)
    assert adding.get(timeout=1)["uid"] == service.ask("pool")[0]["uid"]
    assert service.states == ["playing"]


def test_item_that_is_added_for_later_tells_why_it_failed(service: Service) -> None:
    service.launcher.fault = "no memory"
    uid = service.add(later=True)
    service.clock.advance(1)
    assert service.ask("wait", uid=uid)["reason"] == "cannot be started: no memory"
    service.launcher.fault = ""
    service.add(later=True)
    assert service.states == ["playing"]


def test_job_has_failed_after_its_last_retry(service: Service) -> None:
    uid = service.add("retried")
    waiting = service.call("wait", uid=uid)
    for number in range(3):
        assert not waiting.ready()
        fail(service, f"broken {number}")
        service.clock.advance(10)
    assert service.states == []
    assert waiting.get()["reason"] == "failed: broken 2"
    assert service.keeper.history == {uid: Outcome.FAILED}


def test_crashed_job_is_tried_again_and_one_that_has_left_is_not(service: Service) -> None:
    service.add("retried")
    service.process.exit(1)
    run_until_idle()
    assert service.states == ["starting"]
    service.clock.advance(5)
    service.process.exit(0)
    service.clock.advance(5)
    assert service.states == []
    assert service.ended[-1]["state"] == "done"


@pytest.mark.parametrize("kept", ["keep_order", "keep_place"])
def test_job_that_fails_while_its_place_is_being_kept_is_tried_again(
    service: Service, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = getattr(service.keeper, kept)
    service.broker.roster.line.owed.add("an item that was moved")  # is kept before the place is

    def fail_meanwhile(*args: Any) -> None:
        monkeypatch.undo()
        service.process.exit(1)
        run_until_idle()
        keep(*args)

    monkeypatch.setattr(service.keeper, kept, fail_meanwhile)
    uid = service.add("retried")
    assert service.states == ["starting"]
    service.clock.advance(5)
    assert service.states == ["playing"]
    assert service.keeper.order == [uid]
    service.process.exit(0)
    service.clock.advance(5)
    assert service.keeper.history == {uid: Outcome.DONE}


def test_background_that_fails_while_its_place_is_being_kept_is_tried_again(
    queue: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = queue.keeper.keep_place

    def fail_meanwhile(*args: Any) -> None:
        monkeypatch.undo()
        queue.process.exit(1)
        run_until_idle()
        keep(*args)

    monkeypatch.setattr(queue.keeper, "keep_place", fail_meanwhile)
    uid = queue.ask("set_bg", type="retried")["uid"]
    assert queue.ask("bg")["state"] == "starting"
    queue.clock.advance(5)
    shown = queue.ask("bg")
    assert (shown["uid"], shown["state"], shown["restarts"]) == (uid, "playing", 1)
    queue.process.exit(0)
    queue.clock.advance(5)
    assert queue.keeper.history == {uid: Outcome.DONE}


def test_retries_count_across_a_crash_of_the_service(service: Service) -> None:
    service.add("retried")
    fail(service)
    service.clock.advance(5)
    service.keeper.note_restarts(service.broker.roster)
    service.crash()
    fail(service)
    service.clock.advance(10)
    assert service.states == ["playing"]
    fail(service)
    assert service.states == []


# Limits of time.


def test_job_that_takes_too_long_has_failed(service: Service) -> None:
    service.add("limited")
    service.process.is_obedient = False
    service.clock.advance(59)
    assert service.states == ["playing"]
    service.clock.advance(2)
    assert service.states == []
    assert service.process.heard[-1] == "rm"
    service.clock.advance(5)
    assert service.process.exit_status == -15
    [ended] = service.ended
    assert (ended["state"], ended["reason"]) == ("failed", "took over 60 s")


def test_time_that_it_is_suspended_does_not_count(queue: Service) -> None:
    first = queue.add("limited")
    queue.clock.advance(40)
    second = queue.add()
    queue.ask("mv", uids=[second])
    queue.clock.advance(100)
    assert queue.states == ["playing", "suspended"]
    queue.ask("mv", uids=[first])
    queue.clock.advance(19)
    assert queue.states == ["playing", "suspended"]
    queue.clock.advance(2)
    assert queue.states == ["playing"]


def test_each_retry_has_the_whole_time(service: Service) -> None:
    service.add("limited-again")
    service.clock.advance(61)
    assert service.states == ["starting"]
    service.clock.advance(5)
    service.clock.advance(54)
    assert service.states == ["playing"]
    service.clock.advance(10)
    assert service.states == []
    assert [each["reason"] for each in service.ended] == ["took over 60 s"] * 2


# Waiting.


def test_wait_returns_how_an_item_ended(service: Service) -> None:
    uid = service.add()
    waiting = service.call("wait", uid=uid)
    service.finish({"pages": 3})
    entry = waiting.get(timeout=5)
    assert (entry["uid"], entry["state"], entry["result"]) == (uid, "done", {"pages": 3})
    assert service.ask("wait", uid=uid) == entry


def test_wait_returns_nothing_while_the_item_lives(service: Service) -> None:
    uid = service.add()
    waiting = service.call("wait", uid=uid, timeout=10)
    service.clock.advance(9)
    assert not waiting.ready()
    service.clock.advance(2)
    assert waiting.get() is None


def test_wait_is_shorter_than_the_patience_of_the_gateway(service: Service) -> None:
    waiting = service.call("wait", uid=service.add(), timeout=1e6)
    service.clock.advance(50)
    assert waiting.get(timeout=1) is None


def test_wait_until_the_last_process_has_gone(service: Service) -> None:
    waiting = service.call("wait", uid=service.add())
    service.process.update("result", value=1)
    run_until_idle()
    assert not waiting.ready()
    service.process.exit(0)
    run_until_idle()
    assert waiting.get(timeout=1)["ladder"] == "rm"


def test_wait_for_an_unknown_item_is_an_error(service: Service) -> None:
    refusal = service.call("wait", uid="x").get()
    assert str(refusal) == "no item with uid 'x' in pool, or it has ended long ago"
    for args in ({}, {"uid": "x", "batch": "y"}):
        assert str(service.call("wait", **args).get()) == "wait: needs either `uid` or `batch`"


def test_wait_until_the_end_is_kept(service: Service) -> None:
    """A client must not be told of an end that a crash undoes."""
    service.keeper.delayed = kept = []
    uid = service.add()
    waiting = service.call("wait", uid=uid)
    service.finish(1)
    assert not waiting.ready()
    [then] = kept
    then()
    assert waiting.get(timeout=5)["result"] == 1


def test_output_is_there_of_an_item_whose_end_is_still_being_kept(service: Service) -> None:
    service.keeper.delayed = kept = []
    uid = service.add()
    service.launcher.processes[-1].print("begins")
    service.finish(1)
    following = service.call("follow", uid=uid)
    [then] = kept
    then()
    assert following.get(timeout=5)["lines"] == ["begins"]


class Past:
    """The history of a state file, as a table of commands."""

    def item(self, uid: str) -> dict[str, object]:
        return {"uid": uid, "state": "done", "ended": "2026-03-01T08:00:00.000Z"}

    commands = {"item": item}
    log_cmds, read_cmds, cmd_scopes = (), ("item",), {}


def test_wait_finds_items_in_the_history_that_ended_long_ago(service: Service) -> None:
    service.broker.add_table(Past())
    assert service.ask("wait", uid="x")["state"] == "done"


def test_wait_for_a_batch_counts_its_ends(service: Service) -> None:
    _, _, removed = (service.add(batch="b") for _ in range(3))
    other = service.add(batch="c")
    first, second, third, _ = service.launcher.processes
    waiting = service.call("wait", batch="b")
    service.finish(1, first)
    second.exit(1)
    run_until_idle()
    assert not waiting.ready()
    service.ask("rm", uids=[removed])
    third.exit(0)
    run_until_idle()
    counts = {"batch": "b", "done": 1, "failed": 1, "removed": 1, "lost": 0}
    assert waiting.get(timeout=1) == counts
    assert service.ask("wait", batch="b") == counts
    assert "no item of a batch 'x'" in str(service.call("wait", batch="x").get())
    assert [each["uid"] for each in service.ask("pool")] == [other]


def test_rm_removes_a_batch(service: Service) -> None:
    for batch in ("b", "c", "b"):
        service.add(batch=batch)
    service.ask("rm", batch="b")
    assert [each["batch"] for each in service.ask("pool")] == ["c"]
    assert str(service.call("rm").get()) == "rm: argument `uids` is missing"


# What comes after what.


def test_item_starts_when_those_are_done_that_it_comes_after(service: Service) -> None:
    first, second = service.add(), service.add()
    third = service.add(after=[first, second])
    shown = service.ask("pool")[2]
    assert (shown["state"], shown["waits"]) == ("waiting", f"after {first[:8]} and 1 more")
    assert [*shown["after"]] == [first, second]
    one, two = service.launcher.processes
    service.finish(1, one)
    assert service.ask("pool")[1]["waits"] == f"after {second[:8]}"
    assert service.keeper.items[third].terms.met == (first,)
    two.exit(0)
    run_until_idle()
    [shown] = service.ask("pool")
    assert (shown["uid"], shown["state"]) == (third, "playing")
    assert "waits" not in shown


@pytest.mark.parametrize(
    ("end", "words"),
    [("fail", "failed"), ("exit", "failed"), ("rm", "was removed")],
)
def test_item_fails_when_one_was_not_done_that_it_comes_after(
    service: Service, end: str, words: str
) -> None:
    first = service.add()
    second = service.add("retried", after=[first])
    third = service.add("always", after=[second])
    if end == "rm":
        service.ask("rm", uids=[first])
        service.process.exit(0)
    elif end == "fail":
        fail(service)
    else:
        service.process.exit(1)
    service.clock.advance(5)
    assert service.states == []
    reasons = {each["uid"]: each["reason"] for each in service.ended}
    assert reasons[second] == f"was not started: {first[:8]} {words}"
    assert reasons[third] == f"was not started: {second[:8]} failed"
    assert service.keeper.history[second] == service.keeper.history[third] == Outcome.FAILED
    assert len(service.launcher.processes) == 1


def test_retry_is_not_the_end_that_others_wait_for(service: Service) -> None:
    first = service.add("retried")
    service.add(after=[first])
    fail(service)
    service.clock.advance(5)
    assert service.states == ["playing", "waiting"]
    service.finish()
    assert service.states == ["playing"]


@pytest.mark.parametrize("is_remembered", [True, False])
def test_item_may_come_after_one_that_has_ended(service: Service, is_remembered: bool) -> None:
    done, failed = service.add(), service.add()
    first, second = service.launcher.processes
    first.exit(0)
    second.exit(1)
    run_until_idle()
    if not is_remembered:
        service.broker.supervision.ended.clear()
    service.add(after=[done])
    assert service.states == ["playing"]
    late = service.add(after=[done, failed])
    run_until_idle()
    assert service.keeper.history[late] == Outcome.FAILED
    assert service.states == ["playing"]


def test_item_cannot_come_after_one_that_never_was(service: Service) -> None:
    refusal = service.call("add", type="job", after=["x"]).get()
    assert str(refusal) == "add: argument `after`: no item with uid 'x' in pool"
    assert service.states == []


def test_item_still_waits_after_a_crash(service: Service) -> None:
    first, second = service.add(), service.add()
    service.add(after=[first, second])
    service.finish(1, service.launcher.processes[0])
    del service.keeper.history[first]  # as after a while
    service.crash()
    assert service.states == ["playing", "waiting"]
    service.finish()
    assert service.states == ["playing"]


@pytest.mark.parametrize("end", ["done", "failed", "lost", "forgotten"])
def test_end_that_a_crash_has_left_without_consequences_has_them_later(
    service: Service, end: str
) -> None:
    first = service.add()
    second = service.add(after=[first])
    survivor = service.keeper.copy()
    survivor.items.pop(first)
    if end != "forgotten":
        survivor.history[first] = Outcome(end)
    service.stop()
    service.keeper = survivor
    service.start()
    if end == "done":
        assert service.states == ["playing"]
    else:
        assert service.states == []
        assert service.keeper.history[second] == Outcome.FAILED


def test_items_that_wait_for_one_another_come_back_with_a_stopped_service(
    service: Service,
) -> None:
    first = service.add()
    service.add(after=[first])
    service.stop()
    assert service.keeper.history == {}
    service.start()
    assert service.states == ["playing", "waiting"]


def test_many_items_may_come_after_one(service: Service) -> None:
    first = service.add()
    for _ in range(20):
        service.add(after=[first])
    kept = len(service.keeper.asked)
    service.finish()
    assert service.states == ["playing"] * 20
    assert service.keeper.asked[kept:].count("terms") == 1


def test_item_that_waits_can_be_removed(service: Service) -> None:
    first = service.add()
    second = service.add(after=[first])
    service.ask("rm", uids=[second])
    service.finish()
    assert service.states == []
    assert service.keeper.history[second] == Outcome.REMOVED


def test_items_start_all_the_same_if_that_cannot_be_kept(service: Service) -> None:
    first = service.add()
    service.add(after=[first])
    service.keeper.fault = "the disk is full"
    service.finish()
    service.keeper.fault = ""
    assert service.states == ["playing"]
