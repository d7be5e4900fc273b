"""Rows: web servers of modules that take turns."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from support import ROOT, free_ports, http

from bench.lab import Lab
from bench.lives import ms
from bench.row import LOWER, row

SERVER = [sys.executable, "-S", str(ROOT / "examples" / "models" / "model.py")]
NAMES = ("one", "other")
#: Swaps on each side for one measurement.
COUNT = 10


def body_of(name: str) -> dict[str, Any]:
    return {"model": name, "messages": [{"role": "user", "content": "yes"}]}


class Bare:
    """The same programs, started and ended by hand."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, name: str) -> None:
        """End the one that runs, start another, wait until it is ready, and ask it."""
        self.end()
        (port,) = free_ports(1)
        argv = [*SERVER, "--port", str(port), "--name", name]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"
        while not self._is_ready(f"{url}/health"):
            time.sleep(0.005)
        assert http(f"{url}/v1/chat/completions", body_of(name)).json["model"] == name

    def _is_ready(self, url: str) -> bool:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return bool(json.load(answer)["status"] == "ok")
        return False

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


@row(
    "swap",
    "a request through the gateway for which one program is ended and another one started",
    versus="ending, starting, waiting until it is ready, asking it, all by hand",
    goal=200,
    better=LOWER,
    unit="ms",
    difference=True,
)
def swapped(lab: Lab) -> Iterator[tuple[float, float]]:
    types = {
        name: {
            "adapter": "command",
            "process": [*SERVER, "--port", "{port}", "--name", name],
            "http": {"ready": "/health"},
        }
        for name in NAMES
    }
    section = {"slots": 1, "route_by": "json:model", "modules": types}
    bare = Bare()
    with lab.running("wsgi", "pool", settings={"pool": section}) as site:
        try:
            while True:
                times = [0.0, 0.0]
                for _ in range(COUNT):
                    for name in NAMES:
                        begin = time.perf_counter()
                        url = f"{site.url}pool/v1/chat/completions"
                        assert http(url, body_of(name)).json["model"] == name
                        times[0] += ms(begin)
                        begin = time.perf_counter()
                        bare.ask(name)
                        times[1] += ms(begin)
                yield times[0] / COUNT / len(NAMES), times[1] / COUNT / len(NAMES)
        finally:
            bare.end()
