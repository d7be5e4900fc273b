"""Commands that a running process has reported, as part of the description of its type.

They were not written for us: what of their schemas cannot be used is left out, and the process
checks those arguments itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from shmooze.description.description import MAX_BYTES, Description
from shmooze.errors import SettingsError
from shmooze.lib import packet

log = logging.getLogger(__name__)

#: Arguments that nobody checks.
_ANY = {"type": "object", "additionalProperties": True}
#: The part of a description that may be taken by commands.
_MOST = MAX_BYTES // 2


def usable(commands: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """Commands as a description may have them. `whose` they are is for the log."""
    found: dict[str, Any] = {}
    size, unchecked = 0, []
    for name, told in commands.items():
        command = _without_dialect(told)
        length = len(packet.encode(command))
        if size + length > _MOST or not _is_valid(name, command):
            unchecked.append(name)
            command = {"description": command["description"][:200], "args": _ANY}
            length = len(packet.encode(command))
        size += length
        found[name] = command
    if unchecked:
        names = ", ".join(f"`{name}`" for name in unchecked[:5])
        more = f" and {len(unchecked) - 5} more" if len(unchecked) > 5 else ""
        log.warning("%s: arguments of %s%s are not checked here", whose, names, more)
    return found


def _without_dialect(command: dict[str, Any]) -> dict[str, Any]:
    """A command whose schemas do not say which version of JSON Schema they are for.

    What differs between those that are in use is hardly ever used.
    """
    schemas: dict[str, Any] = {
        key: {name: each for name, each in command[key].items() if name not in ("$schema", "$id")}
        for key in ("args", "result")
        if key in command
    }
    return {**command, **schemas}


def _is_valid(name: str, command: dict[str, Any]) -> bool:
    try:
        Description({"commands": {name: command}}, _wrong)
    except SettingsError as mistake:
        log.warning("a command that a module has told of is ignored: %s: %s", name, mistake)
        return False
    return True


def _wrong(path: str, problem: str) -> SettingsError:
    return SettingsError(f"{path} {problem}")


def merged(document: Mapping[str, Any], commands: Mapping[str, Any]) -> Description:
    """A description with these commands; those that it has itself stay. Raises SettingsError."""
    own = document.get("commands", {})
    return Description({**document, "commands": {**commands, **own}}, _wrong)
