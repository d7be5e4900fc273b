"""The same for RQ with redis, both with their default settings: jobs that were accepted, and are
known no more after a SIGKILL; and those that are there twice, since a client that got no answer has
sent them again.

It has a virtual environment of its own, and needs the program `redis-server`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import free_ports, is_listening, wait_until

#: Enqueues jobs until redis is gone. Prints the id of each that was accepted, and the name of the
#: one that got no answer, after a question mark. With a third argument, enqueues that one only.
CLIENT = """
import sys
from itertools import count
from redis import Redis
from rq import Queue
port, name, *again = sys.argv[1:]
queue = Queue(connection=Redis(port=int(port)))
for number in again or count():
    job = f"{name} {number}"
    try:
        print(queue.enqueue("time.sleep", 0.001, result_ttl=-1, description=job).id, flush=True)
    except Exception:
        print("?", number, flush=True)
        break
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

#: Prints how many jobs are there more than once.
COUNT = """
import sys
from collections import Counter
from redis import Redis
redis = Redis(port=int(sys.argv[1]))
names = Counter(
    redis.hget(key, "description")
    for key in redis.scan_iter("rq:job:*", 1000)
    if redis.type(key) == b"hash"
)
print(sum(count > 1 for count in names.values()))
"""


class Rq:
    """A redis server, one worker, and clients, each a process."""

    def __init__(self, folder: Path) -> None:
        self.server = shutil.which("redis-server")
        self._folder = folder
        (self._port,) = free_ports(1)
        self._python = folder / "venv" / "bin" / "python"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._rounds = 0

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

    def round(self, clients: int, source: random.Random) -> list[str]:
        """Load it, kill it and start it again. What got no answer is sent again.

        Returns the ids of accepted jobs.
        """
        self._rounds += 1
        names = [f"{self._rounds} {number}" for number in range(clients)]
        crowd = [self._client(name) for name in names]
        firsts = [client.stdout.readline() for client in crowd if client.stdout]
        time.sleep(source.uniform(0.02, 0.5))  # the moment of the kill is what is random
        victim = source.choice(["redis", "worker", "both"])
        for name in ("redis", "worker") if victim == "both" else (victim,):
            self._kill(name)
        if victim == "worker":
            for client in crowd:
                client.terminate()
        with ThreadPoolExecutor(clients) as pool:
            rest = pool.map(lambda client: client.communicate()[0], crowd)
        printed = [(first + more).splitlines() for first, more in zip(firsts, rest)]
        self.start()
        ids = [line for lines in printed for line in lines if not line.startswith("?")]
        for name, lines in zip(names, printed):
            if lines and lines[-1].startswith("?"):
                again = self._client(name, lines[-1].split()[1])
                ids += again.communicate()[0].split()
        return ids

    def _client(self, *arguments: str) -> subprocess.Popen[str]:
        argv = [self._python, "-c", CLIENT, str(self._port), *arguments]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def doubled(self) -> int:
        """How many jobs are there more than once."""
        argv = [self._python, "-c", COUNT, str(self._port)]
        return int(subprocess.run(argv, capture_output=True, check=True).stdout)

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


def run(folder: Path, rounds: int, clients: int, source: random.Random) -> tuple[int, int, int]:
    """Kill RQ in as many rounds. Returns how many jobs it accepted, has lost, and has twice."""
    rq = Rq(folder)
    if rq.server is None:
        raise SystemExit("scripts/durability: --rq needs redis-server")
    rq.install()
    accepted, lost = [], set[str]()
    try:
        rq.start()
        for number in range(rounds):
            ids = rq.round(clients, source)
            accepted += ids
            lost.update(rq.missing(ids))
            if (number + 1) % 10 == 0:
                print(
                    f"rq: {number + 1} rounds, {len(accepted)} accepted, {len(lost)} lost",
                    file=sys.stderr,
                )
        doubled = rq.doubled()
    finally:
        rq.close()
    return len(accepted), len(lost), doubled
