"""The line: the numbers that order the items, in memory and in the state file alike.

Strategy. An item gets its number at once, and only then waits for it to be kept. Whatever comes
meanwhile gets another number, before or behind it. So however their commands overlap, the roster
and the state file agree. Between two numbers, the one in the middle is taken; when there is none,
all items get new numbers in the same order, which are `owed` to the state file.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from shmooze.modules.module import Module

#: Between the numbers of two items that are added one after the other.
STEP = float(1 << 20)


def number_of(module: Module) -> float:
    """The number of a module that has one."""
    assert module.position is not None
    return module.position


class Line:
    """The numbers of the items of one roster, whose `order` is sorted by them."""

    def __init__(self, order: list[Module]) -> None:
        self._order = order
        #: Those that have a number, and get their place when it is kept.
        self._coming: dict[Module, None] = {}
        #: The numbers that items get when that is kept, by uid.
        self._promised: dict[str, float] = {}
        self._last = 0.0
        #: The uids of items whose numbers the state file may not have.
        self.owed: set[str] = set()

    @property
    def everyone(self) -> Sequence[Module]:
        """All that have a number, in order."""
        if not self._coming:
            return self._order
        return sorted([*self._order, *self._coming], key=number_of)

    def enter(self, module: Module, before: Module | None = None) -> None:
        """Give a number to a module that is about to get a place: before another, or the last."""
        (module.position,) = self._numbers(1, before)
        self._coming[module] = None

    def leave(self, module: Module) -> None:
        """A module gets no place after all."""
        if module in self._coming:
            del self._coming[module]
            module.position = None

    def hand_on(self, old: Module, new: Module) -> None:
        """Another module gets the place that one was about to get."""
        if old in self._coming:
            new.position = old.position
            self.leave(old)
            self._coming[new] = None

    def place(self, module: Module) -> int:
        """A module gets its place. Returns which, counted in the order."""
        if module.position is None:
            self.enter(module)
        self._coming.pop(module, None)
        position = number_of(module)
        self._last = max(self._last, position)
        if not self._order or number_of(self._order[-1]) < position:
            return len(self._order)
        return bisect_left(self._order, position, key=number_of)

    def index(self, module: Module) -> int:
        """Where a module is in the order."""
        index = bisect_left(self._order, number_of(module), key=number_of)
        if index < len(self._order) and self._order[index] is module:
            return index
        return self._order.index(module)

    def promise_before(self, uids: Sequence[str], before: Module | None) -> Mapping[str, float]:
        """Promise items the numbers to be together before another one, or the last ones."""
        numbers = self._numbers(len(uids), before)
        return self.promise(dict(zip(uids, numbers, strict=True)))

    def promise(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """Promise items other numbers, by uid. They have them once `fulfil` was called with the
        same uids, and keep the old ones after `forgo`.
        """
        self._promised.update(numbers)
        return numbers

    def fulfil(self, uids: Iterable[str]) -> None:
        """Items have moved. The order has to be sorted then."""
        promised = {uid: self._promised.pop(uid) for uid in uids}
        for module in self._order:
            if (number := promised.get(module.uid)) is not None:
                module.position = number
                self._last = max(self._last, number)

    def forgo(self, uids: Iterable[str]) -> None:
        """Items were not moved after all."""
        for uid in uids:
            del self._promised[uid]
            self.owed.add(uid)  # which may have been given the promised number meanwhile

    def take_owed(self) -> Mapping[str, float]:
        """The numbers that are owed to the state file, which is going to have them, by uid."""
        owed, self.owed = self.owed, set()
        if not owed:
            return {}
        numbers = {each.uid: number_of(each) for each in self.everyone if each.uid in owed}
        return {uid: self._promised.get(uid, number) for uid, number in numbers.items()}

    def _numbers(self, count: int, before: Module | None) -> list[float]:
        """Free numbers in ascending order: before that of a module, or after all."""
        if before is None:
            first = max(self._last, *self._promised.values(), 0.0)
            self._last = first + STEP * count
            return [first + STEP * (index + 1) for index in range(count)]
        for _ in range(2):
            high = number_of(before)
            low = self._number_below(high)
            if low is None:
                return [high - STEP * (count - index) for index in range(count)]
            gap = (high - low) / (count + 1)
            numbers = [low + gap * (index + 1) for index in range(count)]
            if all(a < b for a, b in zip([low, *numbers], [*numbers, high], strict=True)):
                return numbers
            self._renumber()
        raise AssertionError("there is room after all have new numbers")

    def _number_below(self, high: float) -> float | None:
        """The highest number in use that is lower."""
        everyone = self.everyone
        below = [number for number in self._promised.values() if number < high]
        if index := bisect_left(everyone, high, key=number_of):
            below.append(number_of(everyone[index - 1]))
        return max(below, default=None)

    def _renumber(self) -> None:
        """Give all items new numbers, with room between any two."""
        numbers = {
            old: STEP * (index + 1)
            for index, old in enumerate(
                sorted({*map(number_of, self.everyone), *self._promised.values()})
            )
        }
        for module in self.everyone:
            module.position = numbers[number_of(module)]
            self.owed.add(module.uid)
        self._promised = {uid: numbers[old] for uid, old in self._promised.items()}
        self._last = STEP * len(numbers)
