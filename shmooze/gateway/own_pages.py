"""The pages of the gateway itself, below its prefix, unless a file or a service is there.

openapi.json, docs     the application described, see pages.py
health, version        see health.py
metrics                see metrics.py, if the settings want it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from bottle import HTTPResponse

from shmooze.settings import Settings
from shmooze.web.answers import Refused
from shmooze.web.backend import Backend
from shmooze.web.route import Route

if TYPE_CHECKING:
    from shmooze.gateway.counting import Counting
    from shmooze.gateway.health import HealthPages
    from shmooze.gateway.metrics import MetricsPage
    from shmooze.gateway.pages import Pages


class OwnPages:
    """Answers GET requests for these paths. Each part is loaded when it is asked for.

    `ways` lead to the services, which `backends` ask. `counting` is what the gateway has
    counted, if anything.
    """

    def __init__(
        self,
        ways: Mapping[str, Route],
        backends: Mapping[str, Backend],
        source: Settings,
        uses_tokens: bool,
        counting: Counting | None,
    ) -> None:
        self._ways, self._backends = ways, backends
        self._source, self._uses_tokens, self._counting = source, uses_tokens, counting

    def answer(self, path: str, headers: Callable[[], Mapping[str, str]]) -> HTTPResponse | None:
        """The answer to the current request; None if it is none of these pages.

        `headers` returns those that tell a service who asks.
        """
        if path == "openapi.json" or path.partition("/")[0] == "docs":
            return self._described.answer(path, headers)
        if path == "health":
            return self._health.health(headers())
        if path == "version":
            return self._health.version(headers())
        if path == "metrics":
            return self._metrics.answer(headers())
        return None

    @cached_property
    def _described(self) -> Pages:
        from shmooze.gateway.pages import Pages

        return Pages(self._source, self._ways, self._uses_tokens)

    @cached_property
    def _health(self) -> HealthPages:
        from shmooze.gateway.health import HealthPages

        return HealthPages(self._backends)

    @cached_property
    def _metrics(self) -> MetricsPage:
        if not self._source.get("metrics"):
            raise Refused(404, "metrics needs `metrics` in the settings")
        from shmooze.gateway.metrics import MetricsPage

        return MetricsPage(self._backends, self._counting)
