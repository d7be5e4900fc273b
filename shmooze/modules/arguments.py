"""The arguments of a command to a Python module, checked against the hints of its function.

The texts are those that a queue or pool uses for a type that has a description. Checked are types,
choices, bounds and lengths; patterns and formats are left to the queue or pool.

Loaded only for functions that have hints: standard library only, light, compatible with Python 3.8.
"""

from __future__ import annotations

import json
import operator

from shmooze.modules import hints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

#: The types of JSON Schema as messages call them.
_WORDS = {"integer": "int", "number": "float", "string": "str", "boolean": "bool"}
#: The types of JSON Schema that values of JSON have.
_KINDS = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}
_BOUNDS = (
    ("minimum", operator.ge, "at least"),
    ("maximum", operator.le, "at most"),
    ("exclusiveMinimum", operator.gt, "more than"),
    ("exclusiveMaximum", operator.lt, "less than"),
)
_LENGTHS = (
    ("string", "minLength", operator.ge, "at least", "character"),
    ("string", "maxLength", operator.le, "at most", "character"),
    ("array", "minItems", operator.ge, "at least", "element"),
    ("array", "maxItems", operator.le, "at most", "element"),
)
#: Characters that messages show of a value or of a name.
_SHOWN = 60


def check(function: Callable[..., Any], args: Any) -> str:
    """Describe the first argument that does not fit its hint; empty if all fit.

    Missing and unknown arguments are left to the call itself.
    """
    signature = hints.signature(function)
    if signature is None or not isinstance(args, dict):
        return ""
    for name, value in args.items():
        schema = signature.schema(name)
        problem = schema and _problem(value, schema, name)
        if problem:
            return problem
    return ""


def convert(function: Callable[..., Any], args: dict[str, Any]) -> dict[str, Any]:
    """Return arguments that fit, with an integral float such as 5.0 as an integer where the hint
    wants one. For JSON Schema, and so for the parent, that is an integer too.
    """
    signature = hints.signature(function)
    if signature is None:
        return args
    return {name: _convert(value, signature.schema(name)) for name, value in args.items()}


def _convert(value: Any, schema: Any) -> Any:
    if not isinstance(schema, dict):
        return value
    if "anyOf" in schema:
        return _convert(value, next(each for each in schema["anyOf"] if fits(value, each)))
    if isinstance(value, float):
        types = _list(schema.get("type", "number"))
        return int(value) if "integer" in types and "number" not in types else value
    if isinstance(value, list) and "items" in schema:
        return [_convert(each, schema["items"]) for each in value]
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        return {name: _convert(each, properties.get(name, others)) for name, each in value.items()}
    return value


def fits(value: Any, schema: Any) -> bool:
    """Return True if a schema allows a value, as far as it is checked here."""
    return not _problem(value, schema, "")


def _problem(value: Any, schema: Any, path: str) -> str:
    """Describe the first thing that is wrong with a value; empty if nothing is."""
    if not isinstance(schema, dict):
        return ""  # true, which allows everything
    kind = _KINDS.get(type(value), "")
    if schema == {"type": kind}:
        return ""  # as for most arguments
    allowed = _list(schema.get("type", kind))
    if not _is(value, kind, allowed):
        return f"argument {_quote(path)}: {_expected(allowed, kind)}"
    own = _own_problem(value, kind, schema)
    if own:
        return f"argument {_quote(path)}: {own}"
    if "anyOf" in schema and not any(fits(value, each) for each in schema["anyOf"]):
        forms = [_inner(schema, each) for each in schema["anyOf"]]
        return _problem_of_any(value, kind, forms, path)
    if kind == "array" and "items" in schema:
        items = _inner(schema, schema["items"])
        return _first(_problem(each, items, f"{path}[{index}]") for index, each in enumerate(value))
    return _problem_inside(value, schema, path) if kind == "object" else ""


def _own_problem(value: Any, kind: str, schema: dict[str, Any]) -> str:
    """Describe what is wrong with a value of the right type, whatever it contains."""
    if "enum" in schema and not any(_equal(value, each) for each in schema["enum"]):
        return f"must be one of {', '.join(map(_show, schema['enum']))}{_got(value, schema)}"
    if "const" in schema and not _equal(value, schema["const"]):
        return f"must be {_show(schema['const'])}{_got(value, schema)}"
    if kind in ("integer", "number"):
        for key, is_within, words in _BOUNDS:
            if key in schema and not is_within(value, schema[key]):
                return f"must be {words} {schema[key]}{_got(value, schema)}"
    elif kind in ("string", "array"):
        for of, key, is_within, words, noun in _LENGTHS:
            if of == kind and key in schema and not is_within(len(value), schema[key]):
                nouns = noun if schema[key] == 1 else f"{noun}s"
                return f"must have {words} {schema[key]} {nouns}, got {len(value)}"
    return ""


def _problem_inside(value: dict[str, Any], schema: dict[str, Any], path: str) -> str:
    """Describe what is wrong with the values of an object."""
    for name in schema.get("required", ()):
        if name not in value:
            return f"argument {_quote(f'{path}.{name}')} is missing"
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for name in value:
        if properties.get(name, others) is False:
            known = ", ".join(map(_quote, properties)) or "none"
            return f"unknown argument {_quote(f'{path}.{name}')}; known: {known}"
    inside = {name: _inner(schema, properties.get(name, others)) for name in value}
    return _first(_problem(value[name], each, f"{path}.{name}") for name, each in inside.items())


def _problem_of_any(value: Any, kind: str, schemas: Any, path: str) -> str:
    """Describe what is wrong with a value that fits none of several schemas."""
    of_kind = [each for each in schemas if _is(value, kind, _list(each.get("type", kind)))]
    if len(of_kind) == 1:
        return _problem(value, of_kind[0], path)
    if of_kind:
        return f"argument {_quote(path)}: fits none of the forms that are allowed"
    types = [kind for each in schemas for kind in _list(each["type"])]
    return f"argument {_quote(path)}: {_expected(types, kind)}"


def _first(problems: Iterator[str]) -> str:
    return next(filter(None, problems), "")


def _got(value: Any, schema: dict[str, Any]) -> str:
    return "" if schema.get("writeOnly") else f", got {_show(value)}"  # a secret is not shown


def _expected(types: list[str], kind: str) -> str:
    types = sorted(types, key=lambda each: each == "null")  # null comes last
    words = " | ".join(_WORDS.get(each, each) for each in types)
    return f"expected `{words}`, got `{_WORDS.get(kind, kind)}`"


def _is(value: Any, kind: str, allowed: list[str]) -> bool:
    if kind == "number" and "integer" in allowed:
        return "number" in allowed or bool(value.is_integer())
    return kind in allowed or (kind == "integer" and "number" in allowed)


def _inner(schema: dict[str, Any], inner: Any) -> Any:
    """The schema of a part of a value: a part of a secret is a secret."""
    is_secret = schema.get("writeOnly") and isinstance(inner, dict)
    return {**inner, "writeOnly": True} if is_secret else inner


def _list(types: Any) -> list[str]:
    return [types] if isinstance(types, str) else types


def _equal(value: Any, other: Any) -> bool:
    """Compare as JSON does, where true is not 1."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _show(value: Any) -> str:
    return _shorten(json.dumps(value, ensure_ascii=False))


def _quote(path: str) -> str:
    return f"`{_shorten(path)}`"


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
