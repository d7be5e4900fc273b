"""An application that can be exchanged for another one while requests come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Application = Any


class Exchangeable:
    """A WSGI application that stands for another one. Requests under way stay with the earlier."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def exchange(self, application: Application) -> None:
        """Let another application answer all further requests."""
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._application(environ, start_response)
        return answer

    def headers_for(self, origin: str | None) -> list[tuple[str, str]]:
        """See AccessGate."""
        headers: list[tuple[str, str]] = self._application.headers_for(origin)
        return headers

    def is_streamed(self, path: str) -> bool:
        """See AccessGate."""
        return bool(self._application.is_streamed(path))
