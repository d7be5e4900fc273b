"""Rows: updates from a child that floods the service and reads no answers."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import msgspec

from bench.lab import Lab, Site, child, cpu_ms, own_processes, process_of
from bench.row import HIGHER, row

#: 1.2.4 stalls after some 297,000 updates from one child.
OLD_COUNT = 2_000
COUNT = 300_000


def take_updates(site: Site, count: int) -> tuple[float, float]:
    """Let a new child send updates until the service shows the last one.

    Return the seconds that it took, and the seconds of the service's CPU time.
    """
    processes = own_processes(site)
    uid = site.ask("pool", "add", type="spray")["uid"]
    begin, before = time.perf_counter(), cpu_ms(processes)
    site.ask("pool", "tell_module", uid=uid, cmd="spray", args={"count": count, "number": 1})
    while site.ask("pool", "ask_module", uid=uid, parameters=["count"]) != {"count": -1}:
        time.sleep(0.01)
    seconds, cpu = time.perf_counter() - begin, (cpu_ms(processes) - before) / 1000
    site.ask("pool", "rm", uids=[uid])
    return seconds, cpu


def lines_decoded(count: int) -> float:
    """Lines from the same child that a plain loop reads and decodes per second of its CPU time."""
    tell = {"cmd": "do_spray", "args": {"count": count, "number": 1}}
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [str(each.getsockname()[1]) for each in listeners]
    with process_of([*child("spray"), "127.0.0.1", *ports]):
        commands, updates = (each.accept()[0] for each in listeners)
        begin = time.process_time()
        commands.sendall(json.dumps(tell).encode() + b"\n")
        taken, tail = 0, b""
        while taken <= count:
            *lines, tail = (tail + updates.recv(1 << 16)).split(b"\n")
            for line in lines:
                msgspec.json.decode(line)
            taken += len(lines)
        rate = count / (time.process_time() - begin)
    for each in (*listeners, commands, updates):
        each.close()
    return rate


@row(
    "updates",
    "updates received from a child that reads no answers",
    versus="1.2.4",
    goal=300,
    better=HIGHER,
    unit="/s",
)
def updates_versus_old(lab: Lab) -> Iterator[tuple[float, float]]:
    spray = child("spray")
    with lab.old("pool", spray=spray) as old, lab.ours("pool", spray=spray) as ours:
        while True:
            seconds, _ = take_updates(ours, COUNT)
            old_seconds, _ = take_updates(old, OLD_COUNT)
            yield COUNT / seconds, OLD_COUNT / old_seconds


@row(
    "decode",
    "updates received from such a child, per second of CPU time",
    versus="a plain loop that reads and decodes",
    goal=0.5,
    better=HIGHER,
    unit="/s",
    quick=True,
)
def updates_versus_bare_loop(lab: Lab) -> Iterator[tuple[float, float]]:
    with lab.ours("pool", spray=child("spray")) as site:
        while True:
            _, cpu = take_updates(site, COUNT)
            yield COUNT / cpu, lines_decoded(COUNT)
