"""Secrets in arguments: the values that a schema marks as `writeOnly`, which no client sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from shmooze.runtime.json_schema import everything, steps, target

_OF_ELEMENTS = {"items", "prefixItems", "contains", "unevaluatedItems"}


def has_secrets(schema: Any) -> bool:
    """Whether a schema marks any value."""
    return any(_is_marked(each) for _, each in everything(schema))


def _is_marked(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("writeOnly") is True


class Secrets:
    """The values that a schema marks.

    A value counts as marked if any schema that may apply to it marks it, in whichever branch.
    """

    def __init__(self, schema: Any) -> None:
        self._top = _Places(schema).of([schema])

    def hide(self, args: dict[str, Any]) -> dict[str, Any]:
        """The same args without the values that are marked."""
        return _without(args, self._top)

    def includes(self, path: Sequence[str | int]) -> bool:
        """Whether the value at this place is marked, or part of one that is, or has one in it."""
        place = self._top
        for key in path:
            if place.is_marked:
                return True
            place = place.elements if isinstance(key, int) else place.at(key)
        return place.has_marks


class _Places:
    """The places of values to which the schemas within one schema apply, made when needed."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._known: dict[frozenset[int], _Place] = {}

    def of(self, schemas: Iterable[Any]) -> _Place:
        """The place to which these schemas apply."""
        applying = reachable(self.root, schemas, is_inside=False)
        return self._known.setdefault(frozenset(map(id, applying)), _Place(self, applying))


class _Place:
    """A place, and the schemas that may apply to it."""

    def __init__(self, places: _Places, schemas: list[Any]) -> None:
        self._places, self._schemas = places, schemas
        self.is_marked = any(map(_is_marked, schemas))

    @cached_property
    def has_marks(self) -> bool:
        """Whether this value or any part of it is marked."""
        return any(map(_is_marked, reachable(self._places.root, self._schemas, is_inside=True)))

    @cached_property
    def elements(self) -> _Place:
        """Any element of an array."""
        inside = (step for each in self._schemas for step in steps(each))
        return self._places.of(step.schema for step in inside if step.keyword in _OF_ELEMENTS)

    def at(self, name: str) -> _Place:
        """The value of an object under a name."""
        return self._names.get(name) or self._any_name

    @cached_property
    def _names(self) -> dict[str, _Place]:
        names = {name for each in self._schemas for name in each.get("properties", ())}
        return {name: self._inside(name) for name in names}

    @cached_property
    def _any_name(self) -> _Place:
        return self._inside(None)

    def _inside(self, name: str | None) -> _Place:
        return self._places.of(
            step.schema
            for each in self._schemas
            for step in steps(each)
            if step.is_inside
            and step.keyword not in _OF_ELEMENTS
            and (step.keyword != "properties" or step.key == name)
        )


def reachable(root: Any, schemas: Iterable[Any], is_inside: bool) -> list[Any]:
    """These schemas, and all others that may apply because of them to the same value; with
    `is_inside` to parts of it too.
    """
    found: dict[int, Any] = {}
    waiting = list(schemas)
    while waiting:
        schema = waiting.pop()
        if not isinstance(schema, dict) or id(schema) in found:
            continue
        found[id(schema)] = schema
        waiting += [step.schema for step in steps(schema) if is_inside or not step.is_inside]
        if isinstance(reference := schema.get("$ref"), str):
            waiting.append(target(root, reference))
    return list(found.values())


def _without(value: Any, place: _Place) -> Any:
    """A value without its parts that are marked."""
    if not place.has_marks:
        return value
    if isinstance(value, dict):
        inside = {key: place.at(key) for key in value}
        return {
            key: _without(each, inside[key])
            for key, each in value.items()
            if not inside[key].is_marked
        }
    if isinstance(value, list):
        elements = place.elements
        return [] if elements.is_marked else [_without(each, elements) for each in value]
    return value
