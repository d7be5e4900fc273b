"""A span for each request: a WSGI application around another one.

It goes on with the trace of the client, and what is asked on behalf of the request with this span.
It lasts until the application has answered; a stream goes on after that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry import context, propagate
from opentelemetry.trace import SpanKind, StatusCode, Tracer, set_span_in_context

from shmooze.tracing.exporting import carrier_of
from shmooze.web.environ import HEADERS


class Traced:
    """The application `app`, whose other attributes it has too."""

    def __init__(self, app: Any, tracer: Tracer) -> None:
        self._app, self._tracer = app, tracer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        span = self._tracer.start_span(
            method,
            context=propagate.extract(carrier_of(environ)),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "url.path": environ.get("PATH_INFO", ""),
                "url.scheme": environ.get("wsgi.url_scheme", "http"),
            },
        )
        here = set_span_in_context(span)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, here)
        for name, value in carrier.items():
            environ[f"HTTP_{name.upper()}"] = value
        if HEADERS in environ:
            environ[HEADERS] = {**environ[HEADERS], **carrier}

        def start(status: str, headers: Any, *more: Any) -> Any:
            span.set_attribute("http.response.status_code", int(status[:3]))
            if status.startswith("5"):
                span.set_status(StatusCode.ERROR)
            return start_response(status, headers, *more)

        token = context.attach(here)
        try:
            answer: Iterable[bytes] = self._app(environ, start)
            return answer
        except Exception as bug:
            span.record_exception(bug)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            context.detach(token)
            span.end()
