"""Children that are started ahead: there when they are needed, and seen by nobody before."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support import Client, Refusal, Site, child, parent_of, suspend, wait_until

Make = Callable[..., Client]


#: What queue and pool could do in different ways; test_interleavings has the rest of both.
in_both = pytest.mark.parametrize("kind", ["queue", "pool"])


@pytest.fixture
def kind() -> str:
    return "queue"


@pytest.fixture
def make(make_site: Callable[..., Site], kind: str) -> Make:
    """A function that makes a queue or pool of which the type `well` has two on standby."""

    def start(process: list[str] | None = None, **settings: object) -> Client:
        types = {"well": {"process": process or child("well"), "standby": 2}}
        site = make_site(services=(kind,), settings={kind: {"modules": types, **settings}})
        return Client(site.start(), kind)

    return start


def available(client: Client) -> int:
    return client("standby_available")["well"]["available"]


def wait_for_two(client: Client) -> None:
    wait_until(lambda: available(client) == 2, "two are ready")


def children(client: Client) -> set[int]:
    """The pids of the service's children."""
    pids = client.site.survivors()
    guardian = client.site.processes[client.name].pid
    parents: dict[int, int] = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            parents[pid] = parent_of(pid)
    (service,) = (pid for pid, parent in parents.items() if parent == guardian)
    return {pid for pid, parent in parents.items() if parent == service}


@in_both
def test_an_added_module_is_one_that_was_started_before(make: Make) -> None:
    client = make()
    wait_for_two(client)
    ready = children(client)
    uid = client.add(name="x", colour="red")
    wait_until(lambda: client.parameters(uid).get("playing"), "it plays")
    assert client.parameters(uid)["pid"] in ready
    assert client.parameters(uid)["args"] == {"colour": "red"}
    assert client.heard("x") == ["init", "play"]
    wait_for_two(client)
    assert client("standby_available") == {"well": {"available": 2, "wanted": 2, "misses": 0}}


def test_those_on_standby_are_in_nobodys_queue_and_have_heard_nothing(make: Make) -> None:
    client = make()
    wait_for_two(client)
    assert client.roster() == []
    assert not (client.site.folder / "stage").exists()
    assert client("gone") == []


def test_who_finds_none_waits_for_a_start_and_counts_as_a_miss(make: Make) -> None:
    client = make()
    wait_for_two(client)
    client.site.direct(client.name, 5 * [{"cmd": "add", "args": {"type": "well"}}])
    assert len(client.uids()) == 5
    shown = client("standby_available")["well"]
    assert shown["misses"] in (1, 2, 3)  # fewer than three, where one was ready again in between
    wait_for_two(client)


def test_one_that_dies_is_replaced(make: Make) -> None:
    client = make()
    wait_for_two(client)
    victim = min(children(client))
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: client("gone"), "it is missed")
    assert client("gone")[0]["reason"] == "killed by SIGKILL before `init`"
    wait_for_two(client)
    assert victim not in set(client.site.survivors())
    assert client.add()


#: Runs the rest as a module that once waits for HERE/go, each time but the first.
LATER_SLOW = """
while [ -e "$HERE/begun" ] && [ ! -e "$HERE/go" ]; do sleep 0.01; done
: > "$HERE/begun"
exec "$@"
"""


def test_one_that_is_taken_while_another_module_restarts_is_replaced(
    make_site: Callable[..., Site], kind: str
) -> None:
    well = child("well")
    types = {
        "well": {"process": well, "standby": 1},
        "slow": {
            "process": ["sh", "-c", LATER_SLOW, "slow", *well],
            "restart": "always",
            "restart_delay": 0.01,
            "connect_timeout": 1000,
        },
    }
    site = make_site(services=(kind,), settings={kind: {"modules": types}})
    client = Client(site.start(), kind)
    uid = client.add("slow")
    wait_until(lambda: available(client) == 1, "one is ready")
    with pytest.raises(Refusal):
        client.tell(uid, "exit")

    def is_starting() -> bool:
        (shown,) = client.roster()
        return "restarts" in shown and "next_attempt_in" not in shown

    wait_until(is_starting, "it is started again")
    assert client.add()
    (site.folder / "go").touch()
    wait_until(lambda: available(client) == 1, "one is ready again")


@pytest.mark.parametrize("command", ["add", "set_bg"])
def test_one_that_hangs_or_dies_when_it_is_needed_gives_way_to_a_fresh_start(
    make_site: Callable[..., Site], command: str
) -> None:
    types = {
        name: {"process": child(name), "standby": 1, "command_timeout": 1000}
        for name in ("well", "fickle")
    }
    other = {"other": {"process": child("well")}}
    described = (types, {}) if command == "add" else (other, types)
    settings = {"queue": dict(zip(("modules", "backgrounds"), described, strict=True))}
    site = make_site(services=("queue",), settings=settings)
    queue = Client(site.start(), "queue")

    def all_ready() -> bool:
        return all(each["available"] for each in queue("standby_available").values())

    wait_until(all_ready, "one of each is ready")
    ready = children(queue)
    for pid in ready:
        if "well" in Path(f"/proc/{pid}/cmdline").read_text():
            suspend(pid)
    for name in types:
        assert queue(command, type=name, args={"name": name})["uid"]
        wait_until(lambda n=name: "init" in queue.heard(n), "it has heard")
    wait_until(lambda: not ready & children(queue), "the useless ones are gone")
    assert queue.heard("well").count("init") == 1, "the other one has begun after all"

    def useless() -> list[dict[str, Any]]:
        return [each for each in queue("gone") if each["state_at_end"] == "starting"]

    wait_until(lambda: len(useless()) == 2, "it is told why")
    assert {each["type"]: each["reason"] for each in useless()} == {
        "well": "did not read `init` within 1 s",
        "fickle": "exited with status 3 before `init`",
    }
    assert "from standby did not respond: starting another" in site.log("queue")


def test_what_it_refuses_is_not_asked_of_another(make: Make) -> None:
    client = make()
    wait_for_two(client)
    with pytest.raises(Refusal, match="refused `init`: I will not"):
        client.add(refuse="I will not")
    assert client("standby_available")["well"]["misses"] == 0


def test_a_program_that_cannot_start_is_tried_again_ever_more_rarely(make: Make) -> None:
    client = make(["sh", "-c", "exit 3"])
    wait_until(lambda: len(client("gone")) >= 2, "it was tried twice")
    assert available(client) == 0
    with pytest.raises(Refusal, match="exited with status 3"):
        client.add()
    wait_until(lambda: "no well on standby" in client.site.log(client.name), "the log says so")
    assert "; trying again in 1 s" in client.site.log(client.name)
    wait_until(lambda: not children(client), "nothing is left of the attempts")


@in_both
def test_they_count_among_the_modules_that_there_may_be(make: Make) -> None:
    client = make(max_modules=3)
    wait_for_two(client)
    uids = [client.add(), client.add(), client.add()]
    with pytest.raises(Refusal, match="limit reached \\(3 modules\\)"):
        client.add()
    assert available(client) == 0
    client("rm", uids=uids[:2])
    wait_for_two(client)
    assert len(client.roster()) == 1


@in_both
def test_all_of_them_end_with_the_service(make: Make) -> None:
    client = make()
    wait_for_two(client)
    assert client.site.stop() == {client.name: 0}
    assert client.site.survivors() == []


def test_a_background_comes_from_standby_too(make_site: Callable[..., Site]) -> None:
    types = {"well": {"process": child("well"), "standby": 1}}
    other = {"other": {"process": child("well")}}
    settings = {"queue": {"modules": other, "backgrounds": types}}
    site = make_site(services=("queue",), settings=settings)
    queue = Client(site.start(), "queue")
    wait_until(lambda: queue("standby_available")["well"]["available"] == 1, "one is ready")
    (ready,) = children(queue)
    queue("set_bg", type="well")
    wait_until(lambda: queue("bg", parameters=True)["parameters"].get("pid") == ready, "it is that")
