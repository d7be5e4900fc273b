"""Placeholders in the arguments of a program: `{name}` stands for an argument of the item.

`{{` and `}}` stand for braces. Each word of a program stays one word, whatever the argument is: no
shell ever sees it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shmooze.errors import CommandError

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def problem_of(argv: Sequence[str]) -> str | None:
    """What is wrong with the placeholders of a program, in a sentence without its subject."""
    for word in argv:
        for part in _PART.finditer(word):
            if part[0] in ("{", "}"):
                return f"has a lone `{part[0]}` in {json.dumps(word)}: write `{part[0] * 2}` for it"
            if part[1] is not None and not _NAME.fullmatch(part[1]):
                return f"has the placeholder {{{part[1]}}}, which is not a name"
    if _PART.search(argv[0]):
        return "has a placeholder in the name of the program"
    return None


def names_in(argv: Iterable[str]) -> list[str]:
    """The names of the placeholders, each once, in order."""
    found = (part[1] for word in argv for part in _PART.finditer(word))
    return list(dict.fromkeys(name for name in found if name is not None))


def fill(argv: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The words of a program, with values in place of the placeholders.

    Raises CommandError for a value that is missing or cannot be given to a program, and for one
    that the program would take for an option: it is a word of its own, begins with `-`, and no
    `--` comes before it.
    """
    words: list[str] = []
    for word in argv:
        filled = _PART.sub(lambda part: _text(part, values), word)
        if filled.startswith("-") and word.startswith("{") and "--" not in words:
            name = names_in([word])[0]
            raise CommandError(
                f"argument `{name}`: must not begin with `-`, or the program takes it for an option"
            )
        words.append(filled)
    return words


def _text(part: re.Match[str], values: Mapping[str, Any]) -> str:
    if part[1] is None:
        return part[0][0]  # of two braces one
    value = values.get(part[1])
    if value is None:
        raise CommandError(f"argument `{part[1]}` is missing")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if "\0" in text:
        raise CommandError(f"argument `{part[1]}`: has a null character")
    try:
        text.encode()
    except UnicodeEncodeError as bad:
        raise CommandError(f"argument `{part[1]}`: is not valid text") from bad
    return text
