"""Kill a service at random moments under load, and compare what it had answered with what it
still knows: 0 lost, 0 doubled, 0 in two states.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from durability import cutting, rq
from durability.jobs.workload import Jobs
from durability.moving import Moving
from durability.rounds import kill_in_rounds
from durability.troubles import FullDisk, LockedFile, Trouble, become_able_to_mount, mount_small


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/durability", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="kills (default: 300)")
    parser.add_argument("--clients", type=int, default=8, help="clients at a time (default: 8)")
    parser.add_argument(
        "--jobs",
        action="store_true",
        help="a pool with slots, jobs and schedules instead of a queue",
    )
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument(
        "--sync", choices=["full", "normal"], default="full", help="`state_sync` (default: full)"
    )
    trouble = parser.add_mutually_exclusive_group()
    trouble.add_argument(
        "--full", action="store_true", help="meanwhile, the disk is full again and again"
    )
    trouble.add_argument(
        "--busy", action="store_true", help="meanwhile, another program locks the file"
    )
    trouble.add_argument(
        "--cut", action="store_true", help="instead, cut the file short after each kill"
    )
    parser.add_argument(
        "--rq", action="store_true", help="do the same with RQ and redis, and compare"
    )
    return parser.parse_args()


def kill(chosen: argparse.Namespace, folder: Path, source: random.Random) -> list[str]:
    kind = FullDisk if chosen.full else LockedFile if chosen.busy else Trouble
    state_folder = folder / "state"
    if chosen.full:
        mount_small(state_folder)
    else:
        state_folder.mkdir()
    trouble = kind(state_folder, source)
    return kill_in_rounds(
        (Jobs if chosen.jobs else Moving)(folder),
        folder,
        source,
        chosen.rounds,
        chosen.clients,
        trouble,
        state_sync=chosen.sync,
    )


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ending what was started, too
    chosen = arguments()
    if chosen.full:
        become_able_to_mount()
    source = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        print(f"seed {chosen.seed}")
        if chosen.cut:
            faults = cutting.run(Path(name), chosen.rounds, chosen.clients, source)
            print(f"{len(faults)} faults")
        else:
            faults = kill(chosen, Path(name), source)
        if chosen.full:
            subprocess.run(["umount", str(Path(name) / "state")], check=True)
    if chosen.rq:
        with tempfile.TemporaryDirectory() as name:
            accepted, lost, doubled = rq.run(Path(name), chosen.rounds, chosen.clients, source)
        print(f"RQ: {accepted} jobs accepted, {lost} of them lost, {doubled} there twice")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
