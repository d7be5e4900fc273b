"""Reports of a run: figures for JSON, and from these the tables."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from bench.row import HIGHER, TABLE, Growth, Result

#: The figures of a row, of a growth or of a whole run, as they are written to JSON.
Figures = dict[str, Any]

#: Growth is linear if ten times as much takes at most this many times as long. Allows for noise.
LINEAR = 12.0


def machine() -> Figures:
    """The machine and versions that the figures depend on."""
    packages = {name: version(name) for name in ("gevent", "msgspec", "httptools", "bottle")}
    load = round(os.getloadavg()[0], 2)
    return {
        "cores": os.cpu_count(),
        "load": load,
        "python": platform.python_version(),
        "packages": packages,
    }


def figures(result: Result) -> Figures:
    row = result.row
    return {
        "name": row.name,
        "work": row.work,
        "versus": row.versus,
        "unit": row.unit,
        "better": row.better,
        "difference": row.difference,
        "goal": row.goal,
        "limit": row.limit,
        "ours": result.ours,
        "theirs": result.theirs,
        "ratio": result.ratio,
        "lowest": result.ratios[0],
        "highest": result.ratios[-1],
        "met": result.met,
        "pairs": result.pairs,
    }


def growth_figures(
    growth: Growth, numbers: Sequence[int], found: list[tuple[float, ...]]
) -> list[Figures]:
    return [
        {
            "name": growth.name,
            "work": work,
            "grows": growth.grows,
            "numbers": list(numbers),
            "figures": list(each),
            "met": is_linear(each),
        }
        for work, each in zip(growth.works, zip(*found))
    ]


def is_linear(figures: Sequence[float]) -> bool:
    return figures[-1] / figures[-2] <= LINEAR


def combine(runs: list[Figures]) -> Figures:
    """Combine several runs into one with more repeats."""
    rows = []
    for row in TABLE:
        found = [each for run in runs for each in run["rows"] if each["name"] == row.name]
        if found:
            pairs = [tuple(pair) for each in found for pair in each["pairs"]]
            rows.append(figures(Result(row, pairs)))
    growths = []
    for same in zip(*(run["growth"] for run in runs)):
        medians = [statistics.median(each) for each in zip(*(each["figures"] for each in same))]
        growths.append({**same[0], "figures": medians, "met": is_linear(medians)})
    return {**runs[0], "rows": rows, "growth": growths}


def number(value: float) -> str:
    """Format with three significant digits."""
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def row_cells(row: Figures) -> list[str]:
    unit = row["unit"] if row["unit"].startswith("/") else f" {row['unit']}"
    times = f" more {row['unit']}" if row["difference"] else " x"
    goal = f"{'at least' if row['better'] == HIGHER else 'at most'} {row['goal']:g}{times}"
    if row["limit"] is not None:
        goal += f" and {row['limit']:g}{unit}"
    spread = f"{number(row['lowest'])} to {number(row['highest'])}"
    return [
        row["work"],
        row["versus"],
        number(row["ours"]) + unit,
        number(row["theirs"]) + unit,
        f"{number(row['ratio'])}{times} ({spread})",
        goal,
        "yes" if row["met"] else "**no**",
    ]


def growth_cells(growth: Figures) -> list[str]:
    values = [f"{number(each)} ms" for each in growth["figures"]]
    return [growth["work"], growth["grows"], *values, "yes" if growth["met"] else "**no**"]


def table(heads: list[str], lines: list[list[str]]) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(heads, *lines)]

    def line(cells: list[str]) -> str:
        filled = (cell.ljust(width) for cell, width in zip(cells, widths))
        return f"| {' | '.join(filled)} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([line(heads), rule, *map(line, lines)])


def tables(run: Figures) -> str:
    """Format a run as text."""
    parts = []
    if run["rows"]:
        heads = ["work", "compared with", "ours", "theirs", "ratio (range)", "goal", "met"]
        parts.append(table(heads, [row_cells(row) for row in run["rows"]]))
    if run["growth"]:
        numbers = [f"{each:,}" for each in run["growth"][0]["numbers"]]
        heads = ["work", "number of", *numbers, "linear or better"]
        parts.append(table(heads, [growth_cells(each) for each in run["growth"]]))
    parts += [f"not measured: {name}: {why}" for name, why in run["skipped"].items()]
    return "\n\n".join(parts)
