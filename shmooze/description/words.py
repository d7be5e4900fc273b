"""What is wrong with arguments, in words for the client that has sent them.

The texts are those of the commands of services, and of modules that check their type hints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from shmooze.runtime.json_schema import pointer, target
from shmooze.runtime.schema import shown

#: The types of JSON Schema, as type hints of commands name them.
_TYPES = {
    "integer": "int",
    "number": "float",
    "string": "str",
    "boolean": "bool",
    "array": "array",
    "object": "object",
    "null": "null",
}
_FORMATS = {
    "date-time": "a date and time, such as 2026-01-31T12:00:00Z",
    "date": "a date, such as 2026-01-31",
    "time": "a time, such as 12:00:00Z",
    "duration": "a duration, such as PT30S",
    "email": "an email address",
    "uri": "a URI, such as https://example.org/",
    "uuid": "a UUID",
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "hostname": "a host name",
    "regex": "a regular expression",
}
_PLAIN_NAME = re.compile(r"[\w-]+")
#: Characters of a name that a message shows, and known names.
_NAME, _KNOWN = 60, 30


def explain(
    error: Any,
    args: dict[str, Any],
    schema: Any,
    is_secret: Callable[[Sequence[str | int]], bool],
) -> str:
    """What is wrong with args, such as "argument `seconds`: must be at least 1, got 0".

    `error` is a ValidationError of jsonschema_rs, `schema` the one of the args. Values of arguments
    that are secret are not shown.
    """
    error = _relevant(error)
    path, kind, name = list(error.instance_path), error.kind, error.kind.name
    if name == "required":
        return f"argument {_quoted([*path, kind.property])} is missing"
    if name in ("additionalProperties", "unevaluatedProperties"):
        unknown = f"unknown argument {_quoted([*path, kind.unexpected[0]])}"
        return f"{unknown}; known: {_known(error, schema)}"
    if name == "falseSchema" and error.schema_path[-1] == "additionalProperties":
        # No name is known at all. The error has the value of the first one, and not its name.
        first = next(iter(_at(path, args)))
        return f"unknown argument {_quoted([*path, first])}; known: none"
    problem = _problem(error, is_secret(path))
    return f"argument {_quoted(path)}: {problem}" if path else f"arguments: {problem}"


def problem_of(error: Any, levels: int | None = 0) -> str:
    """What is wrong with a value that has no name, such as "must be at least 1, got 0".

    The place in it is named, without its first `levels`; None: it is not.
    """
    path = [] if levels is None else list(error.instance_path)[levels:]
    if error.kind.name == "required":
        return f"{_quoted([*path, error.kind.property])} is missing"
    problem = _problem(error, False)
    return f"{_quoted(path)}: {problem}" if path else problem


def _problem(error: Any, is_secret: bool) -> str:
    kind, value = error.kind, error.instance
    name, got = kind.name, "" if is_secret else f", got {shown(value)}"
    if name == "type":
        return f"expected `{_types(kind.types)}`, got `{type_of(value)}`"
    if name == "enum":
        return f"must be one of {_listed(map(shown, kind.options))}{got}"
    if name in ("anyOf", "oneOf"):
        return _problem_of_choice(error, got)
    if name == "propertyNames":
        return f"has a name that is not allowed: {_problem(kind.error, is_secret)}"
    if name in ("additionalProperties", "unevaluatedProperties"):
        return f"has the unknown key {_quoted(kind.unexpected[:1])}"
    words = _BY_KEYWORD.get(name)
    if words is None:
        return f"is not allowed by `{name}` in the description of the type"
    return words(kind, value) + (got if name in _SHOW_VALUE else "")


_SHOW_VALUE = {
    *("const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("pattern", "format"),
}
_BY_KEYWORD: dict[str, Callable[[Any, Any], str]] = {
    "const": lambda kind, value: f"must be {shown(kind.expected_value)}",
    "minimum": lambda kind, value: f"must be at least {kind.limit}",
    "maximum": lambda kind, value: f"must be at most {kind.limit}",
    "exclusiveMinimum": lambda kind, value: f"must be more than {kind.limit}",
    "exclusiveMaximum": lambda kind, value: f"must be less than {kind.limit}",
    "multipleOf": lambda kind, value: f"must be a multiple of {kind.multiple_of}",
    "minLength": lambda kind, value: _count("at least", kind.limit, "character", value),
    "maxLength": lambda kind, value: _count("at most", kind.limit, "character", value),
    "minItems": lambda kind, value: _count("at least", kind.limit, "element", value),
    "maxItems": lambda kind, value: _count("at most", kind.limit, "element", value),
    "minProperties": lambda kind, value: _count("at least", kind.limit, "key", value),
    "maxProperties": lambda kind, value: _count("at most", kind.limit, "key", value),
    "uniqueItems": lambda kind, value: "must not have the same element twice",
    "contains": lambda kind, value: "lacks an element that it must have",
    "pattern": lambda kind, value: f"must match the pattern `{_short(kind.pattern)}`",
    "format": lambda kind, value: f"must be {_FORMATS.get(kind.format, f'a {kind.format}')}",
    "falseSchema": lambda kind, value: "is not allowed",
    "not": lambda kind, value: "has a value that is not allowed",
    "unevaluatedItems": lambda kind, value: "has too many elements",
}


def _problem_of_choice(error: Any, got: str) -> str:
    """What is wrong with a value of which one of several schemas must hold."""
    if type(error.kind).__name__ == "OneOfMultipleValid":
        return "fits more than one of the forms that are allowed"
    firsts, here = _first_errors(error), list(error.instance_path)
    if firsts and all(_is_about("type", each, here) for each in firsts):
        types = [each for error in firsts for each in error.kind.types]
        return f"expected `{_types(dict.fromkeys(types))}`, got `{type_of(error.instance)}`"
    if firsts and all(_is_about("const", each, here) for each in firsts):
        return f"must be one of {_listed(shown(each.kind.expected_value) for each in firsts)}{got}"
    return "fits none of the forms that are allowed"


def _relevant(error: Any) -> Any:
    """The error itself; if all but one of several schemas are for values of other types, the error
    of that one.
    """
    while error.kind.name in ("anyOf", "oneOf"):
        here = list(error.instance_path)
        others = [each for each in _first_errors(error) if not _is_about("type", each, here)]
        if len(others) != 1:
            break
        error = others[0]
    return error


def _first_errors(error: Any) -> list[Any]:
    """What is wrong according to each of several schemas."""
    return [errors[0] for errors in getattr(error.kind, "context", ()) if errors]


def _is_about(keyword: str, error: Any, path: list[str | int]) -> bool:
    return error.kind.name == keyword and list(error.instance_path) == path


def type_of(value: Any) -> str:
    """The type of a JSON value, as type hints of commands name it."""
    if value is None:
        return "null"
    if isinstance(value, (list, tuple)):
        return "array"
    return "object" if isinstance(value, dict) else type(value).__name__


def _types(types: Iterable[str]) -> str:
    """Types in words, `null` last."""
    names = sorted(types, key=lambda each: each == "null")
    return " | ".join(_TYPES.get(each, each) for each in names)


def _count(limit: str, number: int, noun: str, value: Any) -> str:
    plural = noun if number == 1 else f"{noun}s"
    return f"must have {limit} {number} {plural}, got {len(value)}"


def _at(path: Sequence[str | int], value: Any) -> Any:
    for step in path:
        value = value[step]
    return value


def _quoted(path: Sequence[str | int]) -> str:
    """A place in the arguments, such as `colours[2].red`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_NAME.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]" if text else step
    return f"`{_short(text)}`"


def _known(error: Any, schema: Any) -> str:
    """The names that the object may have of which one is unknown."""
    try:
        place = target(schema, pointer(error.schema_path[:-1]))
        names = list(place.get("properties", {}))
    except (LookupError, AttributeError):
        names = []
    return _listed(f"`{_short(name)}`" for name in names) or "none"


def _listed(words: Iterable[str]) -> str:
    listed = list(words)
    more = [f"{len(listed) - _KNOWN} more"] if len(listed) > _KNOWN else []
    return ", ".join([*listed[:_KNOWN], *more])


def _short(text: str) -> str:
    return text if len(text) <= _NAME else f"{text[: _NAME - 3]}..."
