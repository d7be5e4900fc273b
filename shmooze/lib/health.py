"""GET `/health` and GET `/version` of a service: whether it is well, and which one it is.

    200 {"status": "ok", "parts": {}}
    503 {"status": "failing", "parts": {"state": "the disk is full"}}

Where tokens are used, `/health` may be asked without one, as load balancers do. The answer then has
the status only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from bottle import HTTPResponse, request
from gevent.lock import Semaphore

from shmooze import __version__
from shmooze.access.gate import HOLDER
from shmooze.lib import packet

#: The path below which a service answers.
HEALTH, VERSION = "/health", "/version"


class HealthCheck:
    """Answers for a service, whose problems by part `find_problems` returns. It may wait."""

    #: Seconds for which an answer holds, since anybody may ask.
    interval = 2.0

    def __init__(self, find_problems: Callable[[], Mapping[str, str]]) -> None:
        self._find_problems = find_problems
        self._checked = float("-inf")
        self._problems: Mapping[str, str] = {}
        self._checking = Semaphore()

    def answer(self) -> HTTPResponse:
        """The answer to the current request."""
        problems = self.problems()
        return health_answer(not problems, problems)

    def problems(self) -> Mapping[str, str]:
        """The problems by part, found at most once in each interval."""
        with self._checking:
            if time.monotonic() - self._checked >= self.interval:
                self._problems = self._find_problems()
                self._checked = time.monotonic()
            return self._problems


def health_answer(is_well: bool, parts: Mapping[str, str]) -> HTTPResponse:
    """The answer to a question for the health; `parts` are for clients that may read."""
    body: dict[str, Any] = {"status": "ok" if is_well else "failing"}
    if request.environ[HOLDER].scopes.allowed:
        body["parts"] = parts
    return json_answer(body, 200 if is_well else 503)


def answer_version() -> HTTPResponse:
    """The answer to a question for the version of a service."""
    return json_answer({"version": __version__})


def json_answer(value: Any, status: int = 200) -> HTTPResponse:
    """JSON that is true at this moment only."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return HTTPResponse(packet.encode(value), status, headers)
