"""The limits of a server: sizes, timeouts, connections. Each is a key of the settings."""

from __future__ import annotations

from dataclasses import dataclass, fields

from shmooze.settings import Settings


@dataclass(frozen=True)
class Limits:
    """Each has the name of its key in the settings. Sizes are bytes, times seconds."""

    #: The first line of a request, the URL in it.
    max_url: int = 8 << 10
    #: The header of a request, its first line included.
    max_header: int = 32 << 10
    #: The body of a request.
    max_body: int = 1 << 20
    #: From a request's first byte to the end of its header.
    header_timeout: float = 10.0
    #: From the end of the header to the end of the body.
    body_timeout: float = 30.0
    #: For which a connection may be idle between requests.
    idle_timeout: float = 75.0
    #: For a client to read each 64 KiB of an answer.
    send_timeout: float = 30.0
    #: Connections at the same time.
    max_connections: int = 4000

    @classmethod
    def of(cls, source: Settings) -> Limits:
        """The limits in the settings, with defaults for those not given. Raises SettingsError."""
        chosen = {}
        for field in fields(cls):
            value = source.get(field.name, field.default)
            whole = isinstance(field.default, int)
            if type(value) not in ((int,) if whole else (int, float)) or value <= 0:
                kind = "a whole number" if whole else "a number of seconds"
                raise source.error(field.name, f"must be {kind} above 0, not {value!r}")
            chosen[field.name] = value
        return cls(**chosen)
