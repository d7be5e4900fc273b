"""The keywords of JSON Schema: which hold schemas, and what the others may hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
ONE = frozenset(
    (
        *("additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"),
        *("propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
    )
)
SOME = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
NAMED = frozenset(("$defs", "definitions", "dependentSchemas", "patternProperties", "properties"))
#: Keywords of definitions; and those of an object that says nothing of its properties.
DEFINING = ("$defs", "definitions")
PLAIN = frozenset(("type", "title", "description", "default", "examples", "writeOnly"))
WITH_SCHEMAS = frozenset(("$ref",)) | ONE | SOME | NAMED
#: Keywords with other values, and what those must be. All others are taken as they are.
VALUES: dict[str, Callable[[Any], bool]] = {
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
LEFT_OUT = frozenset(
    (
        *("$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$schema", "$vocabulary"),
        *("discriminator", "example", "externalDocs", "xml"),
    )
)
