"""Schemas: kinds of values as annotated types, with one-line errors.

A Struct declares keys. Each key has a kind: an annotated type whose `Meta(description=…)` says in
words what the value must be. A plain string in a key's own annotation says what the key is for:

    Seconds = Annotated[float, Meta(description="a number of seconds above 0", gt=0)]

    class Gateway(Struct):
        wsgi_timeout: Annotated[Seconds, "Seconds to wait for a service's answer."] = 60.0

What the types cannot say is a function in `Meta(extra={"problem": function})`: it gets the value
and returns what is wrong with it, or None.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from shmooze.errors import SettingsError

#: wrong(key, problem): the exception that names the source of the values, the key and the problem
Wrong = Callable[[str, str], SettingsError]
S = TypeVar("S", bound=Struct)

#: Characters of a value that an error message shows.
_SHOWN = 60


class Key(Struct, frozen=True):
    """One key that a Struct declares."""

    kind: Any
    default: Any
    required: bool
    #: What it is for, in a sentence.
    meaning: str


@cache
def keys_of(struct: type[Struct]) -> dict[str, Key]:
    """The keys that a Struct declares, in order."""
    return {
        field.name: Key(field.type, _default(field), field.required, _meaning(field.type))
        for field in msgspec.structs.fields(struct)
    }


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def read(struct: type[S], values: Mapping[str, Any], wrong: Wrong) -> S:
    """The keys of `struct` in `values`, or else their defaults. Raises what `wrong` makes."""
    return struct(**check(struct, values, wrong))


def check(
    struct: type[Struct], values: Mapping[str, Any], wrong: Wrong, path: str = ""
) -> dict[str, Any]:
    """Those keys of `struct` that are in `values`. Raises what `wrong` makes for a mistake.

    `path` is the key under which `values` stand themselves. A key that `struct` does not declare
    is a mistake if it forbids unknown fields, and ignored otherwise.
    """
    prefix = f"{path}." if path else ""
    keys = keys_of(struct)
    if struct.__struct_config__.forbid_unknown_fields:
        for name in values:
            if name not in keys:
                hint = did_you_mean(name, keys)
                raise wrong(f"{prefix}{name}", f"is unknown;{hint} known: {', '.join(keys)}")
    found = {}
    for name, key in keys.items():
        if name in values:
            found[name] = _convert(key.kind, values[name], f"{prefix}{name}", wrong)
        elif key.required:
            raise wrong(f"{prefix}{name}", f"is missing; it must be {describe(key.kind)}")
    return found


def _convert(kind: Any, value: Any, path: str, wrong: Wrong) -> Any:
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    structs = [
        each for each in get_args(bare) if isinstance(each, type) and issubclass(each, Struct)
    ]
    if len(structs) == 1 and {*get_args(bare)} == {structs[0], type(None)}:
        bare = structs[0] if value is not None else bare
    if isinstance(bare, type) and issubclass(bare, Struct) and isinstance(value, dict):
        return bare(**check(bare, value, wrong, path))
    if get_origin(bare) is dict and isinstance(value, dict):
        name_kind, value_kind = get_args(bare)
        for name in value:
            if problem := _problem(name_kind, name):
                raise wrong(f"{path}.{name}", f"has a bad name: it {problem}")
        return {
            name: _convert(value_kind, each, f"{path}.{name}", wrong)
            for name, each in value.items()
        }
    if problem := _problem(kind, value):
        raise wrong(path, problem)
    return msgspec.convert(value, kind)


def _problem(kind: Any, value: Any) -> str | None:
    """What is wrong with a value; None where nothing is."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return f"must be {describe(kind)}, not {shown(value)}"
    for meta in _metas(kind):
        if meta.extra and (problem := meta.extra["problem"](value)):
            return str(problem)
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(bare) is list:
        for each in value:
            if problem := _problem(get_args(bare)[0], each):
                return f"has {shown(each)} in it, which {problem}"
    if len(choices := [each for each in get_args(bare) if each is not type(None)]) == 1:
        is_optional = type(None) in get_args(bare) and value is not None
        return _problem(choices[0], value) if is_optional else None
    return None


def did_you_mean(key: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A hint at the known key that was probably meant, after a space; empty where none is near.

    `cutoff`, from 0 to 1, says how near it must be.
    """
    # Imported here because mistakes are rare, and programs start sooner without it.
    from difflib import get_close_matches

    near = get_close_matches(key, known, 1, cutoff)
    return "".join(f" did you mean `{each}`?" for each in near)


def describe(kind: Any) -> str:
    """What a value of this kind must be, in words."""
    for meta in reversed(_metas(kind)):
        if meta.description:
            return meta.description
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(bare) is Literal:
        return f"one of {', '.join(json.dumps(each) for each in get_args(bare))}"
    if isinstance(bare, type) and issubclass(bare, Struct):
        required = [json.dumps(name) for name, key in keys_of(bare).items() if key.required]
        return f"an object with {', '.join(required)}" if required else "an object"
    choices = [each for each in get_args(bare) if each is not type(None)]
    if len(choices) < len(get_args(bare)):  # null is one of them
        return f"{describe(choices[0])}, or null"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
    words |= {list: "a list", dict: "an object"}
    return words.get(get_origin(bare) or bare, "a JSON value")


def shown(value: Any) -> str:
    """A value as it stands in a JSON file, in at most 60 characters; its repr if it is not JSON."""
    from shmooze.runtime.printable import printable

    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    text = printable(text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _metas(kind: Any) -> list[Meta]:
    metadata = getattr(kind, "__metadata__", ())
    return [each for each in metadata if isinstance(each, Meta)]


def _meaning(kind: Any) -> str:
    return "".join(each for each in getattr(kind, "__metadata__", ()) if isinstance(each, str))
