"""The program of a type: its words, with arguments in place of placeholders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shmooze.adapters.placeholders import fill, names_in
from shmooze.modules.web_server import web_server_of


def arguments_of(kind: Any) -> list[str]:
    """The names of the arguments that its program needs."""
    return [name for name in names_in(kind.process) if name not in _reserved(kind)]


def argv_of(kind: Any, args: dict[str, Any], own: Mapping[str, str]) -> list[str]:
    """The words of its program. `own` are the placeholders of its web server. Raises CommandError
    as `fill` does.
    """
    return fill(kind.process, {**args, **own})


def _reserved(kind: Any) -> tuple[str, ...]:
    """Placeholders that are no arguments."""
    return ("port", "path") if web_server_of(kind) is not None else ()
