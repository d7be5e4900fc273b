"""Embedding: JSON Schemas of services as parts of a document, their references included.

Services may send anything, so a schema is checked first, and nothing in it can make a viewer load
something from elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jsonschema_rs

from shmooze.runtime.json_schema import KEYWORDS, names_in

#: Keywords whose value is a schema; a list of schemas; an object of schemas.
_ONE = {keyword for keyword, kind in KEYWORDS.items() if kind is None} | {"contentSchema"}
_SOME = {keyword for keyword, kind in KEYWORDS.items() if kind is list}
_NAMED = {keyword for keyword, kind in KEYWORDS.items() if kind is dict}
#: Keywords of definitions; and those of an object that says nothing of its properties.
_DEFINING = ("$defs", "definitions")
_PLAIN = frozenset(("type", "title", "description", "default", "examples", "writeOnly"))
_WITH_SCHEMAS = {"$ref"} | _ONE | _SOME | _NAMED
#: Keywords that would change what references mean, and those that OpenAPI has its own rules for.
_LEFT_OUT = frozenset(
    (
        *("$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$schema", "$vocabulary"),
        *("discriminator", "example", "externalDocs", "xml"),
    )
)

#: A definition at the top of a schema: its keyword and its name.
Definition = tuple[str, str]


class BadSchema(ValueError):
    """Something that is not a schema, or cannot be embedded: the place in it, and why."""


def has_reference(value: Any) -> bool:
    """Whether data looks as if it had a reference in it, which many tools would follow."""
    if isinstance(value, list):
        return any(map(has_reference, value))
    return isinstance(value, dict) and ("$ref" in value or any(map(has_reference, value.values())))


class Embedding:
    """One schema with its definitions, which become schemas of their own in the document.

    `pointer` is where it will be, such as "#/components/schemas/add". `definitions` are the
    pointers of what `definitions_of` finds. Raises BadSchema.
    """

    def __init__(self, root: Any, pointer: str, definitions: Mapping[Definition, str]) -> None:
        _check(root)
        self._root, self._pointer, self._definitions = root, pointer, definitions

    def whole(self) -> Any:
        """The schema, without its definitions."""
        return self._opened(self._root, "", _DEFINING)

    def definition(self, definition: Definition) -> Any:
        """One of its definitions."""
        keyword, name = definition
        return self._copy(self._root[keyword][name], ".".join(definition))

    def _opened(self, schema: Any, place: str, left_out: Collection[str] = ()) -> Any:
        """The copy of a schema that no other one is combined with.

        An object that may have any properties says so: some generators of clients would let it
        have none.
        """
        copied = self._copy(schema, place, left_out)
        if isinstance(copied, dict) and copied.get("type") == "object" and copied.keys() <= _PLAIN:
            copied["additionalProperties"] = True
        return copied

    def _copy(self, schema: Any, place: str, left_out: Collection[str] = ()) -> Any:
        if isinstance(schema, bool):
            return schema
        return {
            keyword: self._value(keyword, value, f"{place}.{keyword}" if place else keyword)
            for keyword, value in schema.items()
            if keyword not in _LEFT_OUT
            and keyword not in left_out
            and (keyword in _WITH_SCHEMAS or not has_reference(value))
        }

    def _value(self, keyword: str, value: Any, place: str) -> Any:
        if keyword == "$ref":
            return self._reference(value, place)
        if keyword in _ONE:
            copy = self._opened if keyword == "items" else self._copy
            return copy(value, place)
        if keyword in _SOME:
            return [self._copy(each, f"{place}[{n}]") for n, each in enumerate(value)]
        if keyword in _NAMED:
            copy = self._opened if keyword == "properties" else self._copy
            return {name: copy(each, f"{place}.{name}") for name, each in value.items()}
        return value

    def _reference(self, target: str, place: str) -> str:
        if not (target == "#" or target.startswith("#/")):
            raise BadSchema(f"{place} does not refer to a part of the same schema")
        if schema_at(self._root, target) is None:
            raise BadSchema(f"{place} refers to {target}, where there is no schema")
        parts = target.split("/")
        keyword, name = [*names_in(target)[:2], "", ""][:2]
        if (pointer := self._definitions.get((keyword, name))) is not None:
            return "/".join([pointer, *parts[3:]])
        return self._pointer + target[1:]


def _check(schema: Any) -> None:
    """Raise BadSchema unless this is a JSON Schema of 2020-12, whatever it says of itself."""
    if isinstance(schema, dict):
        schema = {keyword: value for keyword, value in schema.items() if keyword != "$schema"}
    try:
        jsonschema_rs.meta.validate(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as bad:
        place = ".".join(map(str, getattr(bad, "instance_path", ())))
        raise BadSchema(f"{place or 'it'} is not valid in JSON Schema") from bad


def definitions_of(schema: Any) -> Iterator[Definition]:
    """The definitions at the top of a schema."""
    for keyword in _DEFINING:
        defined = schema.get(keyword) if isinstance(schema, dict) else None
        if isinstance(defined, dict):
            yield from ((keyword, name) for name in defined)


def schema_at(root: Any, target: str) -> dict[str, Any] | bool | None:
    """The schema within `root` that a reference leads to; None if there is none."""
    names = names_in(target)
    found = root
    while names:
        keyword = names.pop(0)
        if not isinstance(found, dict) or keyword not in found:
            return None
        found = found[keyword]
        if keyword in _ONE:
            continue
        if not names or keyword not in _SOME | _NAMED:
            return None
        name = names.pop(0)
        if isinstance(found, list):
            found = dict(enumerate(found)).get(int(name)) if name.isdecimal() else None
        else:
            found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, (bool, dict)) else None
