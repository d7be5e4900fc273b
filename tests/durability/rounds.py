"""Rounds: a service is loaded, killed, started again, and asked what it knows."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from durability.crowd import Crowd
from durability.target import Target
from durability.troubles import Trouble
from durability.workload import Workload


def one_round(
    target: Target, workload: Workload, clients: int, source: random.Random, trouble: Trouble
) -> tuple[str, list[str]]:
    """Load it, kill it, start it again and compare. Returns who was killed, and the faults."""
    crowd = Crowd(target, workload.work, clients, source, trouble.refusal)
    with trouble.going_on():
        crowd.start()
        time.sleep(trouble.seconds_of_load())  # the moment of the kill is what is random
        victim = target.kill(source)
        crowd.join()
    target.start()
    faults = workload.compare(target)
    with closing(target.connect()) as connection:
        workload.ask_again(connection)
    return victim, [*faults, *crowd.surprises]


def kill_in_rounds(
    workload: Workload,
    folder: Path,
    source: random.Random,
    rounds: int,
    clients: int,
    trouble: Trouble,
    **settings: Any,
) -> list[str]:
    """Kill a service in all rounds. Returns the faults."""
    victims = Counter[str]()
    faults: list[str] = []
    begun = time.monotonic()
    target = Target(folder, trouble.folder, workload.service, workload.section, **settings)
    target.start()
    try:
        for number in range(1, rounds + 1):
            victim, found = one_round(target, workload, clients, source, trouble)
            victims[victim] += 1
            for fault in found:
                print(f"round {number} (killed {victim}): {fault}")
                faults.append(fault)
            if number % 20 == 0:
                print(
                    f"durability: {number} rounds, {workload.answered()} commands answered",
                    file=sys.stderr,
                )
        faults += (last := workload.finish(target))
        print("".join(f"at the end: {fault}\n" for fault in last), end="")
    finally:
        target.stop()
    seconds = time.monotonic() - begun
    killed = ", ".join(f"{who} {count} times" for who, count in sorted(victims.items()))
    print(f"killed: {killed}; {seconds:.0f} s")
    if trouble.refusal:
        print(f"{trouble.refusal}: {trouble.times} times, {workload.refused()} commands refused")
    print(f"{workload.answered()} commands answered, {len(faults)} faults")
    return faults
