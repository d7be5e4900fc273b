"""A sum that never decreases, of counters that restart at 0 when their source is replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping


class Rising:
    """Sums by label, from readings of many sources that come and go."""

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()
        self._last: dict[Hashable, float] = {}

    def read(self, readings: Mapping[Hashable, tuple[str, float]]) -> None:
        """Take the present figure of each source, with its label. Missing sources are forgotten.

        Only what a figure has grown counts, and the whole of a new one.
        """
        for source, (label, figure) in readings.items():
            self.sums[label] += max(0.0, figure - self._last.get(source, 0.0))  # type: ignore[assignment]
        self._last = {source: figure for source, (_, figure) in readings.items()}
