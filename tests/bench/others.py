"""Programs that others have made for the same work, in a virtual environment of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from support import PATIENCE, ROOT, free_ports, is_listening, wait_until

from bench.lab import CACHE, CHILDREN
from bench.row import Skip


@cache
def folder() -> Path:
    """The folder of their programs, made on first use from the extra `bench` of setup.py."""
    venv = CACHE / "others"
    made = subprocess.run(
        [str(ROOT / "scripts" / "venv"), "bench", str(venv)], capture_output=True, text=True
    )
    if made.returncode:
        sys.stderr.write(made.stderr)
        raise Skip("the extra `bench` cannot be installed")
    return venv / "bin"


def environ(**more: str) -> dict[str, str]:
    """The environment of their programs, which also find those in `children`."""
    paths = os.pathsep.join(map(str, (ROOT / "tests", CHILDREN)))
    return {**os.environ, "PYTHONPATH": paths, **more}


@contextmanager
def running(argv: list[str], cwd: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a session of its own, and end it with all of that at the end."""
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(
        argv,
        cwd=cwd,
        env=environ(**variables),
        stdin=nowhere,
        stdout=nowhere,
        stderr=nowhere,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def redis(cwd: Path) -> Iterator[str]:
    """Run redis with its default settings; its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise Skip("no redis-server")
    (port,) = free_ports(1)
    with running([program, "--bind", "127.0.0.1", "--port", str(port)], cwd):
        wait_until(lambda: is_listening(port), "redis listens")
        yield f"redis://127.0.0.1:{port}"


class Client:
    """A client in Python of one of them, asked for figures line by line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __call__(self, *words: Any) -> Any:
        """The figure that it prints as JSON when it is asked for this."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def client(name: str, *arguments: str, **variables: str) -> Iterator[Client]:
    """Run the program of this name in `children`."""
    process = subprocess.Popen(
        [str(folder() / "python"), str(CHILDREN / f"{name}.py"), *arguments],
        env=environ(**variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield Client(process)
    finally:
        process.kill()
        process.communicate()
