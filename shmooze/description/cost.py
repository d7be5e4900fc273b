"""How much work a JSON Schema can make, so that no value that is checked holds the loop.

Schemas such as nested `allOf` and `oneOf` of references apply to the same value many times over,
and with each level twice as often. So it is followed, for each place in a value, which schemas
apply there and how often. What would be too much is refused: as a schema, if it is too much for
any value, and else for values that are nested too deep or have too many parts.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shmooze.runtime.json_schema import Step, everything, steps, target
from shmooze.runtime.jsonsafe import MAX_DEPTH

#: Times that schemas may apply to one place of a value.
MAX_PER_PLACE = 1000
#: Levels to which values must be possible at least.
MIN_LEVELS = 3
#: Times that schemas may apply to all places of a value together.
MAX_WORK = 1_000_000
#: Parts of a value for which it is said what does not fit: they are copied for that.
MAX_EXPLAINED = 200_000
#: The same, times the number of schemas, where one of several must fit: then there are many copies.
MAX_EXPLAINED_CHOICES = 20_000
#: Steps in which the work is found out.
_MAX_STEPS = 50_000
#: Times that are not worth counting the parts of a value.
_CHEAP = 8
#: Patterns in one schema.
MAX_PATTERNS = 100

#: mistake(path within the schema, problem)
Mistake = Callable[[tuple[Any, ...], str], Exception]


@dataclass(frozen=True)
class Cost:
    """The work that one schema makes."""

    #: Times that schemas apply to one place of a value at the most.
    per_place: int
    #: Levels to which values may be nested.
    levels: int
    #: Whether values must be measured before they are checked.
    is_measured: bool
    #: Whether it has `anyOf` or `oneOf`.
    has_choices: bool

    @classmethod
    def of(cls, schema: Any, mistake: Mistake) -> Cost:
        """Raises what `mistake` makes for a schema that makes too much work."""
        schemas = [each for _, each in everything(schema) if isinstance(each, dict)]
        patterns = sum("pattern" in each for each in schemas)
        patterns += sum(len(each.get("patternProperties", ())) for each in schemas)
        if patterns > MAX_PATTERNS:
            raise mistake((), f"has over {MAX_PATTERNS} patterns")
        compared = max((_compared(each.get("enum", ())) for each in schemas), default=0)
        if all(map(_is_plain, schemas)):  # one of `properties`, and one for all of them
            return cls(2 + compared, MAX_DEPTH, compared > _CHEAP, False)
        per_place, levels = _Graph(schema, schemas, mistake).follow()
        if levels < MIN_LEVELS:
            raise mistake((), "is too complex: too many of its schemas apply to the same value")
        is_recursive = any("$ref" in each for each in schemas)
        has_choices = any("anyOf" in each or "oneOf" in each for each in schemas)
        is_measured = is_recursive or per_place > _CHEAP or levels < MAX_DEPTH
        return cls(per_place + compared, levels, is_measured or compared > _CHEAP, has_choices)

    def refuses(self, value: Any) -> str | None:
        """Why a value is not checked; None: it is."""
        parts, levels = measure(value, MAX_WORK // self.per_place)
        if levels > self.levels:
            return f"are nested over {self.levels} levels deep"
        if parts * self.per_place > MAX_WORK:
            return f"have over {MAX_WORK // self.per_place} parts, too many to be checked"
        return None

    def can_explain(self, value: Any) -> bool:
        """Whether it may be said where a value does not fit."""
        choices = MAX_EXPLAINED_CHOICES // self.per_place
        most = choices if self.has_choices else MAX_EXPLAINED
        return measure(value, most)[0] <= most


def measure(value: Any, most: int) -> tuple[int, int]:
    """How many parts a value has, and how many levels. Stops at `most` parts, or at more levels
    than JSON may have here.
    """
    parts, levels, level = 1, 0, [value]
    while level and parts <= most and levels <= MAX_DEPTH:
        inside = [each for each in level if isinstance(each, (dict, list, tuple))]
        level = [
            part for each in inside for part in (each.values() if isinstance(each, dict) else each)
        ]
        parts += len(level)
        levels += bool(inside)
    return parts, levels


def _compared(options: Sequence[Any]) -> int:
    """How many values of an `enum` are compared one after another: all, unless they are texts or
    whole numbers only, which are looked up.
    """
    return 0 if set(map(type, options)) in ({str}, {int}) else len(options)


def _is_plain(schema: dict[str, Any]) -> bool:
    """Whether no more than one other schema applies to each part of a value because of this one,
    and none to the same value.
    """
    plain = {"properties", "items", "additionalProperties"}
    return "$ref" not in schema and all(step.keyword in plain for step in steps(schema))


class _Graph:
    """Which schemas apply to a place because others do."""

    def __init__(self, root: Any, schemas: list[dict[str, Any]], mistake: Mistake) -> None:
        self._root = root
        self._by_id = {id(each): each for each in schemas}
        #: For each schema those that apply to the same value because of it.
        self._same: dict[int, list[int]] = {}
        self._inside: dict[int, list[Step]] = {}
        for each in schemas:
            self._add(each)
        self._order = self._sorted(mistake)
        self._steps = 0

    def _add(self, schema: dict[str, Any]) -> None:
        found = list(steps(schema))
        same = [step.schema for step in found if not step.is_inside]
        if "$ref" in schema:
            same.append(target(self._root, schema["$ref"]))
        self._same[id(schema)] = [id(each) for each in same if isinstance(each, dict)]
        self._inside[id(schema)] = [
            step for step in found if step.is_inside and isinstance(step.schema, dict)
        ]

    def _sorted(self, mistake: Mistake) -> dict[int, int]:
        """The position of each schema, after all because of which it applies to the same value."""
        done: dict[int, int] = {}
        entered: set[int] = set()
        for start in self._same:
            waiting = [start]
            while waiting:
                node = waiting[-1]
                if node in done:
                    waiting.pop()
                elif node in entered:
                    done[node] = len(done)
                    waiting.pop()
                else:
                    entered.add(node)
                    for each in self._same[node]:
                        if each in entered and each not in done:
                            raise mistake((), "refers to itself for the same value")
                        waiting.append(each)
        return {node: -position for node, position in done.items()}

    def follow(self) -> tuple[int, int]:
        """How many times schemas apply to one place at most, and to how many levels that holds."""
        if not isinstance(self._root, dict):
            return 1, MAX_DEPTH
        most, level = 1, [Counter({id(self._root): 1})]
        seen: set[frozenset[tuple[int, int]]] = set()
        for depth in range(MAX_DEPTH + 1):
            following = []
            for state in level:
                applying = self._applying(state)
                times = sum(applying.values())
                if times > MAX_PER_PLACE or self._steps > _MAX_STEPS:
                    return most, depth - 1
                most = max(most, times)
                for state in self._states_inside(applying):
                    if (key := frozenset(state.items())) not in seen:
                        seen.add(key)
                        following.append(state)
            level = following
            if not level:
                break
        return most, MAX_DEPTH

    def _applying(self, state: Counter[int]) -> Counter[int]:
        """How often each schema applies to a place to which those of `state` do."""
        applying, known = Counter(state), set(state)
        heap = [(self._order[node], node) for node in state]
        heapq.heapify(heap)
        while heap:
            _, node = heapq.heappop(heap)
            for each in self._same[node]:
                self._steps += 1
                applying[each] += applying[node]
                if each not in known:
                    known.add(each)
                    heapq.heappush(heap, (self._order[each], each))
        return applying

    def _states_inside(self, applying: Counter[int]) -> list[Counter[int]]:
        """Which schemas apply to the parts of such a place: one state for each kind of part."""
        by_part: dict[Any, Counter[int]] = {}
        for node, times in applying.items():
            for step in self._inside[node]:
                self._steps += 1
                part = by_part.setdefault(_part_of(step), Counter())
                part[id(step.schema)] += times
        others = by_part.pop(_ANY_NAME, Counter()), by_part.pop(_ANY_ELEMENT, Counter())
        states = [each for each in others if each]
        for part, state in by_part.items():
            self._steps += len(others[isinstance(part, int)])
            states.append(state + others[isinstance(part, int)])
        return states


_ANY_NAME, _ANY_ELEMENT = (("names",), ("elements",))


def _part_of(step: Step) -> Any:
    """What of a value a schema applies to: a name, an index, or any of them."""
    if step.keyword in ("properties", "prefixItems"):
        return step.key
    return _ANY_ELEMENT if step.keyword in ("items", "contains", "unevaluatedItems") else _ANY_NAME
