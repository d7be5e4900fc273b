"""Kill a queue at random moments under load, and compare what it had answered with what it
still knows: 0 lost, 0 doubled, 0 in two states.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from durability import rq
from durability.clients import Clients, add
from durability.findings import Findings, compare
from durability.ledger import Ledger
from durability.target import Target


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/durability", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="kills (default: 300)")
    parser.add_argument("--clients", type=int, default=8, help="clients at a time (default: 8)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument(
        "--sync", choices=["full", "normal"], default="full", help="`state_sync` (default: full)"
    )
    parser.add_argument(
        "--rq", action="store_true", help="do the same with RQ and redis, and compare"
    )
    return parser.parse_args()


def one_round(
    target: Target, ledger: Ledger, clients: int, source: random.Random
) -> tuple[str, Findings, list[str]]:
    """Load it, kill it, start it again and compare."""
    crowd = Clients(target, ledger, clients, source)
    crowd.start()
    time.sleep(source.uniform(0.02, 0.5))  # the moment of the kill is what is random
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


def main() -> int:
    chosen = arguments()
    source = random.Random(chosen.seed)
    ledger, victims = Ledger(), Counter[str]()
    faults: list[str] = []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        target = Target(Path(folder), state_sync=chosen.sync)
        target.start()
        try:
            for number in range(1, chosen.rounds + 1):
                victim, findings, surprises = one_round(target, ledger, chosen.clients, source)
                victims[victim] += 1
                for fault in [*findings.all, *surprises]:
                    print(f"round {number} (killed {victim}): {fault}")
                    faults.append(fault)
                if number % 20 == 0:
                    print(
                        f"durability: {number} rounds, {ledger.count()} commands answered",
                        file=sys.stderr,
                    )
            left = compare(ledger, *target.known())
            faults += left.all
        finally:
            target.stop()
    seconds = time.monotonic() - begun
    killed = ", ".join(f"{who} {count} times" for who, count in sorted(victims.items()))
    print(f"seed {chosen.seed}; killed: {killed}; {seconds:.0f} s")
    print(f"{ledger.count()} commands answered, {len(faults)} faults")
    if chosen.rq:
        with tempfile.TemporaryDirectory() as folder:
            accepted, lost = rq.run(Path(folder), chosen.rounds, chosen.clients, source)
        print(f"RQ: {accepted} jobs accepted, {lost} of them lost")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
