"""Walking a JSON Schema: the schemas that it consists of, and what each of them applies to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

#: Keywords whose schemas apply to the same value: lists of them, single ones, objects of them.
_SAME: dict[str, type | None] = {
    "allOf": list,
    "anyOf": list,
    "oneOf": list,
    "not": None,
    "if": None,
    "then": None,
}
_SAME |= {"else": None, "dependentSchemas": dict}
#: Keywords whose schemas apply to values of an object, or to elements of an array.
_INSIDE: dict[str, type | None] = {
    "properties": dict,
    "patternProperties": dict,
    "additionalProperties": None,
}
_INSIDE |= {"unevaluatedProperties": None, "propertyNames": None, "items": None, "contains": None}
_INSIDE |= {"unevaluatedItems": None, "prefixItems": list}
#: The keyword whose schemas apply to nothing until one refers to them.
_DEFINITIONS: dict[str, type | None] = {"$defs": dict, "definitions": dict}
_APPLYING = {**_SAME, **_INSIDE}
#: All keywords that hold schemas: a list, an object by name, or (None) a single one.
KEYWORDS = {**_APPLYING, **_DEFINITIONS}


class Step(NamedTuple):
    """From a schema to one that it consists of."""

    keyword: str
    #: Name or index below the keyword; None: the schema is the keyword's value.
    key: str | int | None
    schema: Any

    @property
    def path(self) -> tuple[str | int, ...]:
        """Where it is, seen from the schema."""
        return (self.keyword,) if self.key is None else (self.keyword, self.key)

    @property
    def is_inside(self) -> bool:
        """Whether it applies to a part of the value that the schema applies to."""
        return self.keyword in _INSIDE


def steps(schema: Any) -> Iterator[Step]:
    """The schemas that apply to a value, or to parts of it, because `schema` applies to it."""
    return _steps(schema, _APPLYING)


def everything(schema: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Each schema within a schema, itself included, with its path."""
    yield path, schema
    for step in _steps(schema, KEYWORDS):
        yield from everything(step.schema, (*path, *step.path))


def target(root: Any, reference: str) -> Any:
    """The schema that a reference within `root` points to, such as `#/$defs/colour`.

    Raises LookupError.
    """
    place = root
    for word in names_in(reference):
        if isinstance(place, list) and word.isdecimal():
            place = place[int(word)]
        elif isinstance(place, dict):
            place = place[word]
        else:
            raise LookupError(reference)
    if not isinstance(place, (dict, bool)):
        raise LookupError(reference)
    return place


def names_in(reference: str) -> list[str]:
    """The names in a reference, which is the fragment of a URL with a JSON pointer in it."""
    parts = reference.removeprefix("#").split("/")[1:]
    return [unquote(part).replace("~1", "/").replace("~0", "~") for part in parts]


def pointer(names: Iterable[str | int]) -> str:
    """The reference that consists of these names."""
    parts = (quote(str(name).replace("~", "~0").replace("/", "~1")) for name in names)
    return "/".join(["#", *parts])


def _steps(schema: Any, keywords: dict[str, type | None]) -> Iterator[Step]:
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        if keyword not in keywords:
            continue
        kind = keywords[keyword]
        if kind is list and isinstance(value, list):
            yield from (Step(keyword, index, each) for index, each in enumerate(value))
        elif kind is dict and isinstance(value, dict):
            yield from (Step(keyword, name, each) for name, each in value.items())
        elif kind is None and isinstance(value, (dict, bool)):
            yield Step(keyword, None, value)
