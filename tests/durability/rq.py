"""The same for RQ with redis, both with their default settings: jobs that were accepted, and are
known no more after a SIGKILL.

It has a virtual environment of its own, and needs the program `redis-server`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import venv
from pathlib import Path

from support import free_ports, is_listening, wait_until

#: Enqueues jobs until redis is gone, and prints the id of each that was accepted.
CLIENT = """
import sys
from redis import Redis
from rq import Queue
queue = Queue(connection=Redis(port=int(sys.argv[1])))
try:
    while True:
        print(queue.enqueue("time.sleep", 0.001, result_ttl=-1).id, flush=True)
except Exception:
    pass
"""

#: Prints the ids, of those on its standard input, of which redis knows nothing.
ASK = """
import sys
from redis import Redis
from rq.job import Job
redis = Redis(port=int(sys.argv[1]))
for line in sys.stdin:
    if not Job.exists(line.strip(), connection=redis):
        print(line.strip())
"""


class Rq:
    """A redis server, one worker, and clients, each a process."""

    def __init__(self, folder: Path) -> None:
        self.server = shutil.which("redis-server")
        self._folder = folder
        (self._port,) = free_ports(1)
        self._python = folder / "venv" / "bin" / "python"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def install(self) -> None:
        """Install RQ."""
        venv.create(self._folder / "venv", with_pip=True)
        subprocess.run([self._python, "-m", "pip", "install", "-q", "rq"], check=True)

    def start(self) -> None:
        """Start what does not run."""
        if "redis" not in self._processes:
            argv = [str(self.server), "--port", str(self._port), "--dir", str(self._folder)]
            self._processes["redis"] = self._spawn(argv)
            wait_until(lambda: is_listening(self._port), "redis listens")
        if "worker" not in self._processes:
            url = f"redis://127.0.0.1:{self._port}"
            self._processes["worker"] = self._spawn(
                [str(self._python), "-m", "rq.cli", "worker", "-u", url]
            )

    def round(self, clients: int, source: random.Random) -> tuple[str, list[str]]:
        """Load it and kill it; returns who was killed, and the ids of accepted jobs."""
        crowd = [
            subprocess.Popen(
                [self._python, "-c", CLIENT, str(self._port)], stdout=subprocess.PIPE, text=True
            )
            for _ in range(clients)
        ]
        outputs: list[str] = []
        threads = [
            threading.Thread(target=lambda c=client: outputs.extend(c.communicate()[0].split()))
            for client in crowd
        ]
        for thread in threads:
            thread.start()
        time.sleep(1 + source.uniform(0.02, 0.5))  # the moment of the kill is what is random
        victim = source.choice(["redis", "worker", "both"])
        for name in ("redis", "worker") if victim == "both" else (victim,):
            self._kill(name)
        if victim == "worker":
            for client in crowd:
                client.terminate()
        for thread in threads:
            thread.join()
        return victim, outputs

    def missing(self, ids: list[str]) -> list[str]:
        """Those of these jobs that redis does not know."""
        asked = subprocess.run(
            [self._python, "-c", ASK, str(self._port)],
            input="\n".join(ids), capture_output=True, text=True, check=True,
        )  # fmt: skip
        return asked.stdout.split()

    def close(self) -> None:
        """End all of it."""
        for name in list(self._processes):
            self._kill(name)

    def _spawn(self, argv: list[str]) -> subprocess.Popen[bytes]:
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(
            argv,
            cwd=self._folder,
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
            start_new_session=True,
        )

    def _kill(self, name: str) -> None:
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)  # with the job that the worker is running
        process.wait()


def run(folder: Path, rounds: int, clients: int, source: random.Random) -> tuple[int, int]:
    """Kill RQ in as many rounds; returns how many jobs it accepted, and how many it has lost."""
    rq = Rq(folder)
    if rq.server is None:
        raise SystemExit("scripts/durability: --rq needs redis-server")
    rq.install()
    accepted, lost = [], set[str]()
    try:
        for number in range(rounds):
            rq.start()
            _, ids = rq.round(clients, source)
            accepted += ids
            rq.start()
            lost.update(rq.missing(ids))
            if (number + 1) % 10 == 0:
                print(
                    f"rq: {number + 1} rounds, {len(accepted)} accepted, {len(lost)} lost",
                    file=sys.stderr,
                )
    finally:
        rq.close()
    return len(accepted), len(lost)
