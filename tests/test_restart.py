"""Modules that are started again: when, how often, and where they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import Refusal, Site, child, wait_until

from shmooze.modules.restarts import Restarts


def test_delays_double_up_to_the_longest_and_are_spread() -> None:
    restarts = Restarts(delay=1, longest=8, limit=100, period=600)
    for expected in (1, 2, 4, 8, 8):
        delay = restarts.delay_after(lived=0)
        assert delay is not None
        assert expected * 0.75 <= delay <= expected * 1.25
    assert restarts.count == 5


def test_delay_begins_anew_after_a_healthy_life() -> None:
    restarts = Restarts(delay=1, longest=1000, limit=100, period=600)
    for _ in range(8):
        restarts.delay_after(lived=0)
    delay = restarts.delay_after(lived=Restarts.healthy)
    assert delay is not None
    assert delay <= 1.25


def test_too_many_restarts_in_a_period_are_the_end() -> None:
    restarts = Restarts(delay=1, longest=8, limit=2, period=600)
    assert restarts.delay_after(lived=0)
    assert restarts.delay_after(lived=0)
    assert restarts.delay_after(lived=0) is None


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    def kind(**keys: Any) -> dict[str, Any]:
        return {"process": child("well"), "restart_delay": 0.05, **keys}

    kinds = {
        "never": kind(),
        "on-failure": kind(restart="on-failure"),
        "always": kind(restart="always"),
        "patient": kind(restart="always", restart_delay=1000, restart_delay_max=1000),
        "hopeless": kind(restart="on-failure", restart_limit=2),
    }
    settings = {"queue": {"modules": kinds, "backgrounds": kinds}}
    return make_site(services=("queue",), settings=settings).start()


def add(site: Site, kind: str, **args: Any) -> str:
    return site.ask("queue", "add", type=kind, args=args)["uid"]


def kill(site: Site, uid: str, status: int = 3) -> None:
    with pytest.raises(Refusal):
        site.ask("queue", "tell_module", uid=uid, cmd="exit", args={"status": status})


def roster(site: Site) -> list[dict[str, Any]]:
    return site.ask("queue", "queue", parameters=True)


def wait_restarted(site: Site, uid: str, times: int = 1) -> dict[str, Any]:
    """The module's entry, once it plays again after so many restarts."""

    def entry() -> dict[str, Any] | None:
        for module in roster(site):
            if module["uid"] == uid and module.get("restarts") == times:
                return module if module["state"] == "playing" else None
        return None

    return wait_until(entry, f"restart {times}")


def test_a_crashed_module_comes_back_with_its_uid_place_and_arguments(site: Site) -> None:
    first = add(site, "on-failure", name="a", song="x")
    second = add(site, "never")
    kill(site, first)
    wait_restarted(site, first)
    args = wait_until(lambda: roster(site)[0]["parameters"].get("args"), "it tells its arguments")
    assert args == {"song": "x"}
    assert [module["uid"] for module in roster(site)] == [first, second]
    kill(site, first)
    wait_restarted(site, first, times=2)
    heard = site.folder / "heard-a"
    wait_until(lambda: heard.read_text().split() == ["init", "play"] * 3, "it has heard all")


@pytest.mark.parametrize(("kind", "status"), [("never", 3), ("never", 0), ("on-failure", 0)])
def test_an_end_that_the_policy_accepts_is_the_end(site: Site, kind: str, status: int) -> None:
    uid = add(site, kind)
    kill(site, uid, status)
    wait_until(lambda: roster(site) == [], "it has left")
    wait_until(lambda: len(site.ask("queue", "gone")) == 1, "it is told of")


def test_always_means_after_a_clean_end_and_a_goodbye_too(site: Site) -> None:
    uid = add(site, "always")
    kill(site, uid, status=0)
    wait_restarted(site, uid)
    site.ask("queue", "tell_module", uid=uid, cmd="leave")
    wait_restarted(site, uid, times=2)


def test_a_removed_module_stays_away(site: Site) -> None:
    uid = add(site, "always")
    site.ask("queue", "rm", uids=[uid])
    wait_until(lambda: site.ask("queue", "gone"), "it has gone")
    assert roster(site) == []


def test_the_next_one_plays_while_the_first_waits_for_its_restart(site: Site) -> None:
    first, second = add(site, "patient"), add(site, "never")
    kill(site, first)
    waiting = wait_until(
        lambda: [m for m in roster(site) if m.get("next_attempt_in")], "it waits for its restart"
    )[0]
    assert (waiting["uid"], waiting["state"], waiting["restarts"]) == (first, "starting", 1)
    assert 700 < waiting["next_attempt_in"] <= 1250
    wait_until(lambda: roster(site)[1]["state"] == "playing", "the second one plays")
    with pytest.raises(Refusal, match="is starting"):
        site.ask("queue", "tell_module", uid=first, cmd="echo")
    site.ask("queue", "rm", uids=[first])
    assert [module["uid"] for module in roster(site)] == [second]


def test_a_hopeless_module_is_given_up_with_that_reason(site: Site) -> None:
    uid = add(site, "hopeless")
    for times in range(1, 3):
        kill(site, uid)
        wait_restarted(site, uid, times)
    kill(site, uid)
    wait_until(lambda: roster(site) == [], "it is given up")
    last = wait_until(lambda: site.ask("queue", "gone")[3:], "it is told of")[0]
    reason = "was given up after 2 restarts; the last time it exited with status 3"
    assert last["reason"] == reason


def test_a_background_comes_back_too(site: Site) -> None:
    uid = site.ask("queue", "set_bg", type="on-failure")["uid"]
    with pytest.raises(Refusal):
        site.ask("queue", "tell_background", uid=uid, cmd="exit", args={"status": 3})
    wait_until(
        lambda: (bg := site.ask("queue", "bg")) and bg.get("restarts") and bg["state"] == "playing",
        "the background plays again",
    )
    assert site.ask("queue", "bg")["uid"] == uid


def test_a_service_that_stops_does_not_wait_for_restarts(site: Site) -> None:
    kill(site, add(site, "patient"))
    wait_until(lambda: roster(site)[0].get("next_attempt_in"), "it waits for its restart")
    assert site.stop() == {"queue": 0}
