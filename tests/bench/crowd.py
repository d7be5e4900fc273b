"""Latency of a client with and without a crowd of other clients at the gateway, measured in turn.

Half of the crowd sends nothing; the other half sends a header one byte at a time and reconnects
when its connection is closed. Prints median and 99th percentile in milliseconds and their ratios.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import socket
import tempfile
import threading
import time
from pathlib import Path

from support import CHILDREN, Site

from bench.lab import allow_files
from bench.latency import Comparison, add

PACKET = '{"cmd": "pool"}'


def measure(port: int, requests: int) -> dict[str, list[float]]:
    """Latencies of commands on a keep-alive connection and on new ones, in milliseconds."""
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times: dict[str, list[float]] = {"kept": [], "new": []}
    for number in range(requests):
        kind = "kept" if number % 2 else "new"
        begin = time.perf_counter()
        client = kept if kind == "kept" else http.client.HTTPConnection("127.0.0.1", port)
        client.request("POST", "/pool", PACKET, {"Content-Type": "application/json"})
        assert client.getresponse().read().startswith(b'{"success":true')
        if kind == "new":
            client.close()
        times[kind].append((time.perf_counter() - begin) * 1000)
    kept.close()
    return times


class Crowd:
    """Many idle and slow clients, as a context manager."""

    def __init__(self, port: int, size: int) -> None:
        self._port, self._size = port, size
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._drip)
        self._all: list[socket.socket] = []

    def __enter__(self) -> None:
        self._all = [self._new() for _ in range(self._size)]
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for each in self._all:
            each.close()

    def _new(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=60)

    def _drip(self) -> None:
        header = itertools.cycle(b"POST /pool HTTP/1.1\r\nHost: localhost\r\nX: yyyyyyyyyyyyyyyy")
        slow = range(0, self._size, 2)
        for number in itertools.cycle(slow):
            if self._over.wait(2 / len(slow)):  # each sends a byte every two seconds
                return
            try:
                self._all[number].send(bytes([next(header)]))
            except OSError:
                self._all[number].close()
                self._all[number] = self._new()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=1000, help="per repeat")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    allow_files()
    quick = {"process": ["bash", str(CHILDREN / "quick.sh")]}
    found = Comparison()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"pool": {"modules": {"quick": quick}}}
        site = Site(Path(folder), ("wsgi", "pool"), settings).start()
        try:
            port = site.ports["wsgi"]
            for _ in range(arguments.repeats):
                add(found.alone, measure(port, arguments.requests))
                with Crowd(port, arguments.clients):
                    add(found.loaded, measure(port, arguments.requests))
        finally:
            site.close()
    print(found.show())


if __name__ == "__main__":
    main()
