"""An application as its services describe it, with a name for everything that is generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shmooze.client.generate.names import Names
from shmooze.client.generate.types import ANY, Field, Schemas, Shape, Type

Description = Mapping[str, Any]


@dataclass
class Command:
    """A command of a service or of a module type."""

    name: str
    description: str
    args: Shape
    result: Type


@dataclass
class ItemType:
    """A type of modules or backgrounds."""

    name: str
    #: The name of its class.
    class_name: str
    description: str
    args: Shape
    parameters: Shape
    commands: list[Command]


@dataclass
class ServiceClass:
    """A service. `modules` and `backgrounds` are None if it has no such items; otherwise `add` and
    `set_bg` are not among its commands, and the options are what they take beside type and args.
    """

    name: str
    class_name: str
    description: str
    commands: list[Command]
    modules: list[ItemType] | None
    backgrounds: list[ItemType] | None
    add_options: Shape
    set_bg_options: Shape


@dataclass
class Application:
    services: list[ServiceClass]
    #: Each comes after those that it contains, unless they contain each other.
    shapes: list[Shape]


def read(descriptions: Mapping[str, Description], reserved: frozenset[str]) -> Application:
    """Make an application of the answers to `describe`, by service.

    `reserved` are names that classes cannot have.
    """
    reader = _Reader(Names(reserved))
    services = [reader.service(name, descriptions[name]) for name in sorted(descriptions)]
    return Application(services, reader.shapes)


class _Reader:
    def __init__(self, names: Names) -> None:
        self.shapes: list[Shape] = []
        self._names = names

    def service(self, name: str, described: Description) -> ServiceClass:
        class_name = self._names.of_class(f"{name} service")
        modules = self._items(name, _object(described, "modules"), "modules" in described)
        known = {each.name: each for each in modules or []}
        same = {
            type: known[type]
            for type, each in _object(described, "backgrounds").items()
            if type in known and each == _object(described, "modules")[type]
        }
        backgrounds = self._items(
            f"{name} background",
            _object(described, "backgrounds"),
            "backgrounds" in described,
            same,
        )
        all_commands = _object(described, "commands")
        options = {
            cmd: self._options(f"{name} {cmd} options", all_commands.get(cmd), items is not None)
            for cmd, items in (("add", modules), ("set_bg", backgrounds))
        }
        replaced = {"add"} if modules is not None else set()
        replaced |= {"set_bg"} if backgrounds is not None else set()
        own = {cmd: each for cmd, each in all_commands.items() if cmd not in replaced}
        commands = self._commands(name, own)
        return ServiceClass(
            *(name, class_name, _text(described), commands, modules, backgrounds),
            *(options["add"], options["set_bg"]),
        )

    def _options(self, name: str, described: Any, is_needed: bool) -> Shape:
        """What a command that adds items takes beside its type and args."""
        args = described.get("args") if isinstance(described, dict) else None
        properties = _object(args if isinstance(args, dict) else {}, "properties")
        known = {key: properties[key] for key in properties if key not in ("type", "args")}
        if not is_needed:
            return Shape("", "", is_open=True)
        schema = {**(args or {}), "properties": known or {"key": {"type": "string"}}}
        return self._shape({**schema, "required": [], "additionalProperties": False}, name)

    def _items(
        self,
        prefix: str,
        described: Description,
        has_items: bool,
        same: Mapping[str, ItemType] = {},
    ) -> list[ItemType] | None:
        if not has_items:
            return None
        return [
            same.get(type) or self._item(prefix, type, described[type])
            for type in sorted(described)
        ]

    def _item(self, prefix: str, type: str, described: Any) -> ItemType:
        described = described if isinstance(described, dict) else {}
        name = f"{prefix} {type}"
        return ItemType(
            type,
            self._names.of_class(f"{name} item"),
            _text(described),
            self._shape(described.get("args", True), f"{name} args"),
            self._parameters(_object(described, "parameters"), f"{name} parameters"),
            self._commands(name, _object(described, "commands")),
        )

    def _parameters(self, described: Description, name: str) -> Shape:
        """A shape of fields of which each may be missing."""
        fields = []
        for key, schema in described.items():
            kind = self._schemas(schema).type_of(schema, f"{name} {key}")
            text = _text(schema) if isinstance(schema, dict) else ""
            fields.append(Field(key, kind, False, text))
        if not fields:
            return Shape("", "", is_open=True)
        self.shapes.append(shape := Shape(self._names.of_class(name), "", fields))
        return shape

    def _commands(self, prefix: str, described: Description) -> list[Command]:
        return [self._command(prefix, name, described[name]) for name in sorted(described)]

    def _command(self, prefix: str, name: str, described: Any) -> Command:
        described = described if isinstance(described, dict) else {}
        result: Type = ANY
        if "result" in described:
            schema = described["result"]
            result = self._schemas(schema).type_of(schema, f"{prefix} {name} result")
        args = self._shape(described.get("args", True), f"{prefix} {name} args")
        return Command(name, _text(described), args, result)

    def _shape(self, schema: Any, name: str) -> Shape:
        return self._schemas(schema).shape_of(schema, name)

    def _schemas(self, root: Any) -> Schemas:
        return Schemas(root, self._names.of_class, self.shapes)


def _object(described: Description, key: str) -> Description:
    value = described.get(key)
    return value if isinstance(value, dict) else {}


def _text(described: Description) -> str:
    texts = [described.get(key) for key in ("title", "description")]
    return ": ".join(text for text in texts if isinstance(text, str) and text)
