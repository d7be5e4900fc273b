"""Rows: starting and removing modules."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator

from bench.lab import Asker, Lab, Site, add_many, child
from bench.row import LOWER, row

#: Modules added or removed for one measurement, which is the fastest of them.
COUNT = 10
#: Seconds in which a removed module ends: that takes CPU time and is not to be measured.
PAUSE = 0.05


def ms(since: float) -> float:
    return (time.perf_counter() - since) * 1000


def add_ms(ask: Asker, kind: str = "polite") -> float:
    """Milliseconds until `add` is answered. For type `ready`, waits for a standby child first."""
    times = []
    for _ in range(COUNT):
        while kind == "ready" and not ask("standby_available")[kind]["available"]:
            time.sleep(PAUSE)
        begin = time.perf_counter()
        uid = ask("add", type=kind)["uid"]
        times.append(ms(begin))
        ask("rm", uids=[uid])
        time.sleep(PAUSE)
    return min(times)


def bare_start_ms() -> float:
    """Milliseconds from starting a child until both of its connections are accepted."""
    times = []
    for _ in range(COUNT):
        begin = time.perf_counter()
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [str(each.getsockname()[1]) for each in listeners]
        process = subprocess.Popen([*child("polite"), "127.0.0.1", *ports])
        connections = [each.accept()[0] for each in listeners]
        times.append(ms(begin))
        for each in (*connections, *listeners):
            each.close()  # ends the child
        process.wait()
        time.sleep(PAUSE)
    return min(times)


@row(
    "add",
    "`add` until answered, cold start",
    versus="plain Popen until connected",
    goal=1.15,
    better=LOWER,
    unit="ms",
    quick=True,
)
def add_versus_popen(lab: Lab) -> Iterator[tuple[float, float]]:
    with lab.ours("pool", polite=child("polite")) as site:
        ask = Asker(site.ports["pool"])
        while True:
            yield add_ms(ask), bare_start_ms()


@row(
    "standby",
    "`add` with a standby child",
    versus="cold start",
    goal=0.1,
    better=LOWER,
    unit="ms",
    quick=True,
    limit=4,
)
def add_with_standby(lab: Lab) -> Iterator[tuple[float, float]]:
    polite = child("polite")
    with lab.ours("pool", polite=polite, ready={"process": polite, "standby": 1}) as site:
        ask = Asker(site.ports["pool"])
        while True:
            yield add_ms(ask, "ready"), add_ms(ask)


@row(
    "preload",
    "`add` of a Python type with `preload`",
    versus="cold start",
    goal=0.25,
    better=LOWER,
    unit="ms",
)
def add_with_preload(lab: Lab) -> Iterator[tuple[float, float]]:
    polite = child("polite")
    with lab.ours("pool", polite=polite, loaded={"process": polite, "preload": True}) as site:
        ask = Asker(site.ports["pool"])
        add_ms(ask, "loaded")  # which starts the process that the others are forked from
        while True:
            yield add_ms(ask, "loaded"), add_ms(ask)


def rm_ms(site: Site) -> float:
    """Milliseconds until `rm` is answered."""
    times = []
    for uid in add_many(site, "pool", COUNT, type="polite"):
        begin = time.perf_counter()
        site.ask("pool", "rm", uids=[uid])
        times.append(ms(begin))
        time.sleep(PAUSE)
    return min(times)


@row(
    "rm",
    "`rm` until answered, polite child",
    versus="1.2.4",
    goal=1,
    better=LOWER,
    unit="ms",
)
def rm_versus_old(lab: Lab) -> Iterator[tuple[float, float]]:
    polite = child("polite")
    with lab.old("pool", polite=polite) as old, lab.ours("pool", polite=polite) as ours:
        while True:
            yield rm_ms(ours), rm_ms(old)
