"""The module types that a queue or pool has on offer: checked, and looked up by name.

They come as classes from a program, or as descriptions from the settings.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from shmooze import settings
from shmooze.errors import SettingsError
from shmooze.modules.kind import SPAWNS
from shmooze.modules.module import Module
from shmooze.modules.restarts import POLICIES

log = logging.getLogger(__name__)

#: What the settings may say of a type beside its process. These are numbers above 0.
_NUMBERS = (
    "connect_timeout",
    "command_timeout",
    "natural_death_timeout",
    "sigterm_timeout",
    "standby_timeout",
    "restart_delay",
    "restart_delay_max",
    "restart_limit",
    "restart_period",
    "max_parameters_bytes",
)
#: Whole numbers, and words to choose from.
_COUNTS = ("lookahead", "standby")
_CHOICES = {"restart": POLICIES, "spawn": SPAWNS}
#: What 1.2.4 had in place of `command_timeout`.
_OLD_TIMES = ("cmd_read_timeout", "cmd_write_timeout")
_KEYS = ("process", *_NUMBERS, *_COUNTS, *_CHOICES)


def by_type(modules: Iterable[type[Module]]) -> dict[str, type[Module]]:
    """The types by name. Raises SettingsError for one that cannot be started."""
    table: dict[str, type[Module]] = {}
    for module in modules:
        name = getattr(module, "TYPE_STRING", None)
        process = getattr(module, "process", None)
        if not isinstance(name, str) or not _is_name(name):
            raise SettingsError(f"{module.__name__} has no TYPE_STRING that could be shown")
        if fault := _fault_of_argv(process):
            raise SettingsError(f"{module.__name__}: `process` {fault}")
        _check_times(module)
        if name in table:
            raise SettingsError(
                f"{module.__name__}: another module has the TYPE_STRING {name!r} too"
            )
        table[name] = module
    return table


def _check_times(module: type[Module]) -> None:
    """Tell a class that was written for 1.2.4 what has become of its times."""
    for key in _NUMBERS:
        if isinstance(value := getattr(module, key), timedelta):
            seconds = f"{value.total_seconds():g}"
            raise SettingsError(
                f"{module.__name__}: `{key}` must be a number of seconds, {seconds}, no timedelta"
            )
    if old := [key for key in _OLD_TIMES if hasattr(module, key)]:
        names = " and ".join(f"`{key}`" for key in old)
        log.warning("%s: %s of 1.2.4 is now `command_timeout`", module.__name__, names)


def impatient_gateway(kinds: Iterable[type[Module]]) -> str | None:
    """A warning where a module may take more time than the gateway waits for an answer."""
    patience = settings.get("wsgi_timeout", settings.WSGI_TIMEOUT)
    if type(patience) not in (int, float):  # the gateway says what is wrong with it
        return None
    longer = [
        f"`{key}` of {kind.TYPE_STRING} is {value:g} s"
        for kind in kinds
        for key in ("connect_timeout", "command_timeout")
        if (value := getattr(kind, key)) > patience
    ]
    if not longer:
        return None
    return (
        f"{', '.join(sorted(longer))}, and `wsgi_timeout` only {patience:g} s:"
        " the gateway will give up before the module does"
    )


def _is_name(name: str) -> bool:
    return bool(name) and name.isprintable()


def _fault_of_argv(value: object) -> str | None:
    """Why the system cannot take a value for a program and its arguments; None where it can."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        return "must be a list of strings, program first"
    if not value or not value[0]:
        return "must name a program first"
    for word in value:
        if "\0" in word:
            return f"has a null character in {word!a}, which no program can be given"
        try:
            os.fsencode(word)
        except UnicodeEncodeError:
            coding = sys.getfilesystemencoding()
            return f"has {word!a} in it, which cannot be written in this locale's {coding}"
    return None


def types_from_settings(
    service: str, key: str, *, may_be_empty: bool = False
) -> list[type[Module]]:
    """The module types that the settings describe under `service`.`key`:

        {TYPE: {"process": [program, arguments…], "connect_timeout"?: seconds, …}}

    Raises SettingsError, also where there is none although there must be.
    """
    source = settings.current()
    section = source.get(service, {})
    if not isinstance(section, dict):
        raise source.error(service, "must be an object")
    described = section.get(key, {})
    if not isinstance(described, dict):
        raise source.error(f"{service}.{key}", "must be an object of types")
    if not described and not may_be_empty:
        raise source.error(
            f"{service}.{key}", 'names no module type, as {"TYPE": {"process": [PROGRAM, …]}}'
        )
    return [
        _type_from_settings(source, f"{service}.{key}.{name}", name, d)
        for name, d in described.items()
    ]


def _type_from_settings(
    source: settings.Settings, path: str, name: str, description: Any
) -> type[Module]:
    if not _is_name(name):
        raise source.error(path, "has a name that cannot be shown")
    if not isinstance(description, dict):
        raise source.error(path, 'must be an object with a "process"')
    if unknown := [key for key in description if key not in _KEYS]:
        key = unknown[0]
        meant = "".join(f"did you mean `{each}`? " for each in get_close_matches(key, _KEYS, 1))
        raise source.error(f"{path}.{key}", f"is unknown; {meant}known: {', '.join(_KEYS)}")
    if fault := _fault_of_argv(description.get("process")):
        raise source.error(f"{path}.process", fault)
    for key, value in description.items():
        if key in _NUMBERS and (type(value) not in (int, float) or value <= 0):
            raise source.error(f"{path}.{key}", f"must be a number above 0, not {value!r}")
        if key in _COUNTS and (type(value) is not int or value < 0):
            raise source.error(f"{path}.{key}", f"must be a whole number, not {value!r}")
        if key in _CHOICES and value not in _CHOICES[key]:
            raise source.error(f"{path}.{key}", f"must be one of {', '.join(_CHOICES[key])}")
    return type(name, (Module,), {"TYPE_STRING": name, **description})
