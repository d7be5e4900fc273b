"""Modules on a cluster of Dask beside those of this machine, and how long each fault takes.

The cluster is on this machine: a scheduler, and two workers with addresses of their own. Prints
median, minimum and maximum in milliseconds for starts, and in seconds for faults.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from dask_cluster import DaskCluster, start_proxy
from support import Client, Site, child, free_ports, is_alive, wait_until

#: Seconds.
LEASE = 30
#: The address at which nodes find the door: behind a proxy that can be cut.
LINK = "127.0.0.9"
CROWD = 50


class Lab:
    """A pool, a cluster of two workers, and a proxy between the nodes and the pool."""

    def __init__(self, folder: Path, lease: float) -> None:
        self.cluster = DaskCluster(folder / "dask", free_ports(1)[0])
        self.workers = [self._worker(number) for number in (2, 3)]
        (door,) = free_ports(1)
        self.proxy = start_proxy(LINK, door)
        well = {"process": child("well"), "after_crash": "drop", "connect_timeout": 60}
        well["command_timeout"] = 60
        settings = {
            "cluster": {
                "scheduler": self.cluster.address,
                "lease": lease,
                "door_port": door,
                "door_addresses": [LINK],
            },
            "pool": {"modules": {"local": well, "cluster": {**well, "launcher": "dask"}}},
        }
        self.site = Site(folder / "site", services=("pool",), settings=settings)
        self.start_pool()

    def start_pool(self) -> None:
        self.pool = Client(self.site.start(), "pool")
        self.pool("rm", uids=[self.pool.add("cluster")])  # so that everything is connected

    def _worker(self, number: int) -> object:
        return self.cluster.start_worker(f"127.0.0.{number}", f"node{number}")

    def replace_workers(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.workers = [self._worker(number) for number in (2, 3)]

    def add(self) -> tuple[str, int]:
        uid = self.pool.add_settled("cluster")
        return uid, self.pool.parameters(uid)["pid"]

    def close(self) -> None:
        self.site.close()
        self.proxy.kill()
        self.proxy.wait()
        self.cluster.close()


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def measure_starts(lab: Lab, runs: int) -> None:
    """Print how long an `add` takes, one by one and in a crowd, in both places in turn."""
    times: dict[str, list[float]] = {}
    for _ in range(runs):
        for kind in ("local", "cluster"):
            uids: list[str] = []
            one = seconds(lambda k=kind, u=uids: u.append(lab.pool.add(k)))
            times.setdefault(f"{kind}: add", []).append(one * 1000)
            rm = seconds(lambda u=uids: lab.pool("rm", uids=u))
            times.setdefault(f"{kind}: rm", []).append(rm * 1000)
    for _ in range(max(1, runs // 3)):
        for kind in ("local", "cluster"):
            threads = [threading.Thread(target=lab.pool.add, args=(kind,)) for _ in range(CROWD)]

            def run(threads: list[threading.Thread] = threads) -> None:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()

            times.setdefault(f"{kind}: {CROWD} at once", []).append(seconds(run) * 1000)
            lab.pool("rm", uids=lab.pool.uids())
    for name, figures in times.items():
        report(name, figures, "ms")


#: What is done, and whether the service lives to say when it knows of the loss.
FAULTS = {
    "worker killed": lambda lab: [worker.kill() for worker in lab.workers],
    "scheduler killed": lambda lab: lab.cluster.scheduler.kill(),
    "link cut": lambda lab: os.kill(lab.proxy.pid, signal.SIGSTOP),
    "service killed": lambda lab: os.kill(lab.pool.service, signal.SIGKILL),
}


def measure_fault(lab: Lab, name: str, runs: int) -> None:
    """Print how long it takes until nothing is left, and until the service knows."""
    gone: list[float] = []
    known: list[float] = []
    for _ in range(runs):
        uid, pid = lab.add()
        begin = time.perf_counter()
        FAULTS[name](lab)
        wait_until(lambda pid=pid: not is_alive(pid), "it is gone", patience=90)
        gone.append(time.perf_counter() - begin)
        if name == "service killed":
            lab.site.processes.pop("pool").wait()
            lab.start_pool()
            continue
        wait_until(
            lambda uid=uid: uid not in lab.pool.uids(), "the service knows of it", patience=90
        )
        known.append(time.perf_counter() - begin)
        os.kill(lab.proxy.pid, signal.SIGCONT)
        if name == "scheduler killed":
            lab.cluster.restart_scheduler()
        if name in ("worker killed", "scheduler killed"):
            lab.replace_workers()
    report(f"{name}: nothing is left after", gone, "s")
    if known:
        report(f"{name}: the service knows after", known, "s")


def report(name: str, figures: list[float], unit: str) -> None:
    median = statistics.median(figures)
    low, high = min(figures), max(figures)
    places = 0 if unit == "ms" else 2
    print(f"{name}: {median:.{places}f} {unit} ({low:.{places}f} to {high:.{places}f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--lease", type=float, default=LEASE)
    parser.add_argument("--only", choices=["starts", *FAULTS], nargs="*")
    options = parser.parse_args()
    wanted = options.only or ["starts", *FAULTS]
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder), options.lease)
        try:
            for name in wanted:
                if name == "starts":
                    measure_starts(lab, options.runs)
                else:
                    measure_fault(lab, name, options.runs)
        finally:
            lab.close()


if __name__ == "__main__":
    main()
