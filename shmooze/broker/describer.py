"""The describer: what knows the descriptions of module types, and checks items against them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from shmooze.broker.launchers import Launchers
from shmooze.broker.roster import Place
from shmooze.errors import CommandError
from shmooze.modules.kind import Kind
from shmooze.modules.module import Module
from shmooze.modules.presentation import Presentation


class Describer(Protocol):
    """Knows the types of one queue or pool. Methods that may refuse raise CommandError."""

    def open(self, launchers: Launchers) -> None:
        """From now on programs can be asked for the descriptions of their types."""

    def close(self) -> None:
        """End those that are being asked."""

    def presentation(self, kind: type[Kind]) -> Presentation | None:
        """How items of this type are shown; None: as they are."""

    def prepare(self, cmd: str, kind: type[Kind], args: dict[str, Any]) -> dict[str, Any]:
        """The args of a new item as its child gets them. Raises CommandError.

        `cmd` is the name of the client's command. May wait for a program, not for long.
        """

    def prepare_command(self, module: Module, cmd: str, args: dict[str, Any]) -> dict[str, Any]:
        """The same for the args of a command of the module's own."""

    def loggable(self, query: dict[str, Any]) -> dict[str, Any]:
        """A command packet as the command log may have it."""

    def descriptions(self, kinds: Iterable[type[Kind]]) -> list[dict[str, Any]]:
        """What is known of each of these types. May wait for programs, not for long."""


class DescribesNothing:
    """The describer of a service none of whose types is described."""

    def open(self, launchers: Launchers) -> None:
        pass

    def close(self) -> None:
        pass

    def presentation(self, kind: type[Kind]) -> Presentation | None:
        return None

    def prepare(self, cmd: str, kind: type[Kind], args: dict[str, Any]) -> dict[str, Any]:
        return args

    def prepare_command(self, module: Module, cmd: str, args: dict[str, Any]) -> dict[str, Any]:
        return args

    def loggable(self, query: dict[str, Any]) -> dict[str, Any]:
        return query

    def descriptions(self, kinds: Iterable[type[Kind]]) -> list[dict[str, Any]]:
        return [{} for _ in kinds]


def is_described(kind: type[Kind]) -> bool:
    """Whether a type has a description, or its program knows one."""
    return isinstance(kind.schema, (dict, str)) or kind.describe is True


#: The types on offer, by place.
Types = Mapping[Place, Mapping[str, type[Kind]]]


def describe_types(types: Types, describer: Describer) -> dict[str, Any]:
    """The descriptions of all types: {"modules": {NAME: {…}}, "backgrounds"?: {NAME: {…}}}."""
    # All at once, since each call may wait.
    known = iter(
        describer.descriptions([kind for kinds in types.values() for kind in kinds.values()])
    )
    return {_KEYS[place]: {name: next(known) for name in kinds} for place, kinds in types.items()}


def describe_type(types: Types, describer: Describer, name: str) -> dict[str, Any]:
    """The description of one type. Raises CommandError for an unknown one."""
    for kinds in types.values():
        if name in kinds:
            return describer.descriptions([kinds[name]])[0]
    known = ", ".join(dict.fromkeys(each for kinds in types.values() for each in kinds))
    raise CommandError(f"unknown module type {name!r}; known: {known or 'none'}")


_KEYS = {Place.ORDER: "modules", Place.BACKGROUND: "backgrounds"}
