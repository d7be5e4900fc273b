"""The arguments of a command, checked against the signature and type hints of its function."""

from __future__ import annotations

import inspect
import logging
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import msgspec

from shmooze.errors import CommandError

log = logging.getLogger(__name__)


class Signature(NamedTuple):
    """What a command's function accepts, besides self."""

    #: Names of the arguments, and whether each is required.
    required: dict[str, bool]
    #: The defaults of those that are not.
    defaults: dict[str, Any]
    #: Type hints of arguments and of `return`, as far as JSON values can be checked against them.
    types: dict[str, Any]
    #: Whether it accepts arguments of other names.
    accepts_others: bool


def bind(cmd: str, function: Callable[..., Any], args: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a command as `function` takes them.

    Raises CommandError that names the argument which is missing, unknown, or not of the type that
    the function's type hint says.
    """
    signature = signature_of(function)
    for name, is_required in signature.required.items():
        if is_required and name not in args:
            raise CommandError(f"{cmd}: argument `{name}` is missing")
    bound = {}
    for name, value in args.items():
        if name not in signature.required and not signature.accepts_others:
            known = ", ".join(f"`{each}`" for each in signature.required) or "none"
            raise CommandError(f"{cmd}: unknown argument `{name}`; known: {known}")
        try:
            types = signature.types
            bound[name] = msgspec.convert(value, types[name]) if name in types else value
        except msgspec.ValidationError as bad:
            raise CommandError(f"{cmd}: argument `{name}`: {bad}") from bad
    return bound


@cache
def signature_of(function: Callable[..., Any]) -> Signature:
    """What the function of a command accepts."""
    parameters = list(inspect.signature(function).parameters.values())[1:]  # without self
    named = [
        each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    types = {}
    for name, hint in typing.get_type_hints(function, include_extras=True).items():
        hint = _as_written(hint)
        try:
            msgspec.json.Decoder(hint)  # raises for types that JSON values have no counterpart of
            types[name] = hint
        except TypeError:
            log.warning("%s: type hint of `%s` cannot be checked", function.__qualname__, name)
    return Signature(
        {each.name: each.default is each.empty for each in named},
        {each.name: each.default for each in named if each.default is not each.empty},
        types,
        any(each.kind is each.VAR_KEYWORD for each in parameters),
    )


def _as_written(hint: Any) -> Any:
    """A hint without the `Optional` that Python 3.10 puts around it where the default is None.

    Around an annotated hint that allows None itself, it would hide the annotation.
    """
    if typing.get_origin(hint) is typing.Union:
        inner, *others = typing.get_args(hint)
        if others == [type(None)] and typing.get_origin(inner) is typing.Annotated:
            allowed = typing.get_args(typing.get_args(inner)[0])
            return inner if type(None) in allowed else hint
    return hint
