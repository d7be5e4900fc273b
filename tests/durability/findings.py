"""What is wrong with what a service knows after it was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from durability.ledger import Ledger, Said


@dataclass
class Findings:
    """One line for each fault."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    in_two_states: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """Every fault, with its kind."""
        return [
            f"{kind.replace('_', ' ')}: {line}"
            for kind, lines in vars(self).items()
            for line in lines
        ]


def compare(
    ledger: Ledger, living: Iterable[dict[str, Any]], ended: Iterable[dict[str, Any]]
) -> Findings:
    """Compare what clients were told with a roster (in its order) and a history.

    Both are of {"uid", "args", "state"}; args have the "number" of the item.
    """
    found = Findings()
    living, ended = list(living), list(ended)
    alive = {item["uid"]: item["args"]["number"] for item in living}
    gone = {item["uid"]: item["args"]["number"] for item in ended}
    for uid in alive.keys() & gone.keys():
        found.in_two_states.append(f"{uid} is in roster and history")
    for where, uids in (
        ("roster", [m["uid"] for m in living]),
        ("history", [m["uid"] for m in ended]),
    ):
        for uid, count in Counter(uids).items():
            if count > 1:
                found.doubled.append(f"{uid} is {count} times in the {where}")
    numbers: dict[int, set[str]] = {}
    for uid, number in [*alive.items(), *gone.items()]:
        numbers.setdefault(number, set()).add(uid)
    for number, uids_of in numbers.items():
        if len(uids_of) > 1:
            found.doubled.append(f"item {number} is there as {' and '.join(sorted(uids_of))}")
    for item in ledger.items:
        if item.uid is None:
            continue
        if item.added is Said.ANSWERED and item.uid not in alive and item.uid not in gone:
            found.lost.append(f"item {item.number} ({item.uid}) was added")
        if item.removed is Said.ANSWERED and item.uid in alive:
            found.lost.append(f"item {item.number} ({item.uid}) was removed, and is there again")
    alive_numbers = set(alive.values())
    failed = {item["uid"] for item in ended if item["state"] == "failed"}
    there = {number for uid, number in gone.items() if uid not in failed} | alive_numbers
    for item in ledger.items:
        if item.added is Said.REFUSED and item.number in there:
            found.refused.append(f"item {item.number} was not to be added, and is there")
    _compare_order(ledger, [item["uid"] for item in living], found)
    return found


def _compare_order(ledger: Ledger, order: list[str], found: Findings) -> None:
    front = [uid for uid in ledger.front if uid in set(order)]
    seen = order
    if ledger.perhaps_in_front is not None:
        seen = [uid for uid in order if uid != ledger.perhaps_in_front]
        front = [uid for uid in front if uid != ledger.perhaps_in_front]
    if seen[: len(front)] != front:
        found.out_of_order.append(f"{seen[: len(front)]} are in front, and were to be {front}")
