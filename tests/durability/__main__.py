"""Kill a queue at random moments under load, and compare what it had answered with what it
still knows: 0 lost, 0 doubled, 0 in two states.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from durability import cutting, rq
from durability.clients import Clients, add
from durability.findings import Findings, compare
from durability.ledger import Ledger
from durability.target import Target
from durability.troubles import FullDisk, LockedFile, Trouble, become_able_to_mount, mount_small


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/durability", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="kills (default: 300)")
    parser.add_argument("--clients", type=int, default=8, help="clients at a time (default: 8)")
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


def one_round(
    target: Target, ledger: Ledger, clients: int, source: random.Random, trouble: Trouble
) -> tuple[str, Findings, list[str]]:
    """Load it, kill it, start it again and compare."""
    crowd = Clients(target, ledger, clients, source, trouble.refusal)
    with trouble.going_on():
        crowd.start()
        time.sleep(trouble.seconds_of_load())  # the moment of the kill is what is random
        victim = target.kill(source)
        crowd.join()
    target.start()
    roster, ended = target.known()
    findings = compare(ledger, roster, ended)
    ledger.take_front([item["uid"] for item in roster])
    connection = target.connect()
    for item in ledger.unanswered:
        add(connection, item, is_short=False)
    return victim, findings, crowd.surprises


def kill_in_rounds(chosen: argparse.Namespace, folder: Path, source: random.Random) -> list[str]:
    """Kill a queue in all rounds. Returns the faults."""
    kind = FullDisk if chosen.full else LockedFile if chosen.busy else Trouble
    state_folder = folder / "state"
    if chosen.full:
        mount_small(state_folder)
    else:
        state_folder.mkdir()
    trouble = kind(state_folder, source)
    ledger, victims = Ledger(), Counter[str]()
    faults: list[str] = []
    begun = time.monotonic()
    target = Target(folder, state_folder, state_sync=chosen.sync)
    target.start()
    try:
        for number in range(1, chosen.rounds + 1):
            victim, findings, surprises = one_round(target, ledger, chosen.clients, source, trouble)
            victims[victim] += 1
            for fault in [*findings.all, *surprises]:
                print(f"round {number} (killed {victim}): {fault}")
                faults.append(fault)
            if number % 20 == 0:
                print(
                    f"durability: {number} rounds, {ledger.count()} commands answered",
                    file=sys.stderr,
                )
        faults += compare(ledger, *target.known()).all
    finally:
        target.stop()
    seconds = time.monotonic() - begun
    killed = ", ".join(f"{who} {count} times" for who, count in sorted(victims.items()))
    print(f"seed {chosen.seed}; killed: {killed}; {seconds:.0f} s")
    if trouble.refusal:
        print(f"{trouble.refusal}: {trouble.times} times, {ledger.refused} commands refused")
    print(f"{ledger.count()} commands answered, {len(faults)} faults")
    return faults


def main() -> int:
    chosen = arguments()
    if chosen.full:
        become_able_to_mount()
    source = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        if chosen.cut:
            faults = cutting.run(Path(name), chosen.rounds, chosen.clients, source)
            print(f"seed {chosen.seed}; {len(faults)} faults")
        else:
            faults = kill_in_rounds(chosen, Path(name), source)
        if chosen.full:
            subprocess.run(["umount", str(Path(name) / "state")], check=True)
    if chosen.rq:
        with tempfile.TemporaryDirectory() as name:
            accepted, lost, doubled = rq.run(Path(name), chosen.rounds, chosen.clients, source)
        print(f"RQ: {accepted} jobs accepted, {lost} of them lost, {doubled} there twice")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
