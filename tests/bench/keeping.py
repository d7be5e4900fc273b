"""Rows: items that are kept in a state file."""

from __future__ import annotations

import os
import signal
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any

from support import is_listening, wait_until

from bench.lab import Asker, Lab, Site, add_many, child, process_of
from bench.lives import ms
from bench.load import wrk
from bench.row import HIGHER, LOWER, row

#: Items added or inserted for one measurement.
COUNT = 300
#: Items that come back.
MANY = 10_000
LAZY = {"process": child("polite"), "spawn": "lazy", "lookahead": 0}
ADD = {"cmd": "add", "args": {"type": "lazy", "args": {"title": "Metropolis"}}}


@contextmanager
def kept(lab: Lab, state: bool = True) -> Iterator[Site]:
    """A queue with a state file, whose items wait behind a first one."""
    with lab.ours("queue", state=state, lazy=LAZY) as site:
        add_many(site, "queue", 1, type="lazy")
        yield site


@contextmanager
def inserted_into(path: str) -> Iterator[sqlite3.Connection]:
    """The same file, with a table of a program of its own."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA synchronous = FULL")
        file.execute("CREATE TABLE IF NOT EXISTS own (uid TEXT PRIMARY KEY, args TEXT)")
        yield file


def insert(file: sqlite3.Connection, number: str) -> None:
    file.execute("BEGIN IMMEDIATE")
    file.execute("INSERT INTO own VALUES (?, ?)", (number, '{"title":"Metropolis"}'))
    file.execute("COMMIT")


def path_of(site: Site) -> str:
    return str(site.settings["state_path"])


def medians_ms(*works: Callable[[], Any]) -> list[float]:
    """The median milliseconds of each, done in turn: a disk and a processor that were idle for a
    moment are slower, so both sides get the same pauses.
    """
    times = [[work_ms(work) for work in works] for _ in range(COUNT)]
    return [statistics.median(each) for each in zip(*times)]


def work_ms(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return ms(begin)


def adding(site: Site) -> Callable[[], Any]:
    return partial(Asker(site.ports["queue"]), "add", **ADD["args"])


def inserting(file: sqlite3.Connection) -> Callable[[], Any]:
    return lambda: insert(file, str(time.perf_counter()))


@row(
    "keep",
    "`add` of a waiting item until it is on disk and answered, p50",
    versus="INSERT and COMMIT on the same file, in turn",
    goal=2,
    better=LOWER,
    unit="ms",
)
def keep_one_after_the_other(lab: Lab) -> Iterator[tuple[float, float]]:
    with kept(lab) as site, inserted_into(path_of(site)) as file:
        works = adding(site), inserting(file)
        while True:
            ours, theirs = medians_ms(*works)
            yield ours, theirs


@row(
    "keep-more",
    "the same, less the same without a state file: what keeping adds",
    versus="INSERT and COMMIT on the same file, in turn",
    goal=2,
    better=LOWER,
    unit="ms",
)
def keeping_adds(lab: Lab) -> Iterator[tuple[float, float]]:
    with (
        kept(lab) as site,
        kept(lab, state=False) as forgetful,
        inserted_into(path_of(site)) as file,
    ):
        works = adding(site), adding(forgetful), inserting(file)
        while True:
            with_file, without, theirs = medians_ms(*works)
            yield with_file - without, theirs


@row(
    "keep-32",
    "the same by 32 clients",
    versus="INSERT and COMMIT on the same file by one program, without pause",
    goal=0.5,
    better=HIGHER,
    unit="/s",
)
def keep_together(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from rates(lab, connections=1)


@row(
    "keep-each",
    "the same by 32 clients",
    versus="INSERT and COMMIT on the same file by 32 connections",
    goal=0.5,
    better=HIGHER,
    unit="/s",
)
def keep_versus_as_many_connections(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from rates(lab, connections=32)


def rates(lab: Lab, connections: int) -> Iterator[tuple[float, float]]:
    with (
        kept(lab) as site,
        inserted_into(path_of(site)),
        process_of(child("committers", path_of(site))) as bare,
    ):
        while True:
            rate = wrk(site, ":queue", ADD, 32, lab.seconds)["rate"]
            bare.stdin.write(b"%d %f\n" % (connections, lab.seconds))
            yield rate, float(bare.stdout.readline())


@row(
    "come-back",
    "from start until it serves 10,000 items again after SIGKILL",
    versus="until it serves none",
    goal=10,
    better=LOWER,
    unit="ms",
    max_repeats=3,
    limit=2000,
)
def come_back(lab: Lab) -> Iterator[tuple[float, float]]:
    with kept(lab) as full, lab.ours("queue", state=True, lazy=LAZY) as empty:
        for _ in range(MANY // 1000):
            full.direct("queue", 1000 * [ADD])
        while True:
            yield restart_ms(full, MANY + 1), restart_ms(empty, 0)


def restart_ms(site: Site, count: int) -> float:
    """Milliseconds from the start, after service and guardian were killed, until all are there."""
    wait_until(lambda: len(site.ask("queue", "queue")) == count, "all are there")
    guardian = site.processes.pop("queue")
    for pid in (guardian.pid, *site.survivors()):
        _kill(pid)
    guardian.wait()
    wait_until(lambda: not is_listening(site.ports["queue"]), "nothing is left")
    begin = time.perf_counter()
    site.start("queue")
    assert len(site.ask("queue", "queue")) == count
    return ms(begin)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
