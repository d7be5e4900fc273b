"""The gate: no ratio may be twice as bad as in `baseline.json`.

The best result of several repeats is compared with the baseline, which is a median: other load on
the machine only makes results worse.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench.row import HIGHER, Result

BASELINE = Path(__file__).with_name("baseline.json")
#: How many times worse than the baseline a ratio may be.
TOLERANCE = 2.0


def save(results: list[Result]) -> None:
    """Save these results as the baseline. Rows that were not measured keep their old values."""
    kept = {**_baseline(), **{each.row.name: round(each.typical, 3) for each in results}}
    BASELINE.write_text(json.dumps(kept, indent=4, sort_keys=True) + "\n")


def regressions(results: list[Result]) -> list[tuple[Result, str]]:
    """The results that are too much worse than the baseline, each with a line for the user."""
    baseline = _baseline()
    return [
        (each, f"{each.row.name}: {each.row.work}: {each.best:.3g}, baseline {saved:.3g}")
        for each in results
        if (saved := baseline.get(each.row.name)) is not None and is_worse(each, saved)
    ]


def is_worse(result: Result, saved: float) -> bool:
    if result.row.better == HIGHER:
        return result.best < saved / TOLERANCE
    return result.best > saved * TOLERANCE


def _baseline() -> dict[str, float]:
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
