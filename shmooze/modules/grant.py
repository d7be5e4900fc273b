"""Grants: what a module has of what its service `has`, until its process is gone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Grant(NamedTuple):
    """What one module has."""

    #: By the name of the resource, such as {"gpu": 2, "memory_mb": 6000}.
    amounts: Mapping[str, float]
    #: Of resources that are handed out by number, which ones, such as {"gpu": (0, 2)}.
    numbers: Mapping[str, Sequence[int]]

    @property
    def words(self) -> dict[str, str]:
        """What replaces placeholders, such as {"gpu": "0,2", "memory_mb": "6000"}."""
        return {
            name: ",".join(map(str, self.numbers[name])) if name in self.numbers else f"{amount:g}"
            for name, amount in self.amounts.items()
        }

    @property
    def variables(self) -> dict[str, str]:
        """The same as environment variables, such as {"SHMOOZE_GPU": "0,2", …}."""
        return {variable_of(name): word for name, word in self.words.items()}


def variable_of(resource: str) -> str:
    """The environment variable that tells a process what it has of a resource."""
    return "SHMOOZE_" + re.sub(r"\W", "_", resource, flags=re.ASCII).upper()
