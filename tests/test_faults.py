"""Faults in an application's own module classes: they end the module, and disturb nobody else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support import CHILDREN, Client, Refusal, Site, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["queue", "pool"])
def running(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Client]:
    kind = request.param
    program = [sys.executable, str(CHILDREN / "faulty_pool.py"), kind]
    folder = tmp_path_factory.mktemp(kind)
    site = Site(folder, services=(kind,), programs={kind: program}).start()
    yield Client(site, kind)
    site.close()


def end_of(client: Client, uid: str) -> dict[str, Any]:
    """What `gone` says of a module, as soon as it has gone."""

    def find() -> dict[str, Any] | None:
        return next((each for each in client("gone") if each["uid"] == uid), None)

    return wait_until(find, "it is gone")


@pytest.mark.parametrize("fault", ["fails", "fails-first", "has-no-name", "times-out", "exits"])
def test_module_whose_class_fails_to_play_ends_and_its_add_is_refused(
    client: Client, fault: str
) -> None:
    with pytest.raises(Refusal) as refused:
        client.add(f"play-{fault}")
    assert (
        str(refused.value)
        == f"play-{fault} hit an internal error in `play`; the service's log has details"
    )
    assert client.roster() == []
    assert client.site.log(client.name).count(f"play-{fault} ") < 10, "it is tried once"


def test_module_whose_class_does_not_do_what_it_is_asked_ends(client: Client) -> None:
    with pytest.raises(Refusal) as refused:
        client.add("play-does-nothing")
    assert str(refused.value) == "play-does-nothing is still suspended after `play`"
    assert client.roster() == []


@pytest.mark.parametrize("kind", ["remove-fails", "remove-does-nothing"])
def test_module_whose_class_fails_to_remove_it_is_removed_all_the_same(
    client: Client, kind: str
) -> None:
    uid = client.add(kind)
    client("rm", uids=[uid])
    assert client.roster() == []
    assert end_of(client, uid)["ladder"] == "rm"


def test_module_whose_class_fails_to_start_is_refused_and_leaves_nothing(client: Client) -> None:
    with pytest.raises(Refusal) as refused:
        client.add("start-fails")
    assert (
        str(refused.value)
        == "start-fails hit an internal error in `start`; the service's log has details"
    )
    assert client.roster() == []
    client.expect_no_children()


def test_module_whose_class_fails_when_it_is_started_again_is_given_up(client: Client) -> None:
    uid = client.add("restart-fails")
    with pytest.raises(Refusal):
        client.tell(uid, "exit")
    said = "was given up after 2 restarts; the last time it hit an internal error in `start`"
    wait_until(lambda: any(said in each["reason"] for each in client("gone")), "it is given up")
    assert client.roster() == []


def test_module_that_cannot_have_a_successor_ends_for_good(client: Client) -> None:
    uid = client.add("successor-fails")
    with pytest.raises(Refusal):
        client.tell(uid, "exit")
    assert end_of(client, uid)["reason"] == "ended by itself"
    assert client.roster() == []


def test_module_that_hangs_in_its_own_class_is_removed(client: Client) -> None:
    with ThreadPoolExecutor(1) as threads:
        added = threads.submit(client.add, "play-hangs")
        wait_until(
            lambda: [each["parameters"].get("hangs") for each in client.roster()] == [True],
            "it hangs",
        )
        (uid,) = client.uids()
        client("rm", uids=[uid])
        assert added.result() == uid
    assert end_of(client, uid)["reason"] == "was removed"


def test_queue_goes_on_after_a_module_whose_class_fails_to_suspend(client: Client) -> None:
    if client.kind != "queue":
        pytest.skip("a pool suspends nobody")
    bad, good = client.add("suspend-fails"), client.add("plain")
    client("mv", uids=[good])
    assert [(each["uid"], each["state"]) for each in client.roster()] == [(good, "playing")]
    assert (
        end_of(client, bad)["reason"]
        == "hit an internal error in `suspend`; the service's log has details"
    )


def test_lazy_module_whose_class_fails_to_start_leaves_the_queue(client: Client) -> None:
    if client.kind != "queue":
        pytest.skip("in a pool a lazy one is started at once")
    head = client.add("plain")
    far = [client.add("plain"), client.add("start-fails-lazily")]
    client("rm", uids=[head])
    reason = end_of(client, far[1])["reason"]
    assert reason == "hit an internal error in `start`; the service's log has details"
    assert client.uids() == far[:1]


def test_type_whose_class_fails_to_prepare_is_on_standby_later(
    make_site: Callable[..., Site],
) -> None:
    program = [sys.executable, str(CHILDREN / "faulty_pool.py"), "standby"]
    pool = Client(make_site(services=("pool",), programs={"pool": program}).start(), "pool")

    def available() -> int:
        return pool("standby_available")["prepare-fails"]["available"]

    wait_until(lambda: available() == 1, "one is ready")
    assert [each["reason"] for each in pool("gone")] == [
        "hit an internal error in `prepare`; the service's log has details"
    ]


def test_command_that_the_application_gives_up_ends_the_module_and_answers_nobody_else(
    client: Client,
) -> None:
    uid = client.add("plain", name=client.name, gates=["do_echo"])
    with ThreadPoolExecutor(2) as threads:
        given_up = threads.submit(client, "tell_impatiently", uid=uid, cmd="echo")
        wait_until(lambda: client.parameters(uid).get("hears") == "do_echo", "it is under way")
        second = threads.submit(client.tell, uid, "set", a=1)
        client("give_up")
        assert given_up.result() == "gave up"
        (client.site.folder / f"go-{client.name}").touch()
        with pytest.raises(Refusal, match=uid):
            second.result()
    assert end_of(client, uid)["reason"] == "did not answer `do_echo` before its caller gave up"
