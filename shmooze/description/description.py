"""The description of one module type: read, checked, and in the form that clients get.

{"title", "description", "label": "{name}, {seconds} s", "args": SCHEMA,
 "commands": {NAME: {"description", "args": SCHEMA, "result": SCHEMA}},
 "parameters": {NAME: SCHEMA with "unit" and "role"},
 "result": SCHEMA}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from shmooze.description.arguments import Arguments, closed
from shmooze.description.label import Label
from shmooze.description.schemas import Validator
from shmooze.errors import CommandError, PacketError, SettingsError
from shmooze.runtime import jsonsafe, schema

#: Bytes of JSON that a description may take.
MAX_BYTES = 256 << 10

#: wrong(path, problem): the exception for a mistake, of which `path` says the place, such as
#: "args.properties.seconds.minimum"; an empty one stands for the description itself
Wrong = Callable[[str, str], SettingsError]

_Schema = Annotated[dict[str, Any], Meta(description="a JSON Schema, which is an object")]


class _Command(Struct, forbid_unknown_fields=True):
    description: str = ""
    args: _Schema = {}
    result: _Schema = {}


class _Keys(Struct, forbid_unknown_fields=True):
    title: str = ""
    description: str = ""
    label: str = ""
    args: _Schema = {}
    commands: Annotated[dict[str, _Command], Meta(description="an object of commands")] = {}
    parameters: Annotated[dict[str, _Schema], Meta(description="an object of JSON Schemas")] = {}
    result: _Schema = {}


class Description:
    """A description. `document` may be any value; raises what `wrong` makes for a mistake."""

    def __init__(self, document: Any, wrong: Wrong) -> None:
        #: In the form that clients get.
        self.document = _normalised(document, wrong)
        given = self.document
        self.args = _arguments(given, "args", wrong)
        #: The arguments of each command, as far as they are described; None: all are allowed.
        self.commands: dict[str, Arguments | None] | None = None
        if "commands" in given:
            self.commands = {
                name: _arguments(command, f"commands.{name}.args", wrong)
                for name, command in given["commands"].items()
            }
            for name, command in given["commands"].items():
                if "result" in command:
                    _compile(command["result"], f"commands.{name}.result", wrong)
        #: For each parameter a validator.
        self.parameters = {
            name: _compile(each, f"parameters.{name}", wrong)
            for name, each in given.get("parameters", {}).items()
        }
        if "result" in given:
            _compile(given["result"], "result", wrong)
        self._label = _label(given["label"], self.args, wrong) if "label" in given else None

    def prepare(self, cmd: str, args: dict[str, Any]) -> dict[str, Any]:
        """The args of a new item as the child gets them. Raises CommandError if they do not fit."""
        return self.args.prepare(cmd, args) if self.args is not None else args

    def prepare_command(self, cmd: str, args: dict[str, Any]) -> dict[str, Any]:
        """The same for a command of the type's own."""
        if self.commands is None:
            return args
        if cmd not in self.commands:
            known = ", ".join(f"`{each}`" for each in self.commands) or "none"
            raise CommandError(f"unknown command `{cmd}`; known: {known}")
        arguments = self.commands[cmd]
        return arguments.prepare(cmd, args) if arguments is not None else args

    def hide(self, args: dict[str, Any]) -> dict[str, Any]:
        """The args of an item as clients may see them."""
        return self.args.hide(args) if self.args is not None else args

    def hide_command(self, cmd: str, args: dict[str, Any]) -> dict[str, Any]:
        """The same for a command of its own; none of an unknown one, which may be misspelt."""
        if self.commands is None:
            return args
        arguments = self.commands.get(cmd)
        if arguments is not None:
            return arguments.hide(args)
        return args if cmd in self.commands else {}

    def label(self, args: dict[str, Any]) -> str | None:
        """The label of an item with these args; None: the type has none, or it would be empty."""
        return self._label.of(args) or None if self._label is not None else None


def _normalised(document: Any, wrong: Wrong) -> dict[str, Any]:
    try:
        encoded = msgspec.json.encode(document)
        if len(encoded) > MAX_BYTES:
            raise wrong("", f"takes over {MAX_BYTES} bytes")
        document = jsonsafe.decode(encoded)
    except (PacketError, TypeError, ValueError, RecursionError) as bad:
        raise wrong("", f"is not JSON: {bad}") from bad
    if not isinstance(document, dict):
        raise wrong("", f"must be an object, not {schema.shown(document)}")
    known = _known(document)
    if isinstance(commands := known.get("commands"), dict):
        known["commands"] = {
            name: _known(each) if isinstance(each, dict) else each
            for name, each in commands.items()
        }
    schema.check(_Keys, known, wrong)
    if "args" in document:
        document["args"] = closed(document["args"])
    for command in document.get("commands", {}).values():
        if "args" in command:
            command["args"] = closed(command["args"])
    for name, each in document.get("parameters", {}).items():
        for key in ("unit", "role"):
            if not isinstance(each.get(key, ""), str):
                value = schema.shown(each[key])
                raise wrong(f"parameters.{name}.{key}", f"must be a string, not {value}")
    return document


def _known(keys: dict[str, Any]) -> dict[str, Any]:
    """Those of an object that are not the author's own."""
    return {key: value for key, value in keys.items() if not key.startswith("x-")}


def _arguments(given: dict[str, Any], place: str, wrong: Wrong) -> Arguments | None:
    if "args" not in given:
        return None
    return Arguments(given["args"], lambda path, text: wrong(_joined(place, path), text))


def _compile(given: dict[str, Any], place: str, wrong: Wrong) -> Validator:
    return Validator(given, lambda path, text: wrong(_joined(place, path), text))


def _joined(place: str, path: tuple[Any, ...]) -> str:
    return ".".join(map(str, (place, *path)))


def _label(template: str, args: Arguments | None, wrong: Wrong) -> Label:
    try:
        label = Label(template)
    except ValueError as bad:
        raise wrong("label", str(bad)) from bad
    for name in label.names:
        if args is not None and not args.knows(name):
            raise wrong("label", f"names `{name}`, which `args` does not declare")
        if args is not None and args.is_secret(name):
            raise wrong("label", f"names `{name}`, which is `writeOnly` or has such a part")
    return label
