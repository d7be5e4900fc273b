"""Many clients and few resources: nobody is kept out for long, and nothing breaks."""

from __future__ import annotations

import json
import resource
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from raw_service import RawService
from support import (
    CHILDREN,
    PATIENCE,
    Refusal,
    Site,
    connections_to,
    failure,
    has_ended,
    probe_site,
    wait_until,
)

from shmooze.access.token_file import TokenFile

pytestmark = pytest.mark.slow

QUICK = {"process": ["bash", str(CHILDREN / "quick.sh")]}


def connect(stack: ExitStack, port: int) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def narrow(make_site: Callable[..., Site]) -> Site:
    """A service and a gateway that take ten connections each."""
    programs = {"probe": [sys.executable, str(CHILDREN / "svc_probe.py"), "probe"]}
    settings = {"max_connections": 10, "allowed_origins": ["https://page.example"]}
    return make_site(services=("probe", "wsgi"), programs=programs, settings=settings).start()


@pytest.mark.parametrize("service", ["probe", "wsgi"])
@pytest.mark.parametrize("said", [b"", b"POST / HTTP/1.1\r\nHost: local"], ids=["idle", "slow"])
def test_the_connection_that_has_waited_longest_is_closed_for_a_new_client(
    narrow: Site, stack: ExitStack, service: str, said: bytes
) -> None:
    crowd = []
    for _ in range(10):
        crowd.append(connect(stack, narrow.ports[service]))
        crowd[-1].sendall(said)
    for _ in range(5):
        ask = narrow.post if service == "wsgi" else narrow.direct
        assert ask("probe", {"cmd": "nothing"}).status == 200
    assert has_ended(crowd[0])


def test_streams_are_closed_for_new_clients_too(
    make_site: Callable[..., Site], stack: ExitStack
) -> None:
    settings = {"pool": {"modules": {"quick": QUICK}}, "max_connections": 10}
    site = make_site(services=("pool",), settings=settings).start()
    streams = [connect(stack, site.ports["pool"]) for _ in range(10)]
    for each in streams:
        each.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in each.recv(4096)
    for _ in range(5):
        assert site.ask("pool", "pool") == []
    streams[0].settimeout(PATIENCE)
    while streams[0].recv(4096):
        pass  # what was under way; then it has ended


def test_a_throttled_connection_is_closed_for_a_new_client(
    make_site: Callable[..., Site], stack: ExitStack
) -> None:
    site = make_site(services=("pool",))
    tokens = TokenFile(str(site.folder / "tokens.json"))
    good = tokens.add("ada", "control")
    site.settings |= {
        "tokens_path": str(tokens.path),
        "max_connections": 5,
        "pool": {"modules": {"quick": QUICK}},
    }
    site.settings_file.write_text(json.dumps(site.settings))
    site.start()
    for _ in range(12):  # some wait longer and longer, the others have been evicted
        connection = connect(stack, site.ports["pool"])
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n")
    headers = {"Authorization": f"Bearer {good}"}
    for _ in range(5):
        assert site.direct("pool", {"cmd": "pool"}, headers=headers).status == 200


@pytest.mark.parametrize("service", ["probe", "wsgi"])
def test_clients_that_never_read_are_disconnected_for_new_ones(
    narrow: Site, stack: ExitStack, service: str
) -> None:
    for _ in range(10):
        deaf = connect(stack, narrow.ports[service])
        deaf.settimeout(0.2)  # s without a byte taken: then the server waits for it to read
        with suppress(OSError):
            while True:
                deaf.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
    for _ in range(10):
        client = connect(stack, narrow.ports[service])
        client.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 404")
    wait_until(lambda: connections_to(narrow.ports[service]) <= 10, "their places are free")
    assert narrow.stop(service) == {service: 0}


@pytest.mark.parametrize("service", ["probe", "wsgi"])
def test_refused_clients_keep_nobody_out(narrow: Site, stack: ExitStack, service: str) -> None:
    for _ in range(30):  # each is given time to read why it was refused
        connect(stack, narrow.ports[service]).sendall(b"nonsense\r\n\r\n")
    ask = narrow.post if service == "wsgi" else narrow.direct
    assert ask("probe", {"cmd": "nothing"}).status == 200


@pytest.mark.parametrize("service", ["probe", "wsgi"])
def test_a_client_that_never_stops_asking_does_not_starve_others(
    make_site: Callable[..., Site], stack: ExitStack, service: str
) -> None:
    programs = {"probe": [sys.executable, str(CHILDREN / "svc_probe.py"), "probe"]}
    site = make_site(services=("probe", "wsgi"), programs=programs).start()
    greedy = connect(stack, site.ports[service])

    def ask_on() -> None:
        with suppress(OSError):
            while True:
                greedy.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)

    def read_on() -> None:
        with suppress(OSError):
            while greedy.recv(1 << 20):
                pass

    threads = [threading.Thread(target=work) for work in (ask_on, read_on)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        ask = site.post if service == "wsgi" else site.direct
        assert ask("probe", {"cmd": "nothing"}).status == 200
    assert site.stop(service) == {service: 0}
    for thread in threads:
        thread.join(PATIENCE)


def test_a_client_is_told_to_try_again_if_all_connections_are_busy(
    narrow: Site, stack: ExitStack
) -> None:
    working = [
        threading.Thread(target=narrow.ask, args=("probe", "wait_for"), kwargs={"name": f"w{each}"})
        for each in range(10)
    ]
    for thread in working:
        thread.start()
    # Until then they only wait for what their clients say, and could be closed for a new one.
    wait_until(lambda: len(list(narrow.folder.glob("begun-w*"))) == 10, "all are busy")
    origin = "https://page.example"
    reply = narrow.direct("probe", {"cmd": "nothing"}, headers={"Origin": origin})
    assert reply.status == 503
    assert reply.headers["Access-Control-Allow-Origin"] == origin
    assert failure(reply) == "too many connections; try again in a moment"
    assert reply.headers["Retry-After"] == "1"
    for each in range(10):
        (narrow.folder / f"w{each}").touch()
    for thread in working:
        thread.join(PATIENCE)
    assert narrow.ask("probe", "nothing") is None


def test_a_thousand_idle_clients_keep_nobody_out(tmp_path, stack: ExitStack) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    site = probe_site(tmp_path, "wsgi")
    stack.callback(site.close)
    site.start()
    crowd = ExitStack()
    stack.callback(crowd.close)
    for each in range(1000):
        connection = connect(crowd, site.ports["wsgi"])
        connection.sendall(b"POST /probe HTTP/1.1\r\nHost: localhost\r\n" if each % 2 else b"")
    for _ in range(20):
        assert site.post("probe", {"cmd": "nothing"}).status == 200


def test_a_gateway_with_over_a_thousand_open_files_still_keeps_its_connections(
    tmp_path: Path, stack: ExitStack
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    site = probe_site(tmp_path, "wsgi", "raw")
    stack.callback(site.close)
    site.start("wsgi")
    crowd = ExitStack()
    stack.callback(crowd.close)
    for _ in range(1100):
        connect(crowd, site.ports["wsgi"])
    with RawService(site.ports["raw"]) as service:
        for number in range(20):
            assert site.post("raw", [number]).json == [number]
        assert service.accepted == 1


def test_a_service_that_runs_out_of_files_says_so_and_recovers(
    make_site: Callable[..., Site], stack: ExitStack
) -> None:
    program = ["prlimit", "--nofile=150:150", sys.executable, "-m", "shmooze.pool"]
    site = make_site(
        services=("pool",),
        settings={"pool": {"modules": {"quick": QUICK}}},
        programs={"pool": program},
    ).start()
    wait_until(lambda: "only 25 connections at a time" in site.log("pool"), "it says so")
    for _ in range(60):  # more than there is room for
        connect(stack, site.ports["pool"])
    uids = []
    with pytest.raises(Refusal) as refused:
        for _ in range(100):
            uids.append(site.ask("pool", "add", type="quick")["uid"])
    assert "Too many open files" in str(refused.value)
    assert len(uids) > 10
    assert [each["state"] for each in site.ask("pool", "pool")] == len(uids) * ["playing"]
    site.ask("pool", "rm", uids=uids)
    wait_until(lambda: len(site.survivors()) == 2, "all of them are gone")
    for uid in [site.ask("pool", "add", type="quick")["uid"] for _ in range(5)]:
        site.ask("pool", "rm", uids=[uid])


def test_a_child_gets_the_systems_own_limit_of_files(make_site: Callable[..., Site]) -> None:
    said = 'echo "files: $(ulimit -n)"; exec bash "$0" "$@"'
    process = ["bash", "-c", said, str(CHILDREN / "quick.sh")]
    settings = {"pool": {"modules": {"telling": {"process": process}}}}
    program = ["prlimit", "--nofile=512:", sys.executable, "-m", "shmooze.pool"]
    site = make_site(services=("pool",), settings=settings, programs={"pool": program}).start()
    uid = site.ask("pool", "add", type="telling")["uid"]
    assert site.ask("pool", "output", uid=uid) == ["files: 512"]
