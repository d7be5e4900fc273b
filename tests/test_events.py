"""Live state: what watchers hear adds up to what commands tell, whatever happens to them."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from events import Watcher
from support import (
    CHILDREN,
    PATIENCE,
    Client,
    Lender,
    Refusal,
    Site,
    child,
    connections_to,
    failure,
    http,
    parent_of,
    wait_until,
)

KINDS = {
    "well": {"process": child("well")},
    "again": {"process": child("well"), "restart": "always", "restart_delay": 0.05},
    "patient": {"process": child("well"), "restart": "always", "restart_delay": 1000},
    "flood": {"process": child("flood")},
    "raw": {"process": [sys.executable, "-S", str(CHILDREN / "raw.py")], "command_timeout": 60},
}


@pytest.fixture(scope="module")
def sites(lender: Callable[..., Lender]) -> Lender:
    settings = {"queue": {"modules": KINDS, "backgrounds": KINDS}, "pool": {"modules": KINDS}}
    return lender(settings=settings)


@pytest.fixture
def site(sites: Lender) -> Iterator[Site]:
    with sites.lend() as site:
        yield site


@pytest.fixture
def queue(site: Site) -> Client:
    return Client(site, "queue")


@pytest.fixture
def watch(site: Site) -> Iterator[Callable[..., Watcher]]:
    """A function that begins to watch a service: through the gateway, or directly."""
    made: list[Watcher] = []

    def begin(name: str = "queue", place: str = "gateway", **keywords: object) -> Watcher:
        where = {
            "gateway": (site.ports["wsgi"], f"/{name}/events"),
            "service": (site.ports[name], "/events"),
        }[place]
        made.append(Watcher(*where, **keywords))
        return made[-1]

    yield begin
    for watcher in made:
        watcher.close()


@pytest.mark.parametrize("place", ["gateway", "service"])
def test_snapshot_and_changes_add_up_to_what_commands_tell(
    queue: Client, watch: Callable[..., Watcher], place: str
) -> None:
    first = queue.add_settled(name="first")
    watcher = watch(place=place)
    watcher.wait_for(queue)
    assert [kind for kind, _ in watcher.events] == ["snapshot"]
    second, third = queue.add(), queue.add("again")
    queue("set_bg", type="well")
    queue("mv", uids=[third, second])
    queue.tell(second, "set", a=1, b=[1, {"x": None}], c="ä")
    queue.tell(second, "unset", names=["a"])
    queue.tell(second, "set", b=True)
    queue.tell(second, "set", b=1)
    watcher.wait_for(queue)
    queue("rm", uids=[first])
    with pytest.raises(Refusal):
        queue.tell(third, "exit", status=3)  # it comes back, with no parameters at first
    wait_until(lambda: queue.roster()[0].get("restarts") == 1, "it is started again")
    wait_until(lambda: queue.roster()[0]["state"] == "playing", "it plays again")
    watcher.wait_for(queue)
    queue("rm", uids=queue.uids())
    queue("set_bg", type="again")
    watcher.wait_for(queue)
    wait_until(lambda: second in watcher.gone, "the reasons come")
    assert watcher.gone[first] == "was removed"
    assert watcher.gone[third] in ("was removed", "exited with status 3")
    assert [kind for kind, _ in watcher.events].count("snapshot") == 1


def test_restarts_and_when_the_next_one_is_are_told(
    queue: Client, watch: Callable[..., Watcher]
) -> None:
    uid = queue.add("patient")
    watcher = watch()
    watcher.wait_for(queue)
    with pytest.raises(Refusal):
        queue.tell(uid, "exit")
    wait_until(lambda: "next_attempt_at" in queue.roster()[0], "it waits to be started again")
    watcher.wait_for(queue)
    (module,) = watcher.state["modules"]
    assert module["restarts"] == 1
    assert 0 < module["next_attempt_at"] - time.time() <= 1250
    fresh = watch()
    fresh.wait_for(queue)
    assert fresh.events[0][1]["modules"] == [module]


def test_a_pool_has_no_background(site: Site, watch: Callable[..., Watcher]) -> None:
    pool = Client(site, "pool")
    watcher = watch("pool")
    pool.add()
    watcher.wait_for(pool)
    assert watcher.state["background"] is None


def test_who_comes_back_gets_what_it_has_missed(
    queue: Client, watch: Callable[..., Watcher]
) -> None:
    uid = queue.add_settled()
    watcher = watch()
    watcher.wait_for(queue)
    watcher.close()
    queue.tell(uid, "set", x=1)
    queue.add_settled()
    back = watch(after=watcher)
    back.wait_for(queue)
    assert "snapshot" not in [kind for kind, _ in back.events]
    # And nothing, where it has missed nothing.
    again = watch(after=back)
    queue.tell(uid, "set", x=2)
    wait_until(lambda: again.events, "the next change comes")
    assert again.events[0] == ("change", {"modules": {uid: {"set": {"x": 2}}}})


@pytest.mark.parametrize("last_id", ["", "x", "00000000-1", "{}-999", "{}-x", "{}--1", "{}"])
def test_who_comes_with_an_id_that_nobody_knows_gets_a_snapshot(
    queue: Client, watch: Callable[..., Watcher], last_id: str
) -> None:
    queue.add_settled()
    watcher = watch()
    watcher.wait_for(queue)
    instance = str(watcher.last_id).partition("-")[0]
    back = watch(last_id=last_id.replace("{}", instance))
    back.wait_for(queue)
    assert [kind for kind, _ in back.events] == ["snapshot"]


def test_a_service_that_was_restarted_gives_a_snapshot(
    site: Site, queue: Client, watch: Callable[..., Watcher]
) -> None:
    queue.add()
    watcher = watch()
    watcher.wait_for(queue)
    site.stop("queue")
    assert watcher.ended.wait(PATIENCE), "the gateway ends the stream of a service that has gone"
    assert http(f"{site.url}queue/events").status == 502
    site.start("queue")
    queue.add_settled("again")
    back = watch(last_id=watcher.last_id)
    back.wait_for(queue)
    assert [kind for kind, _ in back.events] == ["snapshot"]


def shown(watcher: Watcher) -> dict[str, Any]:
    """The parameters of the first module, as a watcher has them."""
    modules = watcher.state.get("modules")
    return modules[0]["parameters"] if modules else {}


def test_a_flood_reaches_each_watcher_at_a_humane_rate_and_with_its_last_value(
    queue: Client, watch: Callable[..., Watcher]
) -> None:
    watchers = [watch(), watch(place="service")]
    uid = queue.add("raw")
    begin = time.monotonic()
    line = r"""b'{"cmd":"set_parameters","args":{"parameters":{"n":%d}}}\n' % (i * 100 + j)"""
    queue.tell(uid, "send", up=f"(b''.join({line} for j in range(100)) for i in range(100))")
    for watcher in watchers:
        wait_until(lambda w=watcher: shown(w) == {"n": 9999}, "the last value comes")
        took = time.monotonic() - begin
        assert len(watcher.events) < 31 * took + 5


def test_those_that_do_not_read_cost_no_memory_and_nobody_waits_for_them(
    site: Site, queue: Client, watch: Callable[..., Watcher]
) -> None:
    with ExitStack() as stack:
        for _ in range(30):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", site.ports["queue"]))
            deaf.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        watcher = watch()
        uid = queue.add("raw")
        service = parent_of(child_of(site, queue))
        head, tail = b'{"cmd":"set_parameters","args":{"parameters":{"x":"', b'"}}}\n'
        line = f"{head!r} + bytes([97 + i % 26]) * 500000 + {tail!r}"
        queue.tell(uid, "send", up=f"({line} for i in range(100))")
        watcher.wait_for(queue)
        status = Path(f"/proc/{service}/status").read_text()
        assert int(status.partition("VmHWM:")[2].split()[0]) < 150_000
        assert len(watcher.events) > 10


def child_of(site: Site, queue: Client) -> int:
    """The pid of a child of the service."""
    return next(iter(set(site.survivors()) - queue.own_processes))


def test_when_the_client_leaves_the_gateway_leaves_too(
    site: Site, queue: Client, watch: Callable[..., Watcher]
) -> None:
    site.stop("wsgi")  # it may keep connections of earlier tests
    site.start("wsgi")
    queue.add()
    watcher = watch()
    watcher.wait_for(queue)
    during = connections_to(site.ports["queue"])
    assert during > 0
    watcher.close()
    # Long before anything has to be written to it.
    wait_until(lambda: connections_to(site.ports["queue"]) < during, "the stream is over")


@pytest.mark.parametrize("name", ["queue", "wsgi"])
def test_open_streams_do_not_delay_a_stop(
    site: Site, watch: Callable[..., Watcher], name: str
) -> None:
    watchers = [watch() for _ in range(3)]
    assert site.stop(name) == {name: 0}
    assert all(watcher.ended.wait(PATIENCE) for watcher in watchers)


def test_a_name_that_is_no_service_has_no_events(site: Site) -> None:
    assert "there is nothing at /radio/events" in failure(http(f"{site.url}radio/events"))


def test_a_service_that_has_no_events_says_so(make_site: Callable[..., Site]) -> None:
    probe = [sys.executable, str(CHILDREN / "svc_probe.py"), "probe"]
    site = make_site(services=("wsgi", "probe"), programs={"probe": probe}).start()
    reply = http(f"{site.url}probe/events")
    assert (reply.status, failure(reply)) == (404, "there is nothing at /events")


def test_a_killed_service_ends_the_stream(
    site: Site, queue: Client, watch: Callable[..., Watcher]
) -> None:
    queue.add()
    watcher = watch()
    watcher.wait_for(queue)
    guardian = site.processes.pop("queue")
    os.kill(parent_of(child_of(site, queue)), signal.SIGKILL)
    guardian.wait(PATIENCE)
    assert watcher.ended.wait(PATIENCE)
