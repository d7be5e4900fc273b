"""A cluster of Dask on this machine, for tests: a scheduler and workers, each with its address."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import PATIENCE, ROOT, is_listening, wait_until

DASK = str(Path(sys.executable).parent / "dask")


class DaskCluster:
    """A scheduler on 127.0.0.1 and its workers on 127.0.0.2 and further."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._options, self.port = folder, options, port
        self.address = f"{'tls' if options else 'tcp'}://127.0.0.1:{port}"
        self.scheduler = self._start_scheduler()
        self._workers: list[subprocess.Popen[bytes]] = []

    def _start_scheduler(self) -> subprocess.Popen[bytes]:
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        process = self._start("scheduler", *place, *self._options)
        wait_until(lambda: is_listening(self.port), "the scheduler listens")
        return process

    def restart_scheduler(self) -> None:
        self.scheduler.kill()
        self.scheduler.wait()
        self.scheduler = self._start_scheduler()

    def start_worker(
        self, host: str, name: str, *options: str, address: str | None = None, nanny: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a worker with one thread, on which a single task of Dask can run at a time."""
        options = (*options, *(() if nanny else ("--no-nanny",)))
        options = (*options, "--nthreads", "1", "--no-dashboard", *self._options)
        place = ["--host", host, "--name", name]
        process = self._start("worker", address or self.address, *place, *options)
        self._workers.append(process)
        return process

    def workers_so_far(self) -> int:
        """How many workers the scheduler has taken."""
        log = self._folder / "worker.log"
        return log.read_text().count("Registered to") if log.exists() else 0

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__WORKER__DAEMON": "0"}
        with (self._folder / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [DASK, *arguments], cwd=self._folder, env=environ, stdout=log, stderr=log
            )

    def close(self) -> None:
        for process in [*self._workers, self.scheduler]:
            if process.poll() is None:
                process.kill()
        for process in [*self._workers, self.scheduler]:
            process.wait(PATIENCE)


#: Forwards connections from a port of one address to the same of 127.0.0.1.
PROXY = """
import socket, sys, threading
host, port = sys.argv[1], int(sys.argv[2])
def forward(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close(), target.close()
def start(*arguments):
    threading.Thread(target=forward, args=arguments, daemon=True).start()
listener = socket.create_server((host, port))
while True:
    here, _ = listener.accept()
    try:
        there = socket.create_connection(("127.0.0.1", port))
    except OSError:
        here.close()
        continue
    start(here, there), start(there, here)
"""


def start_proxy(host: str, port: int) -> subprocess.Popen[bytes]:
    """Forward connections to a port of 127.0.0.1 from another address, until it is closed.

    While it is stopped by SIGSTOP, the link is as a cable that is pulled: nothing gets through, and
    nothing is closed.
    """
    return subprocess.Popen([sys.executable, "-S", "-c", PROXY, host, str(port)])


def children_of(pid: int) -> list[int]:
    """The processes that a process has started itself, of all its threads."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in file.read_text().split()]
        except OSError:  # a thread that has just ended
            continue
    return found
