"""Rows: starting programs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from support import ROOT, free_ports

from bench.lab import Lab
from bench.row import LOWER, row

COUNT = 5


def python_ms(code: str) -> float:
    """Milliseconds to run this code in a new interpreter, in the folder ROOT."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    return (time.perf_counter() - begin) * 1000


def fastest(*measures: Callable[[], float]) -> tuple[float, ...]:
    """The fastest result of each, measured in turn: other load on the machine affects it least."""
    rounds = [[measure() for measure in measures] for _ in range(COUNT)]
    return tuple(min(times) for times in zip(*rounds))


@row(
    "listen",
    "`python -m shmooze.wsgi` until it listens",
    versus="an interpreter that imports gevent and bottle",
    goal=1.3,
    better=LOWER,
    unit="ms",
    quick=True,
)
def listening_versus_imports(lab: Lab) -> Iterator[tuple[float, float]]:
    file = lab.folder / "listen.json"

    def until_listening() -> float:
        (port,) = free_ports(1)
        file.write_text(json.dumps({"ports": {"wsgi": port}}))
        return listening_ms(port, file)

    while True:
        ours, theirs = fastest(until_listening, lambda: python_ms("import gevent, bottle"))
        yield ours, theirs


def listening_ms(port: int, settings: Path) -> float:
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "shmooze.wsgi"],
        env={**os.environ, "SHMOOZE_SETTINGS": str(settings)},
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return (time.perf_counter() - begin) * 1000
            assert process.poll() is None, "the gateway did not start"
            time.sleep(0.001)
    finally:
        process.terminate()
        process.wait()


@row(
    "import",
    "an interpreter that imports `shmooze.modules.pymodule`",
    versus="an interpreter that imports nothing",
    goal=10,
    better=LOWER,
    unit="ms",
    quick=True,
    difference=True,
)
def import_versus_bare_start(lab: Lab) -> Iterator[tuple[float, float]]:
    while True:
        ours, theirs = fastest(
            lambda: python_ms("import shmooze.modules.pymodule"), lambda: python_ms("pass")
        )
        yield ours, theirs
