"""Descriptions as text for people: usage, arguments and commands of a type or of an item."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from shmooze.runtime.printable import printable
from shmooze.shmz.cells import clip, width
from shmooze.shmz.described import Description, first_line, part, text_of
from shmooze.shmz.schemas import (
    WORDS,
    Schema,
    choices_of,
    first,
    is_secret,
    kinds_of,
    properties_of,
    required_of,
)

#: Limits of a value, and their words.
LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} values",
    "maxItems": "at most {} values",
    "pattern": "matching {}",
    "format": "as {}",
}
#: Choices that are listed.
MAX_CHOICES = 12
#: Characters of a default in the line that shows the usage.
MAX_DEFAULT = 30


def guide_to(
    program: str,
    command: str,
    described: Description,
    columns: int,
    commands: Description | None = None,
) -> str:
    """Explain a command, such as `add countdown`, and the further `commands` of its items."""
    args = part(described, "args")
    lines = [f"usage: {printable(f'{program} {command}')} {usage_of(args)}".rstrip()]
    for text in (text_of(described, "title"), text_of(described, "description")):
        lines += ["", *wrap(text, columns)] if text else []
    if label := text_of(described, "label"):
        lines += ["", *wrap(f"label: {label}", columns)]
    if rows := [explain(name, schema, args) for name, schema in properties_of(args).items()]:
        lines += ["", "arguments", *two_columns(rows, columns)]
    if result := text_of(described.get("result"), "description"):
        lines += ["", *wrap(f"result: {result}", columns)]
    if commands:
        lines += [
            "",
            f"commands: {printable(program)} tell UID COMMAND",
            *list_commands(commands, columns),
        ]
    return "\n".join(lines)


def list_commands(commands: Description, columns: int) -> list[str]:
    rows = [
        (f"{name} {usage_of(part(commands, name, 'args'))}".rstrip(), first_line(commands[name]))
        for name in commands
    ]
    return two_columns(rows, columns)


def usage_of(args: Schema) -> str:
    """Return the arguments as on a command line, the optional ones in brackets."""
    words, required = [], required_of(args)
    for name, schema in properties_of(args).items():
        default = first(schema, args, "default")
        shown = default is not None and not is_secret(schema, args)
        word = f"{name}={clip(as_word(default), MAX_DEFAULT) if shown else ''}"
        words.append(word if name in required else f"[{word}]")
    return printable(" ".join(words))


def explain(name: str, schema: Any, args: Schema) -> tuple[str, str]:
    """Return the name of an argument, and all that is to be said about its value."""
    kinds = kinds_of(schema, args)
    words = [" or ".join(WORDS.get(kind, kind) for kind in kinds) or "any value"]
    if kinds == ["array"] and (inner := kinds_of(first(schema, args, "items"), args)):
        words[0] += f" of {' or '.join(WORDS.get(kind, kind) for kind in inner)}"
    if choices := choices_of(schema, args):
        more = ["…"] if len(choices) > MAX_CHOICES else []
        words.append(f"one of {', '.join([*map(as_word, choices[:MAX_CHOICES]), *more])}")
    for key, text in LIMITS.items():
        if (limit := first(schema, args, key)) is not None:
            words.append(text.format(as_word(limit)))
    default = first(schema, args, "default")
    if is_secret(schema, args):
        words.append(f"secret: {name}=@FILE reads it from a file, {name}=@- asks for it")
    elif default is not None:
        words.append(f"default {as_word(default)}")
    words += ["required"] if name in required_of(args) else []
    about = first(schema, args, "description") or first(schema, args, "title")
    about = f". {about}" if isinstance(about, str) and about.strip() else ""
    return name, f"{', '.join(words)}{about}"


def as_word(value: Any) -> str:
    """Return a value as it can be given on the command line."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def two_columns(rows: list[tuple[str, str]], columns: int) -> list[str]:
    """Format names and explanations, which begin in a new line if the name is long."""
    rows = [(printable(name), text) for name, text in rows]
    indent = 4 + min(24, max((width(name) for name, _ in rows), default=0))
    lines = []
    for name, text in rows:
        wrapped = wrap(text, max(20, columns - indent)) or [""]
        if width(name) <= indent - 4:
            head = f"  {name}{' ' * (indent - 2 - width(name))}{wrapped.pop(0)}"
        else:
            head = f"  {name}"
        lines += [head.rstrip(), *(" " * indent + line for line in wrapped if line)]
    return lines


def wrap(text: str, columns: int) -> list[str]:
    """Break text into lines. Paragraphs stay apart."""
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        words = printable(" ".join(paragraph.split()))
        lines += [*([""] if lines else []), *textwrap.wrap(words, max(20, columns))]
    return lines
