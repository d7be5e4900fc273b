"""GET `settings.json`: the public settings, and what the token of the client allows."""

from __future__ import annotations

from bottle import request, response

from shmooze.access.gate import HOLDER
from shmooze.lib import packet
from shmooze.settings import Settings


def serve_settings(source: Settings, uses_tokens: bool) -> bytes:
    """The answer to the current request."""
    response.content_type = "application/json"
    response.set_header("Cache-Control", "no-cache")
    scheme = request.get_header("Authorization", "").partition(" ")[0]
    if uses_tokens and scheme.lower() != "bearer":
        response.set_header("Shmooze-Logout", "logout")  # by the cookie of the login form
        allowed = request.environ[HOLDER].scopes.allowed
        response.set_header("Shmooze-Scopes", " ".join(sorted(allowed)))
    return packet.encode(source.public_settings)
