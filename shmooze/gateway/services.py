"""What the services say of themselves: each is asked for `describe`, all at the same time.

A service may be down, old, slow, or not ours, so it gets little time, and its answer is checked.
Where there is none to use, a note says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from shmooze.errors import PacketError
from shmooze.lib import packet
from shmooze.runtime import jsonsafe
from shmooze.web.client import Client
from shmooze.web.reply import BrokenReply
from shmooze.web.route import Route

#: Seconds for the answer of a service.
TIMEOUT = 10.0
#: Bytes that it may have.
MAX_DESCRIPTION = 1 << 20

_QUERY = packet.encode({"cmd": "describe"})


class Command(Struct, frozen=True):
    """A command of a service, or of a module type."""

    description: str = ""
    args: dict[str, Any] = {}
    result: dict[str, Any] | bool | UnsetType = UNSET
    changes: bool = True


class ModuleType(Struct, frozen=True):
    """A module type. Everything is missing if it has no description."""

    title: str = ""
    description: str = ""
    args: dict[str, Any] | UnsetType = UNSET
    commands: dict[str, Command] | UnsetType = UNSET
    parameters: dict[str, dict[str, Any] | bool] = {}


class Service(Struct, frozen=True):
    """A service as it describes itself. See lib/describe.py."""

    commands: dict[str, Command]
    title: str = ""
    description: str = ""
    modules: dict[str, ModuleType] = {}
    backgrounds: dict[str, ModuleType] = {}
    events: bool = False


def ask_all(routes: Mapping[str, Route], headers: Mapping[str, str]) -> dict[str, Service | str]:
    """For each service of `routes`, how it describes itself, or why it does not: a predicate."""
    if not routes:
        return {}
    # Greenlets where gevent has patched the program, and threads under another WSGI server.
    with ThreadPoolExecutor(len(routes)) as pool:
        answers = pool.map(lambda route: _ask(route, headers), routes.values())
        return dict(zip(routes, answers, strict=True))


def _ask(route: Route, headers: Mapping[str, str]) -> Service | str:
    client = Client(route.host, route.port, TIMEOUT, tls=route.tls, max_answer=MAX_DESCRIPTION)
    try:
        reply = client.post(_QUERY, {**headers, **route.headers})
    except TimeoutError:
        return "did not answer in time"
    except BrokenReply as broken:
        return f"gave no answer that can be used: {broken}"
    except OSError:
        return "is not running"
    try:
        answer = jsonsafe.decode(bytes(reply.body))
        if not isinstance(answer, dict) or answer.get("success") is not True:
            return "does not describe itself"
        return msgspec.convert(answer.get("result"), Service)
    except PacketError:
        return "gave an answer that is not JSON"
    except msgspec.ValidationError as bad:
        return f"describes itself in an unknown form: {bad}"
