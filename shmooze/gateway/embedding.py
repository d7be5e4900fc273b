"""Embedding: JSON Schemas of services as parts of a document, their references included.

Services may send anything, so a schema is checked as far as viewers rely on it, and nothing in it
can make a viewer load something from elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from shmooze.gateway.keywords import (
    DEFINING,
    LEFT_OUT,
    NAMED,
    ONE,
    PLAIN,
    SOME,
    VALUES,
    WITH_SCHEMAS,
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
        self._root, self._pointer, self._definitions = root, pointer, definitions

    def whole(self) -> Any:
        """The schema, without its definitions."""
        return self._opened(self._root, "", DEFINING)

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
        if isinstance(copied, dict) and copied.get("type") == "object" and copied.keys() <= PLAIN:
            copied["additionalProperties"] = True
        return copied

    def _copy(self, schema: Any, place: str, left_out: Collection[str] = ()) -> Any:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise BadSchema(f"{place or 'it'} is not a schema")
        return {
            keyword: self._value(keyword, value, f"{place}.{keyword}" if place else keyword)
            for keyword, value in schema.items()
            if keyword not in LEFT_OUT
            and keyword not in left_out
            and (keyword in WITH_SCHEMAS or not has_reference(value))
        }

    def _value(self, keyword: str, value: Any, place: str) -> Any:
        if keyword == "$ref":
            return self._reference(value, place)
        if keyword in ONE:
            copy = self._opened if keyword == "items" else self._copy
            return copy(value, place)
        if keyword in SOME:
            if not isinstance(value, list) or not value:
                raise BadSchema(f"{place} is not a list of schemas")
            return [self._copy(each, f"{place}[{n}]") for n, each in enumerate(value)]
        if keyword in NAMED:
            if not isinstance(value, dict):
                raise BadSchema(f"{place} is not an object of schemas")
            copy = self._opened if keyword == "properties" else self._copy
            return {name: copy(each, f"{place}.{name}") for name, each in value.items()}
        if keyword in VALUES and not VALUES[keyword](value):
            raise BadSchema(f"{place} has an unsuitable value")
        return value

    def _reference(self, target: Any, place: str) -> str:
        if not isinstance(target, str) or not (target == "#" or target.startswith("#/")):
            raise BadSchema(f"{place} does not refer to a part of the same schema")
        if schema_at(self._root, target) is None:
            raise BadSchema(f"{place} refers to {target}, where there is no schema")
        parts = target.split("/")
        keyword, name = [*map(_unescaped, parts[1:3]), "", ""][:2]
        if (pointer := self._definitions.get((keyword, name))) is not None:
            return "/".join([pointer, *parts[3:]])
        return self._pointer + target[1:]


def definitions_of(schema: Any) -> Iterator[Definition]:
    """The definitions at the top of a schema."""
    for keyword in DEFINING:
        defined = schema.get(keyword) if isinstance(schema, dict) else None
        if isinstance(defined, dict):
            yield from ((keyword, name) for name in defined)


def schema_at(root: Any, target: str) -> dict[str, Any] | bool | None:
    """The schema within `root` that a reference leads to; None if there is none."""
    names = list(map(_unescaped, target.split("/")[1:]))
    found = root
    while names:
        keyword = names.pop(0)
        if not isinstance(found, dict) or keyword not in found:
            return None
        found = found[keyword]
        if keyword in ONE:
            continue
        if not names or keyword not in SOME | NAMED:
            return None
        name = names.pop(0)
        if isinstance(found, list):
            found = dict(enumerate(found)).get(int(name)) if name.isdecimal() else None
        else:
            found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, (bool, dict)) else None


def _unescaped(part: str) -> str:
    """A part of a JSON pointer in a URL."""
    return unquote(part).replace("~1", "/").replace("~0", "~")
