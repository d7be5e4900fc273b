"""Values on the command line, converted to what the schema of their argument asks for.

Nothing is refused here: what does not fit is sent as it is without a schema, and the service says
what is wrong with it.
"""

from __future__ import annotations

import math
import re
from typing import Any

from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.json_text import from_json
from shmooze.shmz.schemas import (
    Schema,
    choices_of,
    first,
    is_secret,
    kind_of,
    kinds_of,
    properties_of,
)

BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def json_or_text(text: str) -> Any:
    """Return the value of a text that is JSON, or else the text."""
    try:
        return from_json(text)
    except ValueError:
        return text


def convert_pairs(pairs: list[tuple[str, str]], args: Schema) -> dict[str, Any]:
    """Convert the arguments of a command by the schema of its arguments.

    An array may be given by repeating its name. Raises Stop if another name is repeated.
    """
    properties, others = properties_of(args), args.get("additionalProperties")
    texts: dict[str, list[str]] = {}
    for name, text in pairs:
        texts.setdefault(name, []).append(text)
    converted = {}
    for name, given in texts.items():
        schema = properties.get(name, others)
        if len(given) == 1:
            converted[name] = convert_argument(name, given[0], schema, args)
        elif "array" in kinds_of(schema, args):
            items = first(schema, args, "items")
            converted[name] = [convert(text, items, args) for text in given]
        else:
            raise Stop(Status.MISUSED, f"{name} is given twice")
    return converted


def convert_argument(name: str, text: str, schema: Any, root: Schema) -> Any:
    """Convert a value, which is in a file or asked for if it is a secret that begins with @."""
    if text.startswith("@") and is_secret(schema, root):
        text = ask_secret(name) if text == "@-" else read_secret(name, text[1:])
        return text if kinds_of(schema, root) in ([], ["string"]) else convert(text, schema, root)
    return convert(text, schema, root)


def convert(text: str, schema: Any, root: Schema) -> Any:
    """Convert a value to the first kind that it fits. A text in JSON quotes is always JSON."""
    plain = json_or_text(text)
    if isinstance(plain, str) and plain != text:
        return plain
    for choice in choices_of(schema, root):
        if choice == text or (kind_of(choice) == kind_of(plain) and choice == plain):
            return choice
    kinds = kinds_of(schema, root)
    if kind_of(plain) in kinds or (kind_of(plain) == "integer" and "number" in kinds):
        return plain
    if "boolean" in kinds and text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    if {"integer", "number"} & {*kinds} and _NUMBER.fullmatch(text):
        number = int(text) if re.fullmatch(r"[+-]?\d{1,4000}", text, re.ASCII) else float(text)
        return number if math.isfinite(number) else plain
    if "string" in kinds:
        return text
    if "array" in kinds:
        return [convert(text, first(schema, root, "items"), root)]
    return plain


def read_secret(name: str, file: str) -> str:
    try:
        with open(file, encoding="utf-8", newline="") as opened:
            return re.sub(r"\r?\n\Z", "", opened.read())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        line = f"{name}: cannot read {file!r}: {reason}"
        raise Stop(Status.MISUSED, line) from error


def ask_secret(name: str) -> str:
    """Let a person type a secret on the terminal, without showing it."""
    import getpass  # rarely needed
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # getpass would show what is typed otherwise
            return getpass.getpass(f"{name}: ")
    except (EOFError, OSError, getpass.GetPassWarning) as error:
        line = f"{name}: there is no terminal to ask for it; {name}=@FILE reads it from a file"
        raise Stop(Status.MISUSED, line) from error
