"""Latency of healthy work with and without bad neighbours, in one run, each round in turn.

The neighbours: a module that hangs in a command, deaf ones that are being ended all the time, and
one that floods updates. Prints median and 99th percentile in milliseconds and their ratios.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support import CHILDREN, Site, child

PATIENCE = {"natural_death_timeout": 1, "sigterm_timeout": 1}


class Client:
    """One kept connection to a service."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, command: str, /, **args: Any) -> Any:
        body = json.dumps({"cmd": command, "args": args})
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())
        assert answer["success"], answer
        return answer["result"]


def measure(port: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of work, done in turn."""
    client = Client(port)
    uid = client.ask("add", type="quick")["uid"]
    times: dict[str, list[float]] = {"tell_module": [], "pool": [], "add": [], "rm": []}

    def timed(kind: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = work()
        times[kind].append((time.perf_counter() - begin) * 1000)
        return result

    for _ in range(rounds):
        for _ in range(5):
            timed("tell_module", lambda: client.ask("tell_module", uid=uid, cmd="x"))
            timed("pool", lambda: client.ask("pool", parameters=True))
        other = timed("add", lambda: client.ask("add", type="quick"))["uid"]
        timed("rm", lambda other=other: client.ask("rm", uids=[other]))
    client.ask("rm", uids=[uid])
    return times


class Neighbours:
    """The bad ones, for as long as the `with` lasts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()

    def __enter__(self) -> None:
        client = Client(self._port)
        self._flood = client.ask("add", type="flood")["uid"]
        self._hung = client.ask("add", type="well")["uid"]
        self._threads = [
            threading.Thread(target=self._hang),
            threading.Thread(target=self._end_deaf_ones),
        ]
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        Client(self._port).ask("rm", uids=[self._flood, self._hung])
        for thread in self._threads:
            thread.join()

    def _hang(self) -> None:
        try:
            Client(self._port).ask("tell_module", uid=self._hung, cmd="hang")
        except AssertionError:
            pass  # it is removed before it answers

    def _end_deaf_ones(self) -> None:
        client = Client(self._port)
        while not self._over.is_set():
            client.ask("rm", uids=[client.ask("add", type="deaf")["uid"]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="of each kind, in each repeat")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    kinds = {
        "quick": {"process": ["bash", str(CHILDREN / "quick.sh")]},
        "well": {"process": child("well"), "command_timeout": 1000, **PATIENCE},
        "deaf": {"process": child("stubborn", "ignores-sigterm"), **PATIENCE},
        "flood": {"process": child("flood"), **PATIENCE},
    }
    alone: dict[str, list[float]] = {}
    beside: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), ("pool",), {"pool": {"modules": kinds}}).start()
        try:
            port = site.ports["pool"]
            for _ in range(arguments.repeats):
                for kind, times in measure(port, arguments.rounds).items():
                    alone.setdefault(kind, []).extend(times)
                with Neighbours(port):
                    for kind, times in measure(port, arguments.rounds).items():
                        beside.setdefault(kind, []).extend(times)
        finally:
            site.close()
    print(f"{'ms':12} {'alone p50':>10} {'p99':>8} {'beside p50':>11} {'p99':>8} {'ratio p50':>10}")
    for kind, times in alone.items():
        a50, a99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        b50 = statistics.median(beside[kind])
        b99 = statistics.quantiles(beside[kind], n=100)[98]
        print(f"{kind:12} {a50:10.2f} {a99:8.2f} {b50:11.2f} {b99:8.2f} {b50 / a50:10.1f}")


if __name__ == "__main__":
    main()
