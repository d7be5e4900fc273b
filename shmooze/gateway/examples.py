"""Examples: the shortest value that a schema allows, for people to start from."""

from __future__ import annotations

from typing import Any

from shmooze.gateway.embedding import has_reference, schema_at

#: Levels of a schema below which an example is left empty.
_DEEPEST = 8

_BY_TYPE: dict[str, Any] = {"array": [], "boolean": False, "null": None}


def example_of(schema: Any) -> Any:
    """A value with what is required and no more, of a schema that can be embedded.

    It need not be valid: patterns and conditions are not solved.
    """
    return _example(schema, schema, "text", 0)


def _example(schema: Any, root: Any, name: str, depth: int) -> Any:
    """The same for a part of the schema `root`. `name` is used for texts."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return {}
    if "$ref" in schema:
        return _example(schema_at(root, schema["$ref"]), root, name, depth + 1)
    given = [schema[each] for each in ("const", "default") if each in schema]
    given += [schema[each][0] for each in ("examples", "enum") if schema.get(each)]
    for value in given:
        if not has_reference(value):
            return value
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return _example(schema[keyword][0], root, name, depth + 1)
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        properties = schema.get("properties", {})
        return {
            each: _example(properties.get(each), root, each, depth + 1)
            for each in schema.get("required", [])
        }
    if kind == "array" and schema.get("minItems", 0) > 0:
        return [_example(schema.get("items"), root, name, depth + 1)]
    if kind in ("number", "integer"):
        return max(schema.get("minimum", 0), 0)
    return name.upper() if kind == "string" else _BY_TYPE[kind]
