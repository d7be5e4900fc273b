"""Embedding: JSON Schemas of services as parts of a document, their references included.

Services may send anything, so a schema is checked as far as viewers rely on it, and nothing in it
can make a viewer load something from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote


class BadSchema(ValueError):
    """Something that is not a schema, or cannot be embedded: the place in it, and why."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_type(value: Any) -> bool:
    named = value if isinstance(value, list) else [value]
    return bool(named) and _is_names(named) and _TYPES.issuperset(named)


def _is_names_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_names, value.values()))


_TYPES = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))

#: Keywords whose value is a schema; a list of schemas; an object of schemas.
_ONE = frozenset(
    (
        *("additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"),
        *("propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
    )
)
_SOME = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED = frozenset(("$defs", "definitions", "dependentSchemas", "patternProperties", "properties"))
_WITH_SCHEMAS = frozenset(("$ref",)) | _ONE | _SOME | _NAMED
#: Keywords with other values, and what those must be. All others are taken as they are.
_VALUES: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("$comment", "contentEncoding", "contentMediaType"), _is_text),
    **dict.fromkeys(("description", "format", "pattern", "title"), _is_text),
    **dict.fromkeys(("deprecated", "readOnly", "uniqueItems", "writeOnly"), _is_flag),
    **dict.fromkeys(("maximum", "minimum"), _is_number),
    **dict.fromkeys(("exclusiveMaximum", "exclusiveMinimum"), _is_number),
    **dict.fromkeys(("maxContains", "maxItems", "maxLength", "maxProperties"), _is_count),
    **dict.fromkeys(("minContains", "minItems", "minLength", "minProperties"), _is_count),
    **dict.fromkeys(("enum", "examples"), _is_list),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "required": _is_names,
    "type": _is_type,
    "dependentRequired": _is_names_by_name,
}
#: Keywords that would change what references mean, and those that OpenAPI has its own rules for.
_LEFT_OUT = frozenset(
    (
        *("$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$schema", "$vocabulary"),
        *("discriminator", "example", "externalDocs", "xml"),
    )
)


def embed(schema: Any, pointer: str) -> Any:
    """A schema as it stands at `pointer` of a document, such as "#/components/schemas/add".

    Raises BadSchema.
    """
    return _Embedding(schema, pointer).copy(schema, "")


def has_reference(value: Any) -> bool:
    """Whether data looks as if it had a reference in it, which many tools would follow."""
    if isinstance(value, list):
        return any(map(has_reference, value))
    return isinstance(value, dict) and ("$ref" in value or any(map(has_reference, value.values())))


class _Embedding:
    def __init__(self, root: Any, pointer: str) -> None:
        self._root, self._pointer = root, pointer

    def copy(self, schema: Any, place: str) -> Any:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise BadSchema(f"{place or 'it'} is not a schema")
        return {
            keyword: self._value(keyword, value, f"{place}.{keyword}" if place else keyword)
            for keyword, value in schema.items()
            if keyword not in _LEFT_OUT and (keyword in _WITH_SCHEMAS or not has_reference(value))
        }

    def _value(self, keyword: str, value: Any, place: str) -> Any:
        if keyword == "$ref":
            return self._reference(value, place)
        if keyword in _ONE:
            return self.copy(value, place)
        if keyword in _SOME:
            if not isinstance(value, list) or not value:
                raise BadSchema(f"{place} is not a list of schemas")
            return [self.copy(each, f"{place}[{n}]") for n, each in enumerate(value)]
        if keyword in _NAMED:
            if not isinstance(value, dict):
                raise BadSchema(f"{place} is not an object of schemas")
            return {name: self.copy(each, f"{place}.{name}") for name, each in value.items()}
        if keyword in _VALUES and not _VALUES[keyword](value):
            raise BadSchema(f"{place} has an unsuitable value")
        return value

    def _reference(self, target: Any, place: str) -> str:
        if not isinstance(target, str) or not (target == "#" or target.startswith("#/")):
            raise BadSchema(f"{place} does not refer to a part of the same schema")
        if schema_at(self._root, target) is None:
            raise BadSchema(f"{place} refers to {target}, where there is no schema")
        return self._pointer + target[1:]


def schema_at(root: Any, target: str) -> dict[str, Any] | bool | None:
    """The schema within `root` that a reference leads to; None if there is none."""
    names = [unquote(part).replace("~1", "/").replace("~0", "~") for part in target.split("/")[1:]]
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
