"""Command packets that are sent by POST: decoded, carried out for the caller, answered."""

from __future__ import annotations

import math
from typing import Any, Protocol

import bottle

from shmooze.access.caller import Caller, caller
from shmooze.access.gate import CLIENT, HOLDER
from shmooze.access.token_file import Holder
from shmooze.errors import PacketError
from shmooze.runtime import jsonsafe
from shmooze.web.answers import Refused, json_body
from shmooze.web.environ import HAS_LEFT
from shmooze.web.results import encode


class Commanded(Protocol):
    """What answers command packets."""

    def command(self, query: Any) -> Any:
        """The answer to what a client sent. Raises PacketError if that is not a packet."""


def answer_post(commanded: Commanded, max_body: int) -> bytes:
    """The answer to the current request, within the access gate. Raises Refused."""
    try:
        query = jsonsafe.decode(json_body(max_body))
    except PacketError as bad:
        raise Refused(400, f"the body cannot be decoded: {bad}") from bad
    environ = bottle.request.environ
    holder: Holder = environ[HOLDER]
    who = Caller(holder.scopes.role, environ[CLIENT], holder.name, scopes=holder.scopes)
    who.has_left = environ.get(HAS_LEFT, who.has_left)
    before = caller.set(who)
    try:
        answer = commanded.command(query)
    except PacketError as bad:
        raise Refused(400, str(bad)) from bad
    finally:
        caller.reset(before)
    bottle.response.content_type = "application/json"
    if who.retry_after is not None:
        bottle.response.set_header("Retry-After", str(math.ceil(who.retry_after)))
        if not isinstance(query, list):
            bottle.response.status = 429
    return encode(query, answer, commanded)
