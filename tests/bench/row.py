"""What is measured: a table of rows, each a kind of work beside another way to do it.

Both sides of a row are measured in turn (A B A B ...) in one run, so what the machine does besides
meets both. What is kept and compared are ratios, never times of different runs.
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

#: Yields (ours, theirs) without end, one pair a repeat; raises Skip where it cannot be measured.
Pairs = Callable[["Lab"], Iterator[tuple[float, float]]]


class Skip(Exception):
    """What is missing on this machine, in a word."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    #: What `--only` calls it.
    name: str
    work: str
    beside: str
    #: What the ratio should be at least (HIGHER) or at the most (LOWER).
    goal: float
    better: str
    #: Of the figures: "/s", "ms" and the like.
    unit: str
    pairs: Pairs = field(repr=False)
    #: Measured by `--quick` too: it needs neither 1.2.4 nor wrk, and a few seconds.
    quick: bool = False
    #: Repeats at the most, for work that takes long.
    most: int = 100
    #: Ours less theirs is what has a goal, in `unit`, and not the ratio.
    difference: bool = False
    #: What ours may be at the most, besides, in `unit`.
    limit: float | None = None

    def measure(self, lab: Lab, repeats: int) -> Result:
        with closing(self.pairs(lab)) as pairs:
            return Result(self, list(islice(pairs, min(repeats, self.most))))


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
        """What has a goal, of each repeat, in order of size."""
        if self.row.difference:
            return sorted(ours - theirs for ours, theirs in self.pairs)
        return sorted(ours / theirs for ours, theirs in self.pairs)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def best(self) -> float:
        """Our best figure beside their best: of times when nobody else was in the way.

        Beside theirs a difference, too, depends less on the machine.
        """
        choose = max if self.row.better == HIGHER else min
        return self._relative(*(choose(each) for each in zip(*self.pairs)))

    @property
    def typical(self) -> float:
        """The median of all repeats, in the terms of `best`."""
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
    beside: str,
    goal: float,
    better: str,
    unit: str,
    quick: bool = False,
    most: int = 100,
    difference: bool = False,
    limit: float | None = None,
) -> Callable[[Pairs], Pairs]:
    """Put a function into the table, as what measures this row."""

    def add(pairs: Pairs) -> Pairs:
        TABLE.append(
            Row(name, work, beside, goal, better, unit, pairs, quick, most, difference, limit)
        )
        return pairs

    return add


#: Yields for each of the numbers a figure of each kind of work.
Figures = Callable[["Lab", tuple[int, ...]], Iterator[tuple[float, ...]]]


@dataclass(frozen=True)
class Growth:
    """How kinds of work grow with the number of something; all in milliseconds."""

    name: str
    #: What there is more and more of.
    grows: str
    works: tuple[str, ...]
    figures: Figures = field(repr=False)


GROWTHS: list[Growth] = []


def growth(name: str, grows: str, *works: str) -> Callable[[Figures], Figures]:
    """Put a function into the table of growths."""

    def add(figures: Figures) -> Figures:
        GROWTHS.append(Growth(name, grows, works, figures))
        return figures

    return add
