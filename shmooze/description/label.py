"""Labels of items: a template such as `{name}, {seconds} s`, filled in from their args."""

from __future__ import annotations

import json
import re
from typing import Any

from shmooze.runtime.printable import printable

#: Characters that a label may have.
MAX_LABEL = 120

_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_NAME = re.compile(r"[^\W\d][\w-]*")


class Label:
    """A template. Raises ValueError that says what is wrong with it.

    A name in braces stands for the argument of that name, `{{` and `}}` for braces.
    """

    def __init__(self, template: str) -> None:
        #: Literal text, and names of arguments.
        self._parts: list[tuple[str, str | None]] = []
        for found in _PARTS.finditer(template):
            part, name = found[0], found[1]
            if name is not None and not _NAME.fullmatch(name):
                raise ValueError(f"must have names of arguments in braces, not {json.dumps(part)}")
            if part in ("{", "}"):
                raise ValueError(f"has a single `{part}`; a brace is written `{part}{part}`")
            self._parts.append((part[:1] if part in ("{{", "}}") else part, name))

    @property
    def names(self) -> list[str]:
        """The arguments that it shows."""
        return [name for _, name in self._parts if name is not None]

    def of(self, args: dict[str, Any]) -> str:
        """The label of an item with these args: one line, cut if it is too long."""
        text = ""
        for part, name in self._parts:
            text += part if name is None else _shown(args.get(name))
            if len(text) > MAX_LABEL:
                break
        text = printable(text[: MAX_LABEL + 1])
        return text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1]}…"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value[: MAX_LABEL + 1]
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text[: MAX_LABEL + 1]
