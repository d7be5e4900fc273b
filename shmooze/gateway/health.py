"""GET `health` and GET `version`: whether all services are well, and which versions run.

    200 {"status": "ok", "parts": {"gateway": "ok", "queue": "ok"}}
    503 {"status": "failing", "parts": {"gateway": "ok", "queue": "state: the disk is full"}}

Where tokens are used, `health` may be asked without one. The answer then has the status only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from bottle import HTTPResponse, request
from msgspec import Struct

from shmooze import __version__
from shmooze.access.gate import HOLDER, NOBODY
from shmooze.gateway.asking import ask_each
from shmooze.lib.health import HEALTH, VERSION, health_answer, json_answer
from shmooze.web.backend import Backend
from shmooze.web.reply import Reply

#: Seconds for the answer of a service. It may itself wait two seconds for its disk.
TIMEOUT = 4.0

OK = "ok"


class _Health(Struct, frozen=True):
    status: str
    parts: dict[str, str] = {}


class _Version(Struct, frozen=True):
    version: str


class HealthPages:
    """Answers for the services of `backends`; `headers` tell a service who asks."""

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._backends = backends

    def health(self, headers: Mapping[str, str]) -> HTTPResponse:
        """The answer to the current request for the health."""
        replies = ask_each(self._allowed(), lambda backend: backend.look(HEALTH, headers, TIMEOUT))
        parts = {"gateway": OK, **{name: _health_of(reply) for name, reply in replies.items()}}
        return health_answer(set(parts.values()) == {OK}, parts)

    def version(self, headers: Mapping[str, str]) -> HTTPResponse:
        """The answer to the current request for the versions; null where a service tells none."""
        replies = ask_each(self._allowed(), lambda backend: backend.look(VERSION, headers, TIMEOUT))
        services = {name: _version_of(reply) for name, reply in replies.items()}
        return json_answer({"version": __version__, "services": services})

    def _allowed(self) -> dict[str, Backend]:
        holder = request.environ[HOLDER]
        return {
            name: backend
            for name, backend in self._backends.items()
            if holder is NOBODY or holder.scopes.allow_service(name)
        }


def _health_of(reply: Reply | str) -> str:
    if isinstance(reply, str):
        return reply
    if reply.status_code == 503:
        try:
            parts = msgspec.json.decode(bytes(reply.body), type=_Health).parts
        except (msgspec.DecodeError, UnicodeDecodeError):
            parts = {}
        return "; ".join(f"{part}: {problem}" for part, problem in parts.items()) or "failing"
    # Another kind of service may know nothing of this, but it answers.
    return OK if reply.status_code < 500 else f"answers with status {reply.status_code}"


def _version_of(reply: Reply | str) -> Any:
    try:
        return msgspec.json.decode(bytes(reply.body), type=_Version).version  # type: ignore[union-attr]
    except (AttributeError, msgspec.DecodeError, UnicodeDecodeError):
        return None
