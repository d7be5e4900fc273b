"""Defaults of arguments: filled in for the child where a client leaves an argument out.

Those of plain `properties` count, in nested objects too. Those in `oneOf` and the like, or behind
a `$ref`, do not: which of them applies depends on the other arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

_NONE = object()


class Defaults:
    """The defaults of the properties of an object."""

    def __init__(self, schema: Any) -> None:
        properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
        #: The default of each property, and those of its own properties.
        self._of: dict[str, tuple[Any, Defaults]] = {}
        for name, each in properties.items():
            default = each.get("default", _NONE) if isinstance(each, dict) else _NONE
            inner = Defaults(each)
            if default is not _NONE or inner._of:
                self._of[name] = (default, inner)

    def __bool__(self) -> bool:
        return bool(self._of)

    def fill_in(self, args: dict[str, Any]) -> dict[str, Any]:
        """The args with the defaults of those that are missing. The args themselves stay."""
        filled = args
        for name, (default, inner) in self._of.items():
            if name in args:
                value = args[name]
            elif default is not _NONE:
                value = deepcopy(default)
            else:
                continue
            if inner and isinstance(value, dict):
                value = inner.fill_in(value)
            if name not in args or value is not args[name]:
                filled = {**args} if filled is args else filled
                filled[name] = value
        return filled

    def paths(self) -> Iterator[tuple[str, ...]]:
        """Where there are defaults, as names of properties."""
        for name, (default, inner) in self._of.items():
            if default is not _NONE:
                yield (name,)
            yield from ((name, *path) for path in inner.paths())
