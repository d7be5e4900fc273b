"""The positions of items in the order, as the state file has them: numbers, which may have gaps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class Positions:
    """The positions of the items of one queue or pool, by uid."""

    def __init__(self) -> None:
        self._of: dict[str, float] = {}
        self._first = self._last = 0.0

    def load(self, positions: Mapping[str, float]) -> None:
        """Those that the file has."""
        self._of = dict(positions)
        self._first = min(self._of.values(), default=0.0)
        self._last = max(self._of.values(), default=0.0)

    def of(self, uid: str) -> float | None:
        """The position of an item; None: it has none."""
        return self._of.get(uid)

    def known(self, uids: Iterable[str]) -> list[tuple[str, float]]:
        """The positions of those of these items that have one."""
        return [(uid, self._of[uid]) for uid in uids if uid in self._of]

    def append(self, uid: str) -> float:
        """Give an item the position after the last one."""
        self._last += 1
        self._of[uid] = self._last
        return self._last

    def before_all(self, uids: Sequence[str]) -> dict[str, float]:
        """Positions before the first one, in this order. They are not taken yet."""
        first = self._first - len(uids)
        return {uid: first + index for index, uid in enumerate(uids)}

    def take(self, positions: Mapping[str, float]) -> None:
        """Items have moved to these positions; those that have none get none."""
        self._first = min(self._first, *positions.values())
        self._of |= {uid: place for uid, place in positions.items() if uid in self._of}

    def forget(self, uid: str) -> None:
        """An item has ended."""
        self._of.pop(uid, None)
