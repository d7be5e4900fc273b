"""Jobs: modules that end with a result. All in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes import Fake, FakeClock, run_until_idle
from job_service import Service

from shmooze.modules.exit import Outcome
from shmooze.pool import Pool


class Job(Fake):
    TYPE_STRING = "job"
    max_result_bytes = 100


class Always(Fake):
    TYPE_STRING = "always"
    restart = "always"


class Hold(Fake):
    TYPE_STRING = "hold"
    after_crash = "hold"


@pytest.fixture
def service(clock: FakeClock) -> Iterator[Service]:
    service = Service(clock, lambda: Pool([Job, Always, Hold]))
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
