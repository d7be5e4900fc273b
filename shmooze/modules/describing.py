"""The description of a Python module, which its program prints for `--describe`.

It is derived from what the class has anyway: docstrings, hints and defaults of the functions in
its table `commands`. What cannot be derived are two class attributes, `label` and `parameters`.

Loaded only for `--describe`: standard library only, compatible with Python 3.8.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
import textwrap

from shmooze.lib import packet
from shmooze.modules import arguments, hints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn

#: Sections of a docstring, as Google's style guide has them.
_SECTIONS = ("Args:", "Arguments:", "Returns:", "Yields:", "Raises:", "Example:", "Examples:")
_ARGUMENT = re.compile(r"\*{0,2}(\w+)(?: *\([^)]*\))?: *(.*)")


def print_and_exit(module: type) -> NoReturn:
    """Print the description of a class as one JSON object, and end the program."""
    try:
        text = json.dumps(describe(module), allow_nan=False)
    except (TypeError, ValueError) as bad:
        program = os.path.basename(sys.argv[0])
        raise SystemExit(f"{program}: {module.__name__} cannot be described: {bad}") from None
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    raise SystemExit(0)


def describe(module: Any) -> dict[str, Any]:
    """The description of a subclass of JSONParentPoller.

    Raises TypeError or ValueError if its `label` or `parameters` are not what they should be.
    """
    first, _, rest = inspect.cleandoc(module.__doc__ or "").partition("\n")
    commands = module.commands
    parts = {
        "title": first.rstrip("."),
        "description": rest.strip(),
        "label": _label(module),
        "args": _args(commands["init"]) if "init" in commands else {},
        "commands": {
            name[3:]: _command(function)
            for name, function in commands.items()
            if name.startswith("do_")
        },
        "parameters": _parameters(module),
        "result": _result(module),
    }
    return {name: part for name, part in parts.items() if part}


def _label(module: Any) -> str:
    label = getattr(module, "label", "")
    if not isinstance(label, str):
        raise TypeError('`label` must be text, such as "{name}, {seconds} s"')
    return label


def _parameters(module: Any) -> dict[str, Any]:
    parameters = getattr(module, "parameters", {})
    if not isinstance(parameters, dict):
        raise TypeError("`parameters` must be a dict of names, each with a hint or a schema")
    return {name: _parameter(each) for name, each in parameters.items()}


def _result(module: Any) -> dict[str, Any]:
    """The schema of the result, which is declared as that or as a hint."""
    said = getattr(module, "result_type", None)
    return said if isinstance(said, dict) else hints.schema_of(said, {}) if said else {}


def _parameter(said: Any) -> dict[str, Any]:
    """The schema of a parameter, which is declared as that, as a role, or as a hint."""
    if isinstance(said, dict):
        return said
    if isinstance(said, str):
        return {"role": said}
    return hints.schema_of(said, {})


def _command(function: Callable[..., Any]) -> dict[str, Any]:
    text, sections = _read_docstring(function)
    signature = hints.signature(function)
    result = dict(signature.result or {}) if signature else {}
    if "Returns:" in sections:
        result.setdefault("description", _in_one_line(sections["Returns:"]))
    parts = {"description": text, "args": _args(function), "result": result}
    return {name: part for name, part in parts.items() if part}


def _args(function: Callable[..., Any]) -> dict[str, Any]:
    """The schema of the arguments of a function."""
    signature = hints.signature(function)
    if signature is None:
        return {"type": "object", "additionalProperties": True}
    said = _described_arguments(_read_docstring(function)[1])
    properties: dict[str, Any] = {}
    for name in signature.names:
        schema = dict(signature.schemas.get(name, {}))
        if name in said:
            schema.setdefault("description", said[name])
        if name in signature.defaults and _is_json(signature.defaults[name], schema):
            schema.setdefault("default", signature.defaults[name])
        properties[name] = schema
    required = [name for name in signature.names if name not in signature.defaults]
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False if signature.others is None else signature.others or True,
    }


def _is_json(value: Any, schema: dict[str, Any]) -> bool:
    """Return True if a default can be sent as an argument without becoming something else."""
    try:
        return bool(packet.decode(packet.encode(value)) == value) and arguments.fits(value, schema)
    except (TypeError, ValueError):
        return False


def _read_docstring(function: Any) -> tuple[str, dict[str, list[str]]]:
    """The prose of a docstring, and the lines of its sections."""
    prose: list[str] = []
    sections: dict[str, list[str]] = {}
    current = prose
    for line in inspect.cleandoc(function.__doc__ or "").splitlines():
        if line in _SECTIONS:
            current = sections.setdefault(line.replace("Arguments", "Args"), [])
        else:
            if line[:1].strip():  # what is not indented belongs to no section
                current = prose
            current.append(line)
    return "\n".join(prose).strip(), sections


def _described_arguments(sections: dict[str, list[str]]) -> dict[str, str]:
    """The descriptions in the section `Args:` of a docstring, by name."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in textwrap.dedent("\n".join(sections.get("Args:", []))).splitlines():
        start = _ARGUMENT.match(line)
        if start:
            current = found.setdefault(start[1], [])
            line = start[2]
        current.append(line)
    return {name: _in_one_line(lines) for name, lines in found.items()}


def _in_one_line(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
