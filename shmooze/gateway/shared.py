"""Numbers that all workers of the gateway share.

They are in memory that was allocated before the workers were forked. Each worker has a row of its
own, and its successor goes on with that: so the sum of all rows never goes back, however a worker
ends. Any worker can read all rows.
"""

from __future__ import annotations

import mmap

_BYTES = 8


class SharedNumbers:
    """`rows` rows of `columns` numbers, all 0 at first."""

    def __init__(self, rows: int, columns: int) -> None:
        self._rows, self._columns = rows, columns
        self._numbers = memoryview(mmap.mmap(-1, rows * columns * _BYTES)).cast("d")

    def row(self, row: int) -> memoryview[float]:
        """The numbers of one worker, which nobody else may change."""
        return self._numbers[row * self._columns : (row + 1) * self._columns]

    def sum(self, column: int) -> float:
        """The sum of a number over all workers."""
        return sum(self._numbers[column :: self._columns])
