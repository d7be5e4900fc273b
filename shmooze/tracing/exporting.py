"""Spans on their way to the collector: they wait in bounded memory, and go in batches.

The SDK's BatchSpanProcessor would do this in a thread, and start it again in each fork, which ours
must not: a fork of a service is about to become a module's program.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import gevent
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from shmooze.runtime import clock

log = logging.getLogger(__name__)


class SpanQueue(SpanProcessor):
    """Exports spans that have ended, in a greenlet that lives while there are any."""

    #: Seconds for which spans are gathered.
    interval = 1.0
    #: Spans that are sent at once.
    batch = 512
    #: Spans that may wait; the oldest are dropped.
    max_waiting = 5000
    #: Seconds that sending the last ones may take at the end of the program.
    stop_timeout = 2.0

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._waiting: deque[ReadableSpan] = deque(maxlen=self.max_waiting)
        self._greenlet: gevent.Greenlet | None = None
        self._lost = 0
        self._has_problem = False

    def on_end(self, span: ReadableSpan) -> None:
        if not span.context or not span.context.trace_flags.sampled:
            return
        self._lost += len(self._waiting) == self.max_waiting
        self._waiting.append(span)
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def shutdown(self) -> None:
        """Send what waits, for a moment at most."""
        if self._greenlet is not None:
            self._greenlet.kill()
        with gevent.Timeout(self.stop_timeout, False):
            while self._waiting:
                self._export()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        self.shutdown()
        return not self._waiting

    def _run(self) -> None:
        try:
            while self._waiting:
                clock.sleep(self.interval)
                self._export()
        finally:
            self._greenlet = None

    def _export(self) -> None:
        count = min(len(self._waiting), self.batch)
        spans = [self._waiting.popleft() for _ in range(count)]
        try:
            arrived = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception as bad:  # whatever a library raises must not end the exports
            log.debug("spans were not sent: %s", bad)
            arrived = False
        lost, self._lost = self._lost + (0 if arrived else count), 0
        if lost and not self._has_problem:
            log.warning("traces: %d spans are lost: the collector does not take them", lost)
        elif arrived and self._has_problem:
            log.warning("traces: spans arrive again")
        self._has_problem = bool(lost)


def carrier_of(environ: dict[str, Any]) -> dict[str, str]:
    """The headers of a request that say which trace it belongs to."""
    names = {"traceparent": "HTTP_TRACEPARENT", "tracestate": "HTTP_TRACESTATE"}
    return {name: environ[key] for name, key in names.items() if key in environ}
