"""Latencies with and without other load, and a table of them."""

from __future__ import annotations

import statistics
from collections import defaultdict

#: Latencies in milliseconds, by kind of work.
Times = dict[str, list[float]]


class Comparison:
    """Latencies of several kinds of work, measured in turn without and with other load."""

    def __init__(self) -> None:
        self.alone: Times = defaultdict(list)
        self.loaded: Times = defaultdict(list)

    def show(self) -> str:
        """A table of medians and 99th percentiles in milliseconds, and their ratios."""
        head = f"{'ms':12} {'alone p50':>10} {'p99':>8} {'loaded p50':>11} {'p99':>8}"
        lines = [f"{head} {'ratio p50':>10} {'p99':>6}"]
        for kind, times in self.alone.items():
            a50, a99 = _percentiles(times)
            b50, b99 = _percentiles(self.loaded[kind])
            figures = f"{kind:12} {a50:10.2f} {a99:8.2f} {b50:11.2f} {b99:8.2f}"
            lines.append(f"{figures} {b50 / a50:10.2f} {b99 / a99:6.2f}")
        return "\n".join(lines)


def add(times: Times, more: Times) -> None:
    for kind, each in more.items():
        times[kind] += each


def _percentiles(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=100)[98]
