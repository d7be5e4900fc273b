"""Type hints of functions, as JSON Schemas: what the arguments and results of a command must be.

Loaded only for functions that have hints, in child processes: standard library only, light,
compatible with Python 3.8. Hints are recognised by their attributes, so `typing` is not loaded for
modules that do without it.

A hint describes the JSON value that the function gets; nothing is converted, except that 5.0 is 5
for `int`. What has no counterpart in JSON, or cannot be evaluated by this Python, is left open: its
schema is empty.
"""

from __future__ import annotations

import collections.abc
import functools
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    Schema = dict[str, Any]

_SIMPLE = {
    None: "null",
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
}
_ARRAYS = (
    list,
    collections.abc.MutableSequence,
    collections.abc.Sequence,
    collections.abc.Collection,
    collections.abc.Iterable,
)
_OBJECTS = (dict, collections.abc.MutableMapping, collections.abc.Mapping)
#: Hints that only say more about the one inside.
_WRAPPERS = ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar")


class Signature:
    """What a function of the table `commands` accepts and returns, without `self`."""

    def __init__(self, function: Any) -> None:
        code = function.__code__
        positional = code.co_varnames[: code.co_argcount][1:]
        end = code.co_argcount + code.co_kwonlyargcount
        #: The names of the arguments, in order.
        self.names = positional + code.co_varnames[code.co_argcount : end]
        #: The values of those that may be left out.
        self.defaults = dict(zip(reversed(positional), reversed(function.__defaults__ or ())))
        self.defaults.update(function.__kwdefaults__ or {})
        hints, scope = _annotations(function), function.__globals__
        #: The schemas of the arguments that have a hint.
        self.schemas = {
            name: self._schema(name, hints[name], scope) for name in self.names if name in hints
        }
        #: The schema of arguments of other names; None: there must be none.
        self.others: Schema | None = None
        if code.co_flags & 0x08:  # it takes `**others`
            others = code.co_varnames[end + bool(code.co_flags & 0x04)]  # after `*more`
            self.others = schema_of(hints[others], scope) if others in hints else {}
        #: The schema of the result; None: there is no hint.
        self.result = schema_of(hints["return"], scope) if "return" in hints else None

    def schema(self, name: str) -> Schema | None:
        """The schema of an argument; None if it may be anything, or is not known."""
        return self.schemas.get(name) if name in self.names else self.others

    def _schema(self, name: str, hint: Any, scope: Mapping[str, Any]) -> Schema:
        schema = schema_of(hint, scope)
        # As in `text: str = None`, where most authors leave out the Optional.
        return _or_null(schema) if self.defaults.get(name, 0) is None else schema


def signature(function: Callable[..., Any]) -> Signature | None:
    """The signature of a function; None if it is not a plain one, written in Python."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return _signature(function) if type(function).__name__ == "function" else None


_signature = functools.lru_cache(maxsize=None)(Signature)


def schema_of(hint: Any, scope: Mapping[str, Any]) -> Schema:
    """The schema of the values that a type hint allows. Names in it are looked up in `scope`."""
    try:
        return _schema_of(hint, scope, ())
    except Exception:  # whatever the author has written, the module works
        return {}


def _annotations(function: Any) -> Mapping[str, Any]:
    try:
        hints: Mapping[str, Any] = function.__annotations__
        return hints
    except NameError:  # from Python 3.14 on, for names that only a type checker imports
        return {}


def _evaluate(hint: Any, scope: Mapping[str, Any]) -> Any:
    """A hint that is text, as `from __future__ import annotations` makes it, as what it means."""
    text = hint if isinstance(hint, str) else getattr(hint, "__forward_arg__", None)
    return hint if text is None else _evaluate(eval(text, dict(scope)), scope)


def _name(hint: Any) -> str:
    """The name of a generic hint without its arguments, such as "Literal"."""
    origin = getattr(hint, "__origin__", hint)
    return str(getattr(origin, "_name", None) or getattr(origin, "__name__", ""))


def _schema_of(hint: Any, scope: Mapping[str, Any], outer: tuple[Any, ...]) -> Schema:
    hint = _evaluate(hint, scope)
    args: tuple[Any, ...] = getattr(hint, "__args__", ())
    if hasattr(hint, "__metadata__"):
        return _annotated(_schema_of(hint.__origin__, scope, outer), hint.__metadata__)
    origin, name = getattr(hint, "__origin__", hint), _name(hint)
    if name == "Union" or type(hint).__name__ == "UnionType":  # `int | None`
        return _any_of([_schema_of(each, scope, outer) for each in args])
    if name == "Literal":
        is_json = all(each is None or isinstance(each, (bool, int, str)) for each in args)
        return {"enum": list(args)} if is_json and args else {}
    if name in _WRAPPERS and args:
        return _schema_of(args[0], scope, outer)
    if origin in _ARRAYS:
        items = _schema_of(args[0], scope, outer) if args else {}
        return {"type": "array", "items": items} if items else {"type": "array"}
    if origin in _OBJECTS:
        values = _schema_of(args[1], scope, outer) if len(args) == 2 else {}
        return {"type": "object", "additionalProperties": values} if values else {"type": "object"}
    if isinstance(origin, type) and issubclass(origin, dict) and hasattr(origin, "__total__"):
        return {"type": "object"} if origin in outer else _typed_dict(origin, (*outer, origin))
    if not isinstance(hint, type) and hint is not None:
        alias = getattr(hint, "__supertype__", None) or getattr(hint, "__value__", None)
        return _schema_of(alias, scope, outer) if alias is not None else {}
    return {"type": _SIMPLE[hint]} if hint in _SIMPLE else {}


def _annotated(schema: Schema, metadata: tuple[Any, ...]) -> Schema:
    """Add what `Annotated` says: a description as text, more of the schema as a dict."""
    for each in metadata:
        if isinstance(each, str):
            schema = {**schema, "description": each}
        elif isinstance(each, dict):
            schema = {**schema, **each}
    return schema


def _any_of(schemas: list[Schema]) -> Schema:
    """The schema of values that fit one of several."""
    if {} in schemas:
        return {}
    if all(set(each) == {"type"} and isinstance(each["type"], str) for each in schemas):
        return {"type": [each["type"] for each in schemas]}
    return {"anyOf": schemas}


def _or_null(schema: Schema) -> Schema:
    """Allow null as well."""
    kind = schema.get("type")
    if "anyOf" in schema:
        choices = [each for each in schema["anyOf"] if each != {"type": "null"}]
        return {**schema, "anyOf": [*choices, {"type": "null"}]}
    if "enum" in schema:
        choices = [each for each in schema["enum"] if each is not None]
        return {**schema, "enum": [*choices, None]}
    if kind is None or "null" in kind:
        return schema
    return {**schema, "type": [*([kind] if isinstance(kind, str) else kind), "null"]}


def _typed_dict(hint: Any, outer: tuple[Any, ...]) -> Schema:
    scope = vars(sys.modules[hint.__module__])
    fields = {name: _evaluate(each, scope) for name, each in hint.__annotations__.items()}
    required = set(getattr(hint, "__required_keys__", fields if hint.__total__ else ()))  # 3.9
    # It does not know about hints that were text when the class was made.
    required -= {name for name, each in fields.items() if _name(each) == "NotRequired"}
    return {
        "type": "object",
        "properties": {name: _schema_of(each, scope, outer) for name, each in fields.items()},
        "required": [name for name in fields if name in required],
    }
