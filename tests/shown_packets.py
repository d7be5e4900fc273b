"""Packets and answers on a page, compared with what services describe and really answer."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator


class Commands:
    """The commands of some services, as their answers to `describe` tell."""

    def __init__(self, descriptions: list[dict[str, Any]]) -> None:
        self._all = [described["commands"] for described in descriptions]
        self._names = {name for commands in self._all for name in commands}

    def problem_of(self, packet: dict[str, Any]) -> str | None:
        """Why no service takes a packet; None if one does."""
        name, args = packet["cmd"], packet.get("args", {})
        problems = [f"no service has the command {name}"]
        for commands in self._all:
            if name in commands:
                errors = Draft202012Validator(commands[name]["args"]).iter_errors(args)
                found = [error.message for error in errors]
                if not found:
                    return None
                problems += found
        return problems[-1]

    def named_in(self, heading: str) -> str | None:
        """The first command that a heading names in backquotes."""
        for name in re.findall(r"`(\w+)`", heading):
            if name in self._names:
                return str(name)
        return None

    def misfit(self, name: str, shown: Any) -> str | None:
        """Why something is no answer to a command, nor an element of one; None if it is."""
        if isinstance(shown, dict) and "success" in shown:
            if not shown["success"]:
                is_failure = shown.keys() == {"success", "error"} and "\n" not in shown["error"]
                return None if is_failure else "a failure has one line in `error`"
            candidates = [shown["result"]]
        else:
            candidates = [shown, [shown]]
        problems = []
        for commands in self._all:
            if name not in commands:
                continue
            checker = Draft202012Validator(commands[name].get("result", {}))
            for candidate in candidates:
                found = [error.message[:200] for error in checker.iter_errors(candidate)]
                if not found:
                    return None
                problems += found
        return "; ".join(problems[:3]) or f"no service has the command {name}"


def difference(shown: Any, real: Any, path: str = "") -> str | None:
    """Where a value has not the shape of the one that a page shows: its keys, lists and kinds.

    Null stands for anything, and a number for another one. None if there is no difference.
    """
    where = path or "the answer"
    if shown is None or real is None:
        return None
    if isinstance(shown, dict):
        if not isinstance(real, dict):
            return f"{where} is {real!r}, not an object"
        if missing := [key for key in shown if key not in real and not _is_name(key)]:
            return f"{where} has no {', '.join(missing)}; it has {', '.join(real)}"
        common = shown.keys() & real.keys()
        found = (difference(shown[key], real[key], f"{path}.{key}") for key in common)
        return next(filter(None, found), None)
    if isinstance(shown, list):
        if not isinstance(real, list):
            return f"{where} is {real!r}, not a list"
        pairs = zip(shown, real, strict=False)
        found = (difference(a, b, f"{path}[{n}]") for n, (a, b) in enumerate(pairs))
        return next(filter(None, found), None)
    kinds = {bool: bool, str: str, int: (int, float), float: (int, float)}
    return None if isinstance(real, kinds[type(shown)]) else f"{where} is {real!r}, not {shown!r}"


def _is_name(key: str) -> bool:
    """Whether a key of a page stands for some uid or name."""
    return key == "UID" or "…" in key
