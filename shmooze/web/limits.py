"""The limits of a server: sizes, timeouts, connections. Each is a key of the settings."""

from __future__ import annotations

from msgspec.structs import replace

from shmooze.runtime import declared, schema
from shmooze.settings import Settings


class Limits(declared.Limits, frozen=True):
    """The limits of one server."""

    @classmethod
    def of(cls, source: Settings) -> Limits:
        """Those that the settings name, and the defaults of the others. Raises SettingsError."""
        return schema.read(cls, source.values, source.error)

    def with_connections(self, most: int) -> Limits:
        """The same, with another `max_connections`."""
        return replace(self, max_connections=most)
