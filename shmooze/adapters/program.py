"""The program of a type with placeholders: its words, and the arguments that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shmooze.adapters import placeholders
from shmooze.modules.web_server import web_server_of

#: An argument whose type nobody has declared: it reaches the program as it was typed.
_TEXT = {"type": "string"}


def problem_of(kind: Any) -> str | None:
    """What is wrong with the placeholders of a program, in a sentence without its subject."""
    return placeholders.problem_of(kind.process)


def arguments_of(kind: Any) -> list[str]:
    """The names of the arguments that its program needs."""
    return [name for name in placeholders.names_in(kind.process) if name not in reserved(kind)]


def args_of(kind: Any) -> dict[str, Any]:
    """The args of a type as its program shows them; see docs/reference/descriptions.md."""
    names = arguments_of(kind)
    return {"type": "object", "properties": dict.fromkeys(names, _TEXT), "required": names}


def argv_of(kind: Any, args: Mapping[str, Any], own: Mapping[str, str]) -> list[str]:
    """The words of its program. `own` are the placeholders of its web server. Raises CommandError
    as `fill` does.
    """
    return placeholders.fill(kind.process, {**args, **own})


def reserved(kind: Any) -> tuple[str, ...]:
    """Placeholders that are no arguments."""
    return ("port", "path") if web_server_of(kind) is not None else ()
