"""Rows of many modules: memory, idleness, and answers that show all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial

import psutil

from bench.lab import Asker, Lab, Site, add_many, quiet
from bench.load import median_ms
from bench.row import LOWER, growth, row
from bench.watching import subscribed

MODULES = 500
STREAMS = 100
#: What each module of a pool shows, in rows where it matters.
PARAMETERS = {
    "title": "Mussorgsky: Pictures at an Exhibition",
    "state": "running",
    "progress": 0.25,
    "left": 123,
    "tags": ["piano", "live"],
}
UPDATE = json.dumps({"cmd": "set_parameters", "args": {"parameters": PARAMETERS}})


def own_processes(site: Site) -> list[psutil.Process]:
    """Of each service its processes, guardians included; of those before any module is added."""
    roots = [psutil.Process(process.pid) for process in site.processes.values()]
    return [each for root in roots for each in (root, *root.children(recursive=True))]


def memory_per_module(site: Site) -> float:
    """KiB of memory of its own that a service has for each module; they are added for it."""
    processes = own_processes(site)
    site.ask("pool", "rm", uids=add_many(site, "pool", 1, type="quiet"))  # what is loaded late

    def used() -> float:
        return sum(process.memory_full_info().uss for process in processes) / 1024

    before = used()
    add_many(site, "pool", MODULES, type="quiet")
    return (used() - before) / MODULES


@row(
    "memory",
    f"memory for each of {MODULES} small modules in a pool",
    beside="1.2.4",
    goal=1,
    better=LOWER,
    unit="KiB",
    most=3,
)
def memory_beside_old(lab: Lab) -> Iterator[tuple[float, float]]:
    while True:
        with lab.ours("pool", quiet=quiet()) as site:
            ours = memory_per_module(site)
        with lab.old("pool", quiet=quiet()) as site:
            theirs = memory_per_module(site)
        yield ours, theirs


@row(
    "idle",
    f"CPU of gateway and pool, {MODULES} idle modules, {STREAMS} event streams",
    beside="one core",
    goal=0.01,
    better=LOWER,
    unit="ms",
    most=3,
)
def idle_cpu(lab: Lab) -> Iterator[tuple[float, float]]:
    with lab.ours("wsgi", "pool", quiet=quiet()) as site:
        processes = own_processes(site)

        def used() -> float:
            return sum(sum(process.cpu_times()[:2]) for process in processes)

        add_many(site, "pool", MODULES, type="quiet")
        with subscribed(site.ports["wsgi"], STREAMS, "/pool/events"):
            while True:
                before, begin = used(), time.monotonic()
                time.sleep(max(10, 5 * lab.seconds))  # a CPU time is told in hundredths of a second
                yield 1000 * (used() - before), 1000 * (time.monotonic() - begin)


SHOW_ALL = json.dumps({"cmd": "pool", "args": {"parameters": True}}).encode()


@row(
    "show",
    f"`pool` with all parameters, {MODULES} modules",
    beside="json.dumps of the answer",
    goal=2,
    better=LOWER,
    unit="ms",
    quick=True,
)
def show_all_beside_encoding(lab: Lab) -> Iterator[tuple[float, float]]:
    with lab.ours("pool", quiet=[*quiet(), UPDATE]) as site:
        add_many(site, "pool", MODULES, type="quiet")
        ask = Asker(site.ports["pool"])
        answer = json.loads(ask.send(SHOW_ALL))
        assert answer["result"][-1]["parameters"] == PARAMETERS
        while True:
            theirs = median_ms(100, lambda: json.dumps(answer))
            yield median_ms(100, lambda: ask.send(SHOW_ALL)), theirs


def with_many(lab: Lab, numbers: tuple[int, ...], body: bytes) -> Iterator[float]:
    """The median of a command in a pool of so many modules."""
    with lab.ours("pool", quiet=[*quiet(), UPDATE]) as site:
        there = 0
        for number in numbers:
            add_many(site, "pool", number - there, type="quiet")
            there, ask = number, Asker(site.ports["pool"])
            yield median_ms(100, partial(ask.send, body))


@growth("grow-show", "`pool` with all parameters", grows="modules", unit="ms")
def show_all_of_many(lab: Lab, numbers: tuple[int, ...]) -> Iterator[float]:
    yield from with_many(lab, numbers, SHOW_ALL)


@growth("grow-tell", "`tell_module` of one", grows="modules", unit="ms")
def tell_one_of_many(lab: Lab, numbers: tuple[int, ...]) -> Iterator[float]:
    with lab.ours("pool", quiet=quiet()) as site:
        uids: list[str] = []
        for number in numbers:
            uids += add_many(site, "pool", number - len(uids), type="quiet")
            ask, tell = Asker(site.ports["pool"]), {"uid": uids[-1], "cmd": "x"}
            yield median_ms(200, partial(ask, "tell_module", **tell))


@growth("grow-start", "until all are added", grows="modules", unit="ms")
def add_all(lab: Lab, numbers: tuple[int, ...]) -> Iterator[float]:
    for number in numbers:
        with lab.ours("pool", quiet=quiet()) as site:
            begin = time.perf_counter()
            add_many(site, "pool", number, type="quiet")
            yield 1000 * (time.perf_counter() - begin)
