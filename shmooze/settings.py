"""The settings of an application: one JSON file, named by the variable SHMOOZE_SETTINGS.

    import shmooze.settings
    shmooze.settings.ports["queue"]
    shmooze.settings.get("app_volume_device", "default")

The file is read when a setting is first asked for. Without the variable the packaged defaults
are the settings; with it they only fill in for the known keys that the file leaves out, `ports`
and `public` excepted, which are the application's own decision.

Child processes read settings too, so this file is light: it reads JSON and expands paths. Which
keys there are and what their values must be is declared in runtime/declared.py.

Every SettingsError is one line that names the file and the key.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shmooze.errors import SettingsError

VARIABLE = "SHMOOZE_SETTINGS"

_PACKAGE = Path(__file__).resolve().parent
#: Digits that a whole number may have.
_MAX_DIGITS = 1000
#: An address of IPv6, or another host; and a port.
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z._-]+)):([0-9]{1,5})")
_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


class Settings:
    """The settings in one file.

    `source` is the file's path. `values` maps every key to its value, paths expanded.
    """

    def __init__(self, source: Path, values: dict[str, Any]) -> None:
        self.source = source
        self.values = values

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings that `environ` (os.environ) points to, and expand paths in them."""
        environ = os.environ if environ is None else environ
        packaged = _PACKAGE / "default_settings.json"
        source = Path(environ.get(VARIABLE) or packaged)
        values = _read(source)
        if source != packaged:
            defaults = _read(packaged)
            values = {key: defaults[key] for key in ("wsgi_prefix", "static_prefix")} | values
        values.setdefault("ports", {})
        values.setdefault("public", [])
        values.setdefault("static_path", str(packaged_static_path()))
        settings = cls(source, values)
        settings._expand_paths(environ)
        if source == packaged and (state_path := default_state_path(environ)) is not None:
            values.setdefault("state_path", state_path)
        return settings

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, or `default` where the file does not have it."""
        return self.values.get(key, default)

    def address(self, service: str) -> tuple[str | None, int]:
        """Host and port of a service. The host is None if `ports` has only a port for it.

        Raises SettingsError where `ports` does not name the service.
        """
        ports = self.values["ports"]
        if not isinstance(ports, dict) or service not in ports:
            raise self.error("ports", f"does not name the service {json.dumps(service)}")
        try:
            return split_address(ports[service])
        except ValueError as bad:
            raise self.error(f"ports.{service}", str(bad)) from None

    def port(self, service: str) -> int:
        """The TCP port of a service. Raises SettingsError where `ports` does not name it."""
        return self.address(service)[1]

    @property
    def services(self) -> dict[str, int]:
        """Name and port of every service behind the gateway, that is of all but `wsgi`."""
        return {name: self.port(name) for name in self.values["ports"] if name != "wsgi"}

    @property
    def public_settings(self) -> dict[str, Any]:
        """The keys that `public` lists, as far as they are set. Hosts of services stay private."""
        shown = {key: self.values[key] for key in self.values["public"] if key in self.values}
        if isinstance(shown.get("ports"), dict):
            shown["ports"] = {name: self.port(name) for name in shown["ports"]}
        return shown

    def error(self, key: str, problem: str) -> SettingsError:
        """A SettingsError about `key` of this file."""
        # Imported here because most processes that read settings have no error to report.
        from shmooze.runtime.printable import printable

        return SettingsError(printable(f"settings file {self.source}: `{key}` {problem}"))

    def _expand_paths(self, environ: Mapping[str, str]) -> None:
        for key, value in self.values.items():
            if not key.endswith("_path"):
                continue
            if not isinstance(value, str) or "\0" in value:
                raise self.error(key, f"must be a path, not {json.dumps(value)}")
            self.values[key] = self._expand(key, value, environ)

    def _expand(self, key: str, path: str, environ: Mapping[str, str]) -> str:
        try:
            return expand(path, environ)
        except KeyError as unset:
            raise self.error(key, f"uses ${unset.args[0]}, which is not set") from None


def split_address(entry: int | str) -> tuple[str | None, int]:
    """Host and port of an entry of `ports`: a port, "host:port" or "[address of IPv6]:port".

    The host is None for a port alone. Raises ValueError with what is wrong.
    """
    if not isinstance(entry, str):
        return None, int(entry)
    found = _ADDRESS.fullmatch(entry)
    if found is None:
        hint = "; an IPv6 address stands in brackets" if entry.count(":") > 1 else ""
        words = 'must be a port number (1 to 65535) or "host:port"'
        raise ValueError(f"{words}, not {json.dumps(entry)[:60]}{hint}")
    if not 1 <= int(found[3]) <= 65535:
        raise ValueError(f"must have a port from 1 to 65535, not {found[3]}")
    return found[1] or found[2], int(found[3])


def expand(path: str, environ: Mapping[str, str] = os.environ) -> str:
    """A path with `~` and `$VARIABLES` replaced. Raises KeyError for one that is not set."""
    if path == "~" or path.startswith("~/"):
        path = environ.get("HOME", os.path.expanduser("~")) + path[1:]
    return os.path.expanduser(_VARIABLE.sub(lambda match: environ[match[1].strip("{}")], path))


def default_state_path(environ: Mapping[str, str] = os.environ) -> str | None:
    """The state file if no settings file is named; None if the user has no home folder."""
    folder = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(folder):  # the specification says to ignore it then
        home = expand("~", environ)
        folder = os.path.join(home, ".local", "state") if home else ""
    return os.path.join(folder, "shmooze", "state.db") if os.path.isabs(folder) else None


def packaged_static_path() -> Path:
    """The folder of our own static files: inside an installed package, beside it in a checkout."""
    inside = _PACKAGE / "static"
    return inside if inside.is_dir() else _PACKAGE.parent / "static"


def _read(source: Path) -> dict[str, Any]:
    try:
        values = parse(source.read_bytes())
    except OSError as bad:
        raise SettingsError(f"settings file {source}: cannot be read: {bad.strerror}") from bad
    except ValueError as bad:
        raise SettingsError(f"settings file {source}: {bad}") from bad
    if not isinstance(values, dict):
        raise SettingsError(f"settings file {source}: must hold one JSON object")
    return values


def parse(data: bytes) -> Any:
    """The value of a JSON file that a person has written. Raises ValueError with what is wrong.

    It may begin with a byte order mark, as editors of Windows write it. A key that an object has
    twice is an error, since one of the two would be overlooked.
    """
    try:
        return json.loads(
            data.decode("utf-8-sig"),
            parse_constant=_refuse_number,
            parse_float=_finite,
            parse_int=_short,
            object_pairs_hook=_without_duplicates,
        )
    except UnicodeDecodeError as bad:
        raise ValueError(f"is not UTF-8 (byte {bad.start})") from bad
    except json.JSONDecodeError as bad:
        where = f"line {bad.lineno} column {bad.colno}"
        raise ValueError(f"broken JSON at {where}: {bad.msg}") from bad
    except RecursionError as bad:
        raise ValueError("broken JSON: nested too deeply") from bad
    except ValueError as bad:
        raise ValueError(f"broken JSON: {bad}") from bad


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"duplicate key {json.dumps(twice, ensure_ascii=False)} in one object")
    return values


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse_number(digits)


def _short(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"{digits[:20]}... has more than {_MAX_DIGITS} digits")
    return int(digits)


def _refuse_number(digits: str) -> Any:
    raise ValueError(f"{digits} is not a number")


_current: Settings | None = None


def current() -> Settings:
    """The settings of this process, read on first use."""
    global _current
    if _current is None:
        _current = Settings.load()
    return _current


def use(settings: Settings | None) -> None:
    """Make `settings` those of this process; with None they are read again on next use."""
    global _current
    _current = settings


def get(key: str, default: Any = None) -> Any:
    """The value of `key`, or `default` where the settings do not have it."""
    return current().get(key, default)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    settings = current()
    if name == "settings":  # all of them, under the name that 1.2.4 gave them
        return settings.values
    if name == "public_settings":
        return settings.public_settings
    try:
        return settings.values[name]
    except KeyError:
        raise AttributeError(f"settings file {settings.source}: has no `{name}`") from None
