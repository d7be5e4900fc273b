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
                unmatched = f"has an unmatched `{part[0]}` in {json.dumps(word)}"
                return f"{unmatched}: write `{part[0] * 2}` for a literal brace"
            if part[1] is not None and not _NAME.fullmatch(part[1]):
                unnamed = f"has the placeholder {{{part[1]}}}, which is not a name"
                return f"{unnamed}; write `{{{{` for a literal brace"
    if names_in(argv[:1]):
        return "has a placeholder in the name of the program"
    return None


def names_in(argv: Iterable[str]) -> list[str]:
    """The names of the placeholders, each once, in order."""
    found = (part[1] for word in argv for part in _PART.finditer(word))
    return list(dict.fromkeys(name for name in found if name is not None))


def fill(argv: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The words of a program, with values in place of the placeholders.

    Raises CommandError for a value that is missing or cannot be given to a program, and for a text
    that the program would take for an option: it is at the beginning of a word, begins with `-`,
    and no `--` comes before it.
    """
    words: list[str] = []
    for word in argv:
        filled = _PART.sub(lambda part: _text(part, values), word)
        first = _PART.match(word)
        if filled.startswith("-") and first and "--" not in argv[: len(words)]:
            value = values.get(first[1])
            if isinstance(value, str):  # numbers may be negative
                raise CommandError(
                    f"argument `{first[1]}`: must not begin with `-`,"
                    " because the program would take it for an option"
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
