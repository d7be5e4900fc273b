"""Rows: what it costs to check arguments against the description of a type."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.lab import Asker, Lab, add_many, quiet
from bench.lives import ms
from bench.row import LOWER, row

#: Commands on each side for one measurement.
COUNT = 500
SCHEMA: dict[str, Any] = {
    "label": "{title}, {seconds} s",
    "args": {
        "properties": {
            "title": {"type": "string", "maxLength": 200},
            "seconds": {"type": "integer", "minimum": 1},
            "volume": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5},
            "token": {"type": "string", "writeOnly": True},
        },
        "required": ["title"],
    },
    "commands": {"x": {"args": {"properties": {"to": {"type": "number", "minimum": 0}}}}},
}
ARGS = {"title": "Metropolis", "seconds": 9180}


@contextmanager
def both(lab: Lab, **keys: Any) -> Iterator[tuple[Any, Any]]:
    """A queue of a type with a description, and one of the same type without."""
    described = {**keys, "schema": SCHEMA}
    with lab.ours("queue", thing=described) as ours, lab.ours("queue", thing=keys) as theirs:
        for site in (ours, theirs):
            add_many(site, "queue", 1, type="thing", args=ARGS)
        yield ours, theirs


def in_turn(
    ours: Asker, theirs: Asker, *commands: tuple[str, dict[str, Any]]
) -> tuple[float, float]:
    """The median milliseconds of a command on either side, sent in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(COUNT):
        for ask, (cmd, args), each in zip((ours, theirs), commands, times):
            begin = time.perf_counter()
            ask(cmd, **args)
            each.append(ms(begin))
    return statistics.median(times[0]), statistics.median(times[1])


@row(
    "describe-add",
    "`add` of a waiting item whose type has a description, p50",
    versus="the same without",
    goal=1.05,
    better=LOWER,
    unit="ms",
)
def add_described(lab: Lab) -> Iterator[tuple[float, float]]:
    with both(lab, process=quiet(), spawn="lazy", lookahead=0) as sites:
        askers = [Asker(site.ports["queue"]) for site in sites]
        add = "add", {"type": "thing", "args": ARGS}
        while True:
            yield in_turn(*askers, add, add)


@row(
    "describe-tell",
    "`tell_module` to a module whose type has a description, p50",
    versus="the same without",
    goal=1.05,
    better=LOWER,
    unit="ms",
)
def tell_described(lab: Lab) -> Iterator[tuple[float, float]]:
    with both(lab, process=quiet()) as sites:
        askers = [Asker(site.ports["queue"]) for site in sites]
        tells = [
            ("tell_module", {"uid": ask("queue")[0]["uid"], "cmd": "x", "args": {"to": 5}})
            for ask in askers
        ]
        while True:
            yield in_turn(*askers, *tells)
