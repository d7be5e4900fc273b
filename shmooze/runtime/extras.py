"""Extras: packages that shmooze needs only for what some applications ask for."""

from __future__ import annotations

import importlib.util

from shmooze.settings import Settings

#: What the setting `tracing` needs.
EXPORTER = "opentelemetry.exporter.otlp.proto.http"


def require(source: Settings, key: str, package: str, extra: str) -> None:
    """Raise SettingsError if a setting needs a package that is not installed.

    Nothing is imported.
    """
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:  # of the package that it is a part of
        found = None
    if found is None:
        raise source.error(key, f"needs a package: pip install 'shmooze[{extra}]'")
