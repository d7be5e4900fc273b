"""Rows: many modules, their memory and idle CPU time, and answers with all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial

import psutil
from support import http

from bench.lab import MAX_MODULES, Asker, Lab, Site, add_many, cpu_ms, own_processes, quiet
from bench.load import median_ms, times_ms
from bench.row import LOWER, growth, row
from bench.watching import subscribed

MODULES = 500
FEW_MODULES = 100
STREAMS = 100
#: Seconds without commands: longer than the interval of keep-alive comments in event streams.
IDLE = 16
#: How often metrics are read, in seconds, and how often in one measurement: CPU time and memory of
#: modules are measured less often.
SCRAPE_INTERVAL = 5
SCRAPES = 9
#: The parameters of each module, in rows that show them.
PARAMETERS = {
    "title": "Mussorgsky: Pictures at an Exhibition",
    "state": "running",
    "progress": 0.25,
    "left": 123,
    "tags": ["piano", "live"],
}
UPDATE = json.dumps({"cmd": "set_parameters", "args": {"parameters": PARAMETERS}})


def memory_per_module(site: Site) -> float:
    """KiB of private memory (USS) of a service per module, measured by adding MODULES of them."""
    processes = own_processes(site)
    site.ask("pool", "rm", uids=add_many(site, "pool", 1, type="quiet"))  # load lazy imports first

    def used() -> float:
        return sum(process.memory_full_info().uss for process in processes) / 1024

    before = used()
    add_many(site, "pool", MODULES, type="quiet")
    return (used() - before) / MODULES


@row(
    "memory",
    f"memory per module, {MODULES} small modules in a pool",
    versus="1.2.4",
    goal=1,
    better=LOWER,
    unit="KiB",
    max_repeats=3,
)
def memory_versus_old(lab: Lab) -> Iterator[tuple[float, float]]:
    while True:
        with lab.ours("pool", quiet=quiet()) as site:
            ours = memory_per_module(site)
        with lab.old("pool", quiet=quiet()) as site:
            theirs = memory_per_module(site)
        yield ours, theirs


def of_one_core(processes: list[psutil.Process], work: Callable[[], None]) -> tuple[float, float]:
    """Milliseconds of CPU time that processes use during some work, and how long it takes."""
    before, begin = cpu_ms(processes), time.monotonic()
    work()
    return cpu_ms(processes) - before, 1000 * (time.monotonic() - begin)


@row(
    "idle",
    f"CPU of gateway and pool, {MODULES} idle modules, {STREAMS} event streams",
    versus="one core",
    goal=0.01,
    better=LOWER,
    unit="ms",
    max_repeats=2,
)
def idle_cpu(lab: Lab) -> Iterator[tuple[float, float]]:
    with lab.ours("wsgi", "pool", quiet=quiet()) as site:
        processes = own_processes(site)

        add_many(site, "pool", MODULES, type="quiet")
        with subscribed(site.ports["wsgi"], STREAMS, "/pool/events"):
            while True:
                yield of_one_core(processes, lambda: time.sleep(IDLE))


@row(
    "metrics",
    f"CPU of gateway and pool, {MODULES} modules, `metrics` read every {SCRAPE_INTERVAL} s",
    versus="one core",
    goal=0.01,
    better=LOWER,
    unit="ms",
    max_repeats=2,
)
def metrics_cpu(lab: Lab) -> Iterator[tuple[float, float]]:
    settings = {
        "metrics": True,
        "max_modules": MAX_MODULES,
        "pool": {"modules": {"quiet": {"process": quiet()}}},
    }
    with lab.running("wsgi", "pool", settings=settings) as site:
        processes = own_processes(site)
        add_many(site, "pool", MODULES, type="quiet")
        playing = f'shmooze_modules{{service="pool",state="playing",type="quiet"}} {MODULES}'

        def scrape() -> None:
            for _ in range(SCRAPES):
                time.sleep(SCRAPE_INTERVAL)
                assert playing in http(f"{site.url}metrics").body.decode()

        while True:
            yield of_one_core(processes, scrape)


SHOW_ALL = json.dumps({"cmd": "pool", "args": {"parameters": True}}).encode()


def show_all(lab: Lab, count: int) -> Iterator[tuple[float, float]]:
    with lab.ours("pool", quiet=[*quiet(), UPDATE]) as site:
        add_many(site, "pool", count, type="quiet")
        ask = Asker(site.ports["pool"])
        answer = json.loads(ask.send(SHOW_ALL))
        assert answer["result"][-1]["parameters"] == PARAMETERS
        while True:
            theirs = min(times_ms(100, lambda: json.dumps(answer)))
            yield min(times_ms(100, lambda: ask.send(SHOW_ALL))), theirs


@row(
    "show",
    f"`pool` with all parameters, {MODULES} modules",
    versus="json.dumps of the answer",
    goal=2,
    better=LOWER,
    unit="ms",
)
def show_all_versus_encoding(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from show_all(lab, MODULES)


@row(
    "show-few",
    f"the same, {FEW_MODULES} modules",
    versus="json.dumps of the answer",
    goal=4,
    better=LOWER,
    unit="ms",
    quick=True,
)
def show_few_versus_encoding(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from show_all(lab, FEW_MODULES)


@growth(
    "grow-modules",
    "modules",
    "adding all of them to a pool",
    "adding and removing one more",
    "`tell_module` of one",
    "`pool` with all parameters",
)
def many_modules(lab: Lab, numbers: tuple[int, ...]) -> Iterator[tuple[float, ...]]:
    with lab.ours("pool", quiet=[*quiet(), UPDATE]) as site:
        ask, uids, adding = Asker(site.ports["pool"]), [""], 0.0

        def add_and_rm() -> None:
            ask("rm", uids=[ask("add", type="quiet")["uid"]])

        for number in numbers:
            begin = time.perf_counter()
            uids += add_many(site, "pool", number - len(uids), type="quiet")
            adding += 1000 * (time.perf_counter() - begin)
            yield (
                adding,
                median_ms(20, add_and_rm),
                median_ms(200, partial(ask, "tell_module", uid=uids[-1], cmd="x")),
                median_ms(100, partial(ask.send, SHOW_ALL)),
            )
