"""JSON Schemas as shmz reads them: which kinds, choices and properties a value may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

#: How many references and alternatives are followed from one schema: they may form a circle.
MAX_STEPS = 100

#: Names of kinds, as the errors of services have them.
WORDS = {"integer": "int", "number": "float", "string": "str", "boolean": "bool"}


def parts_of(schema: Any, root: Schema) -> Iterator[Schema]:
    """Yield the schema, and those that it refers to or combines, without those of its parts."""
    waiting, steps = [schema], 0
    while waiting and steps < MAX_STEPS:
        part, steps = waiting.pop(0), steps + 1
        if not isinstance(part, dict):
            continue
        yield part
        for key in ("allOf", "anyOf", "oneOf"):
            waiting += part[key] if isinstance(part.get(key), list) else []
        if isinstance(part.get("$ref"), str):
            waiting.append(resolve(part["$ref"], root))


def resolve(reference: str, root: Schema) -> Any:
    """Return what a reference within the schema points to; None if there is no such thing."""
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, dict) else None
    return found


def kinds_of(schema: Any, root: Schema) -> list[str]:
    """Return the JSON types that a value may have; empty if any."""
    kinds: list[str] = []
    for part in parts_of(schema, root):
        named = part.get("type", [])
        kinds += [named] if isinstance(named, str) else named if isinstance(named, list) else []
        kinds += [kind_of(value) for value in own_choices(part)]
    return list(dict.fromkeys(kind for kind in kinds if isinstance(kind, str)))


def kind_of(value: Any) -> str:
    """Return the JSON type of a value."""
    if isinstance(value, bool):
        return "boolean"
    names: dict[type, str] = {int: "integer", float: "number", str: "string", list: "array"}
    return names.get(type(value), "null" if value is None else "object")


def own_choices(part: Schema) -> list[Any]:
    if "const" in part:
        return [part["const"]]
    return part["enum"] if isinstance(part.get("enum"), list) else []


def choices_of(schema: Any, root: Schema) -> list[Any]:
    """Return the values of which one must be chosen; empty if others may be possible."""
    return [value for part in parts_of(schema, root) for value in own_choices(part)]


def properties_of(args: Schema) -> dict[str, Any]:
    """Return the schemas of the arguments by their names."""
    found: dict[str, Any] = {}
    for part in parts_of(args, args):
        properties = part.get("properties")
        found = {**(properties if isinstance(properties, dict) else {}), **found}
    return found


def required_of(args: Schema) -> list[str]:
    """Return the names of the arguments that must be given."""
    required = args.get("required")
    return (
        [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    )


def is_secret(schema: Any, root: Schema) -> bool:
    return any(part.get("writeOnly") is True for part in parts_of(schema, root))


def first(schema: Any, root: Schema, key: str) -> Any:
    """Return the first value of a key in the schema and those that it refers to, or None."""
    return next((part[key] for part in parts_of(schema, root) if key in part), None)
