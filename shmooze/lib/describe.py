"""Descriptions of services: what clients can send, from the functions of the commands.

`describe` answers with

    {"name", "description", "events": BOOL,
     "commands": {NAME: {"description", "args": SCHEMA, "result"?: SCHEMA, "changes": BOOL}}}

The schemas are JSON Schemas (2020-12) made from type hints and defaults; `description` is the
docstring. A command without hints is described by the names of its arguments alone. Subclasses of
JSONCommandProcessor extend the answer in `described`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec

from shmooze.errors import PacketError
from shmooze.lib.arguments import signature_of
from shmooze.runtime import jsonsafe
from shmooze.runtime.program import name_of

#: Bytes up to which a default is shown.
MAX_DEFAULT = 4096

#: Where a schema has the types that it refers to.
_DEFINITIONS = "#/$defs/{name}"


def describe_service(
    service: object, commands: Mapping[str, Callable[..., Any]], reading: frozenset[str]
) -> dict[str, Any]:
    """The description of a service with these commands. Those in `reading` change nothing."""
    return {
        "name": name_of(service),
        "description": _description_of(type(service)),
        "commands": {
            cmd: {**describe_command(function), "changes": cmd not in reading}
            for cmd, function in commands.items()
        },
        "events": False,
    }


@cache
def describe_command(function: Callable[..., Any]) -> dict[str, Any]:
    """What a command takes and returns: {"description", "args": SCHEMA, "result"?: SCHEMA}."""
    described: dict[str, Any] = {"description": _doc(function)}
    try:
        signature = signature_of(function)
    except Exception:  # of the hints, which may be any code: a call will say what is wrong
        return {**described, "args": {"type": "object"}}
    names = list(signature.required)
    hints = {name: signature.types.get(name, Any) for name in names}
    if "return" in signature.types:
        hints["return"] = signature.types["return"]
    schemas, definitions = _schemas(hints)
    result = schemas.pop("return", {})
    for name, default in signature.defaults.items():
        value = _as_json(default, signature.types.get(name, Any))
        if value is not msgspec.UNSET:
            schemas[name] = {**schemas[name], "default": value}
    args: dict[str, Any] = {
        "type": "object",
        "properties": schemas,
        "required": [name for name in names if signature.required[name]],
        "additionalProperties": signature.accepts_others,
    }
    described["args"] = _with_definitions(args, definitions)
    if result:
        described["result"] = _with_definitions(result, definitions)
    return described


def _schemas(hints: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema for each hint, and the types that the schemas refer to.

    {} stands for any JSON value, also where a hint has no schema.
    """
    expressible = {name: hint if _has_schema(hint) else Any for name, hint in hints.items()}
    schemas, definitions = msgspec.json.schema_components(
        expressible.values(), ref_template=_DEFINITIONS
    )
    return dict(zip(expressible, schemas, strict=True)), definitions


def _has_schema(hint: Any) -> bool:
    try:
        msgspec.json.schema(hint)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _with_definitions(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A schema with those of the types that it refers to, directly or through another one."""
    needed: dict[str, Any] = {}
    found = _references(schema)
    while found:
        name = found.pop()
        if name not in needed:
            needed[name] = definitions[name]
            found |= _references(definitions[name])
    return {**schema, "$defs": needed} if needed else schema


def _references(schema: Any) -> set[str]:
    """The names of the types that a schema of ours refers to."""
    if isinstance(schema, list):
        return set().union(*map(_references, schema))
    if not isinstance(schema, dict):
        return set()
    names = set().union(*map(_references, schema.values()))
    if isinstance(target := schema.get("$ref"), str):
        names.add(target.removeprefix(_DEFINITIONS.format(name="")))
    return names


def _as_json(default: Any, hint: Any) -> Any:
    """A default as a JSON value; UNSET for one that a client cannot send, or too long to show."""
    try:
        encoded = msgspec.json.encode(default)
        value = jsonsafe.decode(encoded)
        msgspec.convert(value, hint)  # None may be the default of an `int`
        # NaN is encoded as null, for one.
        is_same = value == msgspec.to_builtins(default, str_keys=True)
    except (TypeError, ValueError, RecursionError, PacketError):
        return msgspec.UNSET
    return value if is_same and len(encoded) <= MAX_DEFAULT else msgspec.UNSET


def _doc(documented: Any) -> str:
    """The docstring of a function or class itself, unindented."""
    if not (inspect.isroutine(documented) or inspect.isclass(documented)):
        return ""  # that of a partial function, for one, is about partial functions
    return inspect.cleandoc(documented.__doc__ or "")


def _description_of(service: type) -> str:
    """The docstring of a service, or that of what it derives from, but not that of our bases."""
    for each in service.__mro__:
        if each is object or each.__module__.startswith("shmooze.lib."):
            break
        if doc := _doc(each):
            return doc
    return ""
