"""What open WebSockets to a module cost: memory of gateway and service for each, and CPU time."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import psutil
from support import Site

from bench.lab import allow_files
from bench.load import median_ms
from bench.proxying import WEB, add_web, echo, open_socket

#: Seconds for which the CPU time of quiet WebSockets is measured.
QUIET = 10.0


def processes_of(site: Site) -> dict[str, psutil.Process]:
    """Gateway and service. The service is the guardian's child."""
    guardian = psutil.Process(site.processes["pool"].pid)
    (service,) = guardian.children()
    return {"gateway": psutil.Process(site.processes["wsgi"].pid), "service": service}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench_sockets", description=__doc__)
    parser.add_argument("--sockets", type=int, default=10_000)
    count = parser.parse_args().sockets
    allow_files()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"max_connections": count + 100, "pool": {"modules": {"web": WEB}}}
        site = Site(Path(folder), ("wsgi", "pool"), settings).start()
        try:
            processes = processes_of(site)
            through, _ = add_web(site)
            first = open_socket(through)
            alone = median_ms(300, lambda: echo(first))
            before = {name: each.memory_full_info().uss for name, each in processes.items()}
            begin = time.perf_counter()
            opened = [open_socket(through) for _ in range(count)]
            seconds = time.perf_counter() - begin
            print(f"{count} WebSockets, opened in {seconds:.1f} s")
            for name, each in processes.items():
                used = each.memory_full_info().uss - before[name]
                each.cpu_percent()
                time.sleep(QUIET)
                quiet = each.cpu_percent()
                print(f"{name}: {used / count / 1024:.1f} KiB each, {quiet:.1f} % CPU when quiet")
            among = median_ms(300, lambda: echo(first))
            print(f"round trip: {among:.3f} ms among them, {alone:.3f} ms alone")
            for each in opened:
                each.close()
            first.close()
        finally:
            site.close()


if __name__ == "__main__":
    main()
