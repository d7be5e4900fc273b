"""Values that fit a schema, as far as that is easy to see."""

from __future__ import annotations

from typing import Any

_PLAIN = {"string": "x", "boolean": False, "null": None}


def sample(schema: Any) -> Any:
    """A value for a schema: an example, its default, a choice, or a small one of its type."""
    if not isinstance(schema, dict):
        return 1
    for keyword in ("examples", "enum"):
        if schema.get(keyword):
            return schema[keyword][0]
    for keyword in ("default", "const"):
        if keyword in schema:
            return schema[keyword]
    kind = schema.get("type", "integer")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "array":
        return [sample(schema.get("items", {})) for _ in range(schema.get("minItems", 0))]
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: sample(properties.get(name)) for name in schema.get("required", [])}
    if kind == "string":
        return "x" * max(1, schema.get("minLength", 1))
    return _PLAIN.get(kind)


def _number(schema: dict[str, Any]) -> Any:
    if "minimum" in schema:
        return schema["minimum"]
    if "exclusiveMinimum" in schema:
        return schema["exclusiveMinimum"] + 1
    return min(1, schema.get("maximum", 1))
