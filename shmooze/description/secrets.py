"""Secrets in arguments: the values that a schema marks as `writeOnly`, which no client sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from shmooze.description.walk import everything, steps, target


def has_secrets(schema: Any) -> bool:
    """Whether a schema marks any value."""
    return any(_is_marked(each) for _, each in everything(schema))


class Secrets:
    """The values that a schema marks.

    A value counts as marked if any schema that may apply to it marks it, in whichever branch.
    """

    def __init__(self, schema: Any) -> None:
        self._root = schema

    def hide(self, args: dict[str, Any]) -> dict[str, Any]:
        """The same args without the values that are marked."""
        hidden = self._without(args, self._applying([self._root]))
        return hidden if isinstance(hidden, dict) else {}

    def includes(self, path: Sequence[str | int]) -> bool:
        """Whether the value at this place is marked, or part of one that is, or has one in it."""
        schemas = self._applying([self._root])
        for key in path:
            if any(map(_is_marked, schemas)):
                return True
            schemas = self._applying(_inside(schemas, key))
        return any(has_secrets(each) for each in schemas)

    def _without(self, value: Any, schemas: list[Any]) -> Any:
        if isinstance(value, dict):
            inside = {key: self._applying(_inside(schemas, key)) for key in value}
            return {
                key: self._without(each, inside[key])
                for key, each in value.items()
                if not any(map(_is_marked, inside[key]))
            }
        if isinstance(value, list):
            elements = self._applying(_inside(schemas, 0))
            if any(map(_is_marked, elements)):
                return []
            return [self._without(each, elements) for each in value]
        return value

    def _applying(self, schemas: Iterable[Any]) -> list[Any]:
        """These, and all others that may apply to the same value because of them."""
        found: dict[int, Any] = {}
        waiting = list(schemas)
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, dict) or id(schema) in found:
                continue
            found[id(schema)] = schema
            waiting += [step.schema for step in steps(schema) if not step.is_inside]
            if isinstance(reference := schema.get("$ref"), str):
                waiting.append(target(self._root, reference))
        return list(found.values())


def _inside(schemas: Iterable[Any], key: str | int) -> list[Any]:
    """The schemas that may apply to the value at `key`; of an array all that apply to elements."""
    is_element = isinstance(key, int)
    return [
        step.schema
        for schema in schemas
        for step in steps(schema)
        if step.is_inside
        and is_element == (step.keyword in _OF_ELEMENTS)
        and (step.keyword != "properties" or step.key == key)
    ]


_OF_ELEMENTS = {"items", "prefixItems", "contains", "unevaluatedItems"}


def _is_marked(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("writeOnly") is True
