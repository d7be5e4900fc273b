"""Rows: requests by many clients or one, with wrk."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.lab import Asker, Lab, Site, add_many, child, process_of, quiet
from bench.row import HIGHER, LOWER, Skip, growth, row

MODULES = 5


def wrk(site: Site, service: str, packet: Any, clients: int, seconds: float) -> dict[str, float]:
    """Load a service with wrk: requests a second (`rate`) and median latency in ms (`p50`).

    `service` is the path at the gateway; a leading colon sends requests to the service itself.
    Without a packet the requests are GETs.
    """
    if shutil.which("wrk") is None:
        raise Skip("no wrk")
    direct = service.startswith(":")
    port = site.ports[service[1:] if direct else "wsgi"]
    url = f"http://127.0.0.1:{port}/{'' if direct else service}"
    script = str(Path(__file__).with_name("post.lua"))
    times = [f"-d{seconds:.0f}s", "--timeout", "30s", "--latency"]
    argv = ["wrk", "-t1", f"-c{clients}", *times, "-s", script, url]
    if packet is not None:
        argv += ["--", json.dumps(packet)]
    out = subprocess.run(argv, check=True, capture_output=True).stdout
    figures = json.loads(out.splitlines()[-1])
    assert not figures["failed"], out.decode()
    return figures


def in_turn(lab: Lab, measure: Callable[[Site], float]) -> Iterator[tuple[float, float]]:
    """Measure this version and 1.2.4 in turn, each with a gateway and a queue of five modules."""
    with (
        lab.old("wsgi", "queue", quiet=quiet()) as old,
        lab.ours("wsgi", "queue", quiet=quiet()) as ours,
    ):
        for site in (ours, old):
            add_many(site, "queue", MODULES, type="quiet")
        while True:
            yield measure(ours), measure(old)


QUEUE = {"cmd": "queue"}


@row(
    "queue-32",
    "`queue` through the gateway, 32 clients",
    versus="1.2.4",
    goal=3,
    better=HIGHER,
    unit="/s",
)
def queue_by_32_clients(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from in_turn(lab, lambda site: wrk(site, "queue", QUEUE, 32, lab.seconds)["rate"])


@row(
    "gateway",
    "`queue` through the gateway, 32 clients",
    versus="requests to the service itself",
    goal=0.6,
    better=HIGHER,
    unit="/s",
)
def gateway_versus_service(lab: Lab) -> Iterator[tuple[float, float]]:
    with lab.ours("wsgi", "queue", quiet=quiet()) as site:
        add_many(site, "queue", MODULES, type="quiet")
        while True:
            through = wrk(site, "queue", QUEUE, 32, lab.seconds)["rate"]
            yield through, wrk(site, ":queue", QUEUE, 32, lab.seconds)["rate"]


@row(
    "queue-1",
    "`queue` through the gateway, 1 client, p50",
    versus="1.2.4",
    goal=0.6,
    better=LOWER,
    unit="ms",
)
def queue_by_one_client(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from in_turn(lab, lambda site: wrk(site, "queue", QUEUE, 1, lab.seconds)["p50"])


@row(
    "tell-32",
    "`tell_module` through the gateway, 32 clients",
    versus="1.2.4",
    goal=10,
    better=HIGHER,
    unit="/s",
)
def tell_by_32_clients(lab: Lab) -> Iterator[tuple[float, float]]:
    def measure(site: Site) -> float:
        uid = site.ask("queue", "queue")[0]["uid"]
        tell = {"cmd": "tell_module", "args": {"uid": uid, "cmd": "x"}}
        return wrk(site, "queue", tell, 32, lab.seconds)["rate"]

    yield from in_turn(lab, measure)


def median_ms(count: int, work: Callable[[], Any]) -> float:
    return statistics.median(times_ms(count, work))


def times_ms(count: int, work: Callable[[], Any]) -> list[float]:
    """Do `work` so many times; return the milliseconds of each."""
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        work()
        times.append((time.perf_counter() - begin) * 1000)
    return times


@row(
    "service",
    "`queue` from the service itself, 1 client, p50",
    versus="a stock gevent server, empty app",
    goal=2,
    better=LOWER,
    unit="ms",
    quick=True,
)
def service_versus_bare_server(lab: Lab) -> Iterator[tuple[float, float]]:
    body = json.dumps(QUEUE).encode()
    with lab.ours("queue", quiet=quiet()) as site, process_of(child("bare_server")) as bare:
        add_many(site, "queue", MODULES, type="quiet")
        clients = Asker(site.ports["queue"]), Asker(int(bare.stdout.readline()))
        while True:
            ours, theirs = (median_ms(500, partial(ask.send, body)) for ask in clients)
            yield ours, theirs


@row(
    "workers",
    "`settings.json` from a gateway of 2 workers, 32 clients",
    versus="1 worker",
    goal=1.2,
    better=HIGHER,
    unit="/s",
)
def two_workers_versus_one(lab: Lab) -> Iterator[tuple[float, float]]:
    with lab.ours("wsgi", wsgi_workers=2) as two, lab.ours("wsgi") as one:
        while True:
            ours, theirs = (
                wrk(site, "settings.json", None, 32, lab.seconds)["rate"] for site in (two, one)
            )
            yield ours, theirs


@growth("grow-clients", "clients", "`queue` through the gateway, answered to each client once")
def requests_of_many_clients(lab: Lab, numbers: tuple[int, ...]) -> Iterator[tuple[float]]:
    with lab.ours("wsgi", "queue", quiet=quiet()) as site:
        add_many(site, "queue", MODULES, type="quiet")
        for number in numbers:
            # Twice as long as usual: connecting a thousand clients takes a while.
            yield (1000 * number / wrk(site, "queue", QUEUE, number, 2 * lab.seconds)["rate"],)
