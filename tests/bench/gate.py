"""The gate: no ratio may have fallen by half since `baseline.json` was written.

The best figures of several repeats are what is compared, with what was typical: others on the
machine only make figures worse.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench.row import HIGHER, Result

BASELINE = Path(__file__).with_name("baseline.json")
#: How many times as bad as the baseline a ratio may be.
TOLERANCE = 2.0


def save(results: list[Result]) -> None:
    """Make these results the baseline; rows that were not measured stay."""
    kept = {**_baseline(), **{each.row.name: round(each.typical, 3) for each in results}}
    BASELINE.write_text(json.dumps(kept, indent=4, sort_keys=True) + "\n")


def fallen(results: list[Result]) -> list[tuple[Result, str]]:
    """Those that have become too much worse, and a line on each."""
    baseline = _baseline()
    return [
        (each, f"{each.row.name}: {each.row.work}: {each.best:.3g}, was {was:.3g}")
        for each in results
        if (was := baseline.get(each.row.name)) is not None and is_worse(each, was)
    ]


def is_worse(result: Result, was: float) -> bool:
    if result.row.better == HIGHER:
        return result.best < was / TOLERANCE
    return result.best > was * TOLERANCE


def _baseline() -> dict[str, float]:
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
