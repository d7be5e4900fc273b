"""Where the description of a module type comes from: the settings, a class, or a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from shmooze.description.description import MAX_BYTES, Description
from shmooze.errors import PacketError, SettingsError
from shmooze.modules.kind import Kind
from shmooze.runtime import declared, jsonsafe


def read(kind: type[Kind]) -> Description:
    """The description that `schema` of a type is, or names the file of.

    Raises SettingsError that says in one line where a mistake is.
    """
    if isinstance(kind.schema, str):
        file = declared.current().source.parent / kind.schema
        return Description(
            _read_file(file, kind),
            lambda path, problem: _wrong(kind, "", f"names {file}{_in(path)} {problem}"),
        )
    return Description(kind.schema, lambda path, problem: _wrong(kind, path, problem))


def _read_file(file: Path, kind: type[Kind]) -> Any:
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # a named pipe would block
            raise _wrong(kind, "", f"names {file}, which is not a file")
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as bad:
        problem = bad.strerror if isinstance(bad, OSError) else str(bad)
        raise _wrong(kind, "", f"names {file}: {problem}") from bad
    if len(content) > MAX_BYTES:
        raise _wrong(kind, "", f"names {file}, which takes over {MAX_BYTES} bytes")
    try:
        return jsonsafe.decode(content)
    except PacketError as bad:
        raise _wrong(kind, "", f"names {file}, which is not JSON: {bad}") from bad


def _in(path: str) -> str:
    return f", in which `{path}`" if path else ", which"


def _wrong(kind: type[Kind], path: str, problem: str) -> SettingsError:
    key = f"schema.{path}" if path else "schema"
    if kind.place_in_settings:
        return declared.current().error(f"{kind.place_in_settings}.{key}", problem)
    return SettingsError(f"{kind.__name__}: `{key}` {problem}")
