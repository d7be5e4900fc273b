"""A chart of a run: ratios compared with their goals, and growth."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.report import Figures, number
from bench.row import HIGHER

GOOD, BAD, PLAIN = "#2a7f62", "#c0392b", "#555555"


def draw(run: Figures, file: Path) -> None:
    """Draw a run as a PNG file."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(14, 6.5), dpi=110, gridspec_kw={"width_ratios": [3, 2]}
    )
    _draw_ratios(left, run["rows"])
    _draw_growth(right, run["growth"])
    figure.tight_layout(w_pad=3)
    figure.savefig(file)
    plt.close(figure)


def _score(row: Figures, ratio: float) -> float:
    """How many times better than its goal a ratio or difference is."""
    ratio = max(ratio, 1e-6)
    return ratio / row["goal"] if row["better"] == HIGHER else row["goal"] / ratio


def _draw_ratios(axes: Axes, rows: list[Figures]) -> None:
    axes.set_title("Times better than the goal (median and range of all repeats)")
    for place, row in enumerate(reversed(rows)):
        colour = GOOD if row["met"] else BAD
        worst, best = sorted(_score(row, row[each]) for each in ("lowest", "highest"))
        axes.plot([worst, best], [place, place], color=colour, linewidth=3, alpha=0.4)
        axes.plot(_score(row, row["ratio"]), place, "o", color=colour)
        axes.annotate(
            f"{number(row['ratio'])} " + (f"more {row['unit']}" if row["difference"] else "x"),
            (_score(row, row["ratio"]), place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.axvline(1, color=PLAIN, linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(
        range(len(rows)),
        [
            f"{row['work']}\ncompared with {row['versus']}".replace("`", "")
            for row in reversed(rows)
        ],
        fontsize=8,
    )
    axes.margins(0.08)
    axes.grid(axis="x", which="both", alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_growth(axes: Axes, growths: list[Figures]) -> None:
    axes.set_title("Growth (dotted: linear)")
    for each in growths:
        label = each["work"].replace("`", "")
        (line,) = axes.plot(each["numbers"], each["figures"], "o-", label=label)
        first = each["figures"][0] / each["numbers"][0]
        linear = [first * count for count in each["numbers"]]
        axes.plot(each["numbers"], linear, ":", color=line.get_color(), alpha=0.5, linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("modules, clients or subscribers")
    axes.set_ylabel("ms")
    axes.grid(which="both", alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    if growths:
        axes.legend(fontsize=8, frameon=False)
