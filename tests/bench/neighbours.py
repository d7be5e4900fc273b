"""Latency of commands with and without misbehaving modules in the same pool, measured in turn.

One of them hangs in a command, one floods the service with updates, and others that ignore `rm` and
SIGTERM are added and removed all the time. Prints median and 99th percentile in milliseconds and
their ratios.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import CHILDREN, Site, child

from bench.lab import Asker
from bench.latency import Comparison, add

PATIENCE = {"natural_death_timeout": 1, "sigterm_timeout": 1}


def measure(port: int, rounds: int) -> dict[str, list[float]]:
    """Latencies of several commands, in turn, in milliseconds."""
    ask = Asker(port)
    uid = ask("add", type="quick")["uid"]
    times: dict[str, list[float]] = {"tell_module": [], "pool": [], "add": [], "rm": []}

    def timed(kind: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = work()
        times[kind].append((time.perf_counter() - begin) * 1000)
        return result

    for _ in range(rounds):
        for _ in range(5):
            timed("tell_module", lambda: ask("tell_module", uid=uid, cmd="x"))
            timed("pool", lambda: ask("pool", parameters=True))
        other = timed("add", lambda: ask("add", type="quick"))["uid"]
        timed("rm", lambda other=other: ask("rm", uids=[other]))
    ask("rm", uids=[uid])
    return times


class Neighbours:
    """The misbehaving modules, as a context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()

    def __enter__(self) -> None:
        ask = Asker(self._port)
        self._flood = ask("add", type="flood")["uid"]
        self._hung = ask("add", type="well")["uid"]
        self._threads = [
            threading.Thread(target=self._hang),
            threading.Thread(target=self._end_deaf_ones),
        ]
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        Asker(self._port)("rm", uids=[self._flood, self._hung])
        for thread in self._threads:
            thread.join()

    def _hang(self) -> None:
        try:
            Asker(self._port)("tell_module", uid=self._hung, cmd="hang")
        except AssertionError:
            pass  # the module is removed before it answers

    def _end_deaf_ones(self) -> None:
        ask = Asker(self._port)
        while not self._over.is_set():
            ask("rm", uids=[ask("add", type="deaf")["uid"]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="rounds of commands per repeat")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    kinds = {
        "quick": {"process": ["bash", str(CHILDREN / "quick.sh")]},
        "well": {"process": child("well"), "command_timeout": 1000, **PATIENCE},
        "deaf": {"process": child("stubborn", "ignores-sigterm"), **PATIENCE},
        "flood": {"process": child("flood"), **PATIENCE},
    }
    found = Comparison()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), ("pool",), {"pool": {"modules": kinds}}).start()
        try:
            port = site.ports["pool"]
            for _ in range(arguments.repeats):
                add(found.alone, measure(port, arguments.rounds))
                with Neighbours(port):
                    add(found.loaded, measure(port, arguments.rounds))
        finally:
            site.close()
    print(found.show())


if __name__ == "__main__":
    main()
