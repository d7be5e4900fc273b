"""The schemas of an OpenAPI document, each with a name of its own.

The names are titles too, since generators of clients name classes after those.
"""

from __future__ import annotations

import re
from typing import Any

from shmooze.gateway.embedding import Embedding, definitions_of
from shmooze.runtime.time_slices import TimeSlices

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")
_POINTER = "#/components/schemas/"


class Schemas:
    """Schemas by name, those of `others` included."""

    def __init__(self, others: Schemas | None = None) -> None:
        self._slices = TimeSlices()
        self.by_name: dict[str, Any] = dict(others.by_name) if others is not None else {}

    def add(self, schema: dict[str, Any], *name: str) -> dict[str, Any]:
        """Add a schema of ours, and return a reference to it."""
        free = self._free_name(*name)
        self.by_name[free] = {"title": free, **schema}
        return {"$ref": _POINTER + free}

    def add_embedded(self, schema: Any, *name: str) -> dict[str, Any]:
        """The same for the schema of a service, with its own references. Raises BadSchema."""
        self._slices.yield_if_over()
        free = self._reserve(*name)
        places = {each: self._reserve(*name, each[1]) for each in definitions_of(schema)}
        pointers = {definition: _POINTER + place for definition, place in places.items()}
        embedding = Embedding(schema, _POINTER + free, pointers)
        whole = embedding.whole()
        self.by_name[free] = {"title": free, **whole} if isinstance(whole, dict) else whole
        for definition, place in places.items():
            self.by_name[place] = embedding.definition(definition)
        return {"$ref": _POINTER + free}

    def _reserve(self, *name: str) -> str:
        free = self._free_name(*name)
        self.by_name[free] = {}
        return free

    def _free_name(self, *name: str) -> str:
        """A name that a document may use: other letters are replaced, so two may become one."""
        wanted = free = _NOT_IN_NAMES.sub("_", ".".join(name))
        number = 1
        while free in self.by_name:
            number += 1
            free = f"{wanted}_{number}"
        return free
