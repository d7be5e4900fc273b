"""Writes the typed classes of an application in Python."""

from __future__ import annotations

import keyword
import re

from shmooze.client.client import TypedClient
from shmooze.client.generate.application import (
    Application,
    Command,
    ItemType,
    ServiceClass,
)
from shmooze.client.generate.names import Names, is_identifier
from shmooze.client.generate.text import docstring, paragraphs
from shmooze.client.generate.types import Basic, DictOf, ListOf, OneOf, Shape, Type, Values
from shmooze.client.service import TypedService

#: Names that the generated code uses itself.
_OWN = """
    Any Application Item Literal Mapping NoReturn TypedClient TypedDict TypedService Unpack cast
    overload False None True bool dict float int list str type property TYPE_CHECKING
"""
RESERVED = frozenset(_OWN.split())
_BASIC = {"str": "str", "int": "int", "float": "float", "bool": "bool", "null": "None"}
_BASIC |= {"any": "Any", "never": "NoReturn"}
#: Names of members that would hide a type from the annotations that follow.
_HIDING = {"bool", "dict", "float", "int", "list", "str"}


def write(application: Application, made_by: str) -> str:
    """The text of the file. `made_by` says how it was made."""
    lines = docstring(
        [
            "Typed classes for an application of shmooze.",
            "",
            *paragraphs([made_by, "Do not change this file: generate it again."], ""),
        ],
        "",
    )
    lines += [
        "# ruff: noqa: E501",
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping",
        "from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypedDict, cast, overload",
        "",
        "from shmooze.client import Item, TypedClient, TypedService",
        "",
        "if TYPE_CHECKING:",
        "    from typing_extensions import Unpack",
    ]
    for shape in application.shapes:
        lines += ["", "", *_shape(shape)]
    items: dict[str, ItemType] = {}
    for service in application.services:
        for item in [*(service.modules or []), *(service.backgrounds or [])]:
            items.setdefault(item.class_name, item)
    for item in items.values():
        lines += ["", "", *_item(item)]
    for service in application.services:
        lines += ["", "", *_service(service)]
    lines += ["", "", *_client(application)]
    return "\n".join(lines) + "\n"


def type_text(kind: Type) -> str:
    """A type as an annotation."""
    if isinstance(kind, Basic):
        return _BASIC[kind.name]
    if isinstance(kind, Shape):
        return kind.name or "Mapping[str, Any]"
    if isinstance(kind, ListOf):
        return f"list[{type_text(kind.item)}]"
    if isinstance(kind, DictOf):
        return f"dict[str, {type_text(kind.value)}]"
    if isinstance(kind, OneOf):
        return " | ".join(dict.fromkeys(type_text(each) for each in kind.members))
    return _values(kind)


def _values(kind: Values) -> str:
    literals = [each for each in kind.values if not isinstance(each, float) and each is not None]
    parts = [f"Literal[{', '.join(dict.fromkeys(map(_literal, literals)))}]"] if literals else []
    parts += ["float"] * any(isinstance(each, float) for each in kind.values)
    return " | ".join([*parts, *["None"] * (None in kind.values)])


def _literal(value: object) -> str:
    """A text, an integer or a boolean; printable ASCII."""
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    inner = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in inner) + '"'


def _shape(shape: Shape) -> list[str]:
    """A TypedDict. Python 3.10 cannot say for a single key whether it is required."""
    required = [each for each in shape.fields if each.is_required]
    optional = [each for each in shape.fields if not each.is_required]
    is_class = all(
        re.fullmatch(r"[a-z][A-Za-z0-9_]*", each.key)
        and not keyword.iskeyword(each.key)
        and each.key not in _HIDING
        for each in shape.fields
    )
    texts = [f"{each.key}: {each.description}" for each in shape.fields if each.description]
    doc = docstring(paragraphs([shape.description, *texts], "    "), "    ")
    lines: list[str] = []
    bases = []
    for fields, total, suffix in (
        (required, "", "Required"),
        (optional, ", total=False", "Optional"),
    ):
        if not fields or (is_class and fields is optional) or (is_class and not optional):
            continue
        name = f"_{shape.name}{suffix}"
        bases.append(name)
        if is_class:
            lines += [f"class {name}(TypedDict{total}):"]
            lines += [f"    {each.key}: {type_text(each.type)}" for each in fields] + ["", ""]
        else:
            entries = [f"    {_text(each.key)}: {_text(type_text(each.type))}," for each in fields]
            lines += [f"{name} = TypedDict(", f"    {_text(name)},", "    {"]
            lines += [f"    {entry}" for entry in entries]
            lines += ["    },", *["    total=False,"] * bool(total), ")", "", ""]
    own = (optional or required) if is_class else []
    total = ", total=False" if is_class and optional else ""
    lines += [f"class {shape.name}({', '.join(bases) or 'TypedDict'}{total}):", *doc]
    lines += [""] if doc and own else []
    lines += [f"    {each.key}: {type_text(each.type)}" for each in own]
    return lines if doc or own else [*lines, "    pass"]


def _item(item: ItemType) -> list[str]:
    text = item.description or f"An item of the type `{item.name}`."
    lines = [f"class {item.class_name}(Item):", *docstring(paragraphs([text], "    "), "    ")]
    if name := item.parameters.name:
        lines += [
            "",
            "    @property",
            f"    def parameters(self) -> {name}:",
            f"        return cast({_text(name)}, super().parameters)",
        ]
    forms = [
        form
        for command in item.commands
        for form in _forms(command.name, command.args, type_text(command.result), "")
    ]
    return [*lines, *_overloaded("tell", forms, "super().tell", item.commands)]


def _forms(name: str, args: Shape, result: str, more: str) -> list[str]:
    """The ways to call a method with a name and its arguments: parameters and result.

    `more` are further parameters of the way that takes a dict.
    """
    first = f"self, _name: Literal[{_text(name)}]"
    if not args.fields and not args.is_open:
        forms = [f"({first}, /) -> {result}"]
        return (
            [*forms, f"({first}, args: Mapping[str, Any], /{more}) -> {result}"] if more else forms
        )
    forms = []
    if not args.fields:
        forms.append(f"({first}, /, **keywords: Any) -> {result}")
    elif _can_be_keywords(args):
        forms.append(f"({first}, /, **keywords: Unpack[{args.name}]) -> {result}")
    return [*forms, f"({first}, args: {type_text(args)}, /{more}) -> {result}"]


def _can_be_keywords(args: Shape) -> bool:
    return all(
        is_identifier(each.key) and not keyword.iskeyword(each.key) and each.key not in _PARAMETERS
        for each in args.fields
    )


#: Names of parameters, which keywords cannot have for a type checker.
_PARAMETERS = {"self", "_name", "args"}


def _overloaded(
    method: str, forms: list[str], call: str, commands: list[Command] | None = None
) -> list[str]:
    """A method that can be called in these ways, all narrower than those of its base class."""
    if not forms:
        return []
    texts = [f"{each.name}: {each.description}" for each in commands or [] if each.description]
    doc = docstring(paragraphs(texts, "        "), "        ")
    body = [*doc, f"        return {call}(*args, **keywords)"]
    ignore = "  # type: ignore[override]"
    if len(forms) == 1:  # which must not be called an overload
        head, _, result = forms[0].rpartition(" -> ")
        given = ["_name", *["args"] * (", args:" in head), *["**keywords"] * ("**" in head)]
        value = f"{call}({', '.join(given)})"
        value = value if result == "Any" else f"cast({_text(result)}, {value})"
        return ["", f"    def {method}{head} -> {result}:{ignore}", *doc, f"        return {value}"]
    lines = [""]
    for number, form in enumerate(forms):
        lines += [f"    @overload{ignore}" if number == 0 else "    @overload"]
        lines += [f"    def {method}{form}: ..."]
    lines += [f"    def {method}(self, /, *args: Any, **keywords: Any) -> Any:", *body]
    return lines


def _service(service: ServiceClass) -> list[str]:
    text = service.description or f"The service `{service.name}`."
    lines = [f"class {service.class_name}(TypedService):"]
    lines += docstring(paragraphs([text], "    "), "    ")
    items = [*(service.modules or []), *(service.backgrounds or [])]
    if items:
        classes = {each.name: each.class_name for each in reversed(items)}
        lines += ["", "    item_classes = {"]
        lines += [f"        {_text(name)}: {classes[name]}," for name in sorted(classes)]
        lines += ["    }"]
    for method, types, options in (
        ("add", service.modules, service.add_options),
        ("set_bg", service.backgrounds, service.set_bg_options),
    ):
        if types is not None:
            more = f"Unpack[{options.name}]" if _can_be_keywords(options) else "Any"
            forms = [
                form
                for item in types
                for form in _forms(item.name, item.args, item.class_name, f", **keywords: {more}")
            ]
            lines += _overloaded(method, forms, f"super().{method}")
    taken = {*dir(TypedService), "name", "endpoint", *keyword.kwlist, *_HIDING}
    names = Names(taken)
    for command in service.commands:
        lines += _method(command, names.of_attribute(command.name))
    return lines


def _method(command: Command, name: str) -> list[str]:
    args, result = command.args, type_text(command.result)
    given = "keywords"
    if args.is_open and not args.fields:
        parameters = "self, **keywords: Any"
    elif not args.fields:
        parameters, given = "self", "{}"
    elif _can_be_keywords(args):
        parameters = f"self, **keywords: Unpack[{args.name}]"
    else:
        parameters, given = f"self, args: {args.name}, /", "args"
    lines = ["", f"    def {name}({parameters}) -> {result}:"]
    lines += docstring(paragraphs([command.description], "        "), "        ")
    call = f"self.command({_text(command.name)}, {given})"
    if result == "None":
        return [*lines, f"        {call}"]
    if result == "Any":
        return [*lines, f"        return {call}"]
    return [*lines, f"        return cast({_text(result)}, {call})"]


def _client(application: Application) -> list[str]:
    lines = [
        "class Application(TypedClient):",
        '    """The services of the application, by name."""',
    ]
    names = Names({*dir(TypedClient), *keyword.kwlist, "property"})
    for service in application.services:
        lines += [
            "",
            "    @property",
            f"    def {names.of_attribute(service.name)}(self) -> {service.class_name}:",
            f"        return self.service({_text(service.name)}, {service.class_name})",
        ]
    return lines
