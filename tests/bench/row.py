"""The table of benchmarks: each row compares some work with another way to do it.

Both sides of a row are measured in turn (A B A B ...) in one run, so that other load on the machine
affects both. Only ratios are saved and compared, never times of different runs.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.lab import Lab

HIGHER = "higher"
LOWER = "lower"

#: Yields (ours, theirs) forever, a pair per repeat. Raises Skip if it cannot be measured here.
Pairs = Callable[["Lab"], Iterator[tuple[float, float]]]


class Skip(Exception):
    """Raised if a row cannot be measured on this machine; the message says what is missing."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    #: Its name for `--only`.
    name: str
    work: str
    versus: str
    #: The ratio to reach: at least (HIGHER) or at most (LOWER).
    goal: float
    better: str
    #: The unit of both sides, such as "/s" or "ms".
    unit: str
    pairs: Pairs = field(repr=False)
    #: Measured with `--quick` too: it needs neither 1.2.4 nor wrk, and only a few seconds.
    quick: bool = False
    #: The maximum of repeats, for slow rows.
    max_repeats: int = 100
    #: The goal is for the difference (ours minus theirs, in `unit`) instead of the ratio.
    difference: bool = False
    #: An absolute maximum for ours, in `unit`, in addition to the goal.
    limit: float | None = None

    def measure(self, lab: Lab, repeats: int) -> Result:
        with closing(self.pairs(lab)) as pairs:
            return Result(self, list(islice(pairs, min(repeats, self.max_repeats))))


@dataclass(frozen=True)
class Result:
    """The figures of a row: a pair for each repeat."""

    row: Row
    pairs: list[tuple[float, float]]

    @property
    def ours(self) -> float:
        return statistics.median(ours for ours, _ in self.pairs)

    @property
    def theirs(self) -> float:
        return statistics.median(theirs for _, theirs in self.pairs)

    @property
    def ratios(self) -> list[float]:
        """The ratio of each repeat (or difference, if the goal is for that), sorted."""
        if self.row.difference:
            return sorted(ours - theirs for ours, theirs in self.pairs)
        return sorted(ours / theirs for ours, theirs in self.pairs)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def best(self) -> float:
        """The ratio of both sides' best results, which other load on the machine affects least.

        A difference is divided by theirs, so that it depends less on the machine.
        """
        choose = max if self.row.better == HIGHER else min
        return self._relative(*(choose(each) for each in zip(*self.pairs)))

    @property
    def typical(self) -> float:
        """The median ratio of all repeats, computed as in `best`."""
        return statistics.median(self._relative(*pair) for pair in self.pairs)

    def _relative(self, ours: float, theirs: float) -> float:
        return (ours - theirs) / theirs if self.row.difference else ours / theirs

    @property
    def met(self) -> bool:
        if self.row.limit is not None and self.ours > self.row.limit:
            return False
        if self.row.better == HIGHER:
            return self.ratio >= self.row.goal
        return self.ratio <= self.row.goal


TABLE: list[Row] = []


def row(
    name: str,
    work: str,
    *,
    versus: str,
    goal: float,
    better: str,
    unit: str,
    quick: bool = False,
    max_repeats: int = 100,
    difference: bool = False,
    limit: float | None = None,
) -> Callable[[Pairs], Pairs]:
    """Add a row to the table, measured by the decorated function."""

    def add(pairs: Pairs) -> Pairs:
        TABLE.append(
            Row(
                name, work, versus, goal, better, unit, pairs, quick, max_repeats, difference, limit
            )
        )
        return pairs

    return add


#: Yields, for each of the numbers, the milliseconds of each kind of work.
Figures = Callable[["Lab", tuple[int, ...]], Iterator[tuple[float, ...]]]


@dataclass(frozen=True)
class Growth:
    """How the time of some work grows with the number of something, in milliseconds."""

    name: str
    #: What the numbers count, such as modules.
    grows: str
    works: tuple[str, ...]
    figures: Figures = field(repr=False)


GROWTHS: list[Growth] = []


def growth(name: str, grows: str, *works: str) -> Callable[[Figures], Figures]:
    """Add a growth to the table, measured by the decorated function."""

    def add(figures: Figures) -> Figures:
        GROWTHS.append(Growth(name, grows, works, figures))
        return figures

    return add
