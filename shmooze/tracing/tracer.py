"""The tracer of this program: one, however often its settings are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shmooze import __version__
from shmooze.runtime import extras
from shmooze.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_tracers: dict[str, Tracer] = {}


def tracer(source: Settings, name: str) -> Tracer:
    """The tracer of the program `name`. Raises SettingsError if the extra is not installed.

    Where spans are sent, and how many, is what the standard variables `OTEL_…` say.
    """
    extras.require(source, "tracing", extras.EXPORTER, "tracing")
    if name not in _tracers:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider

        from shmooze.tracing.exporting import SpanQueue

        own = Resource({"service.name": name, "service.version": __version__})
        provider = TracerProvider(
            resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        provider.add_span_processor(SpanQueue(OTLPSpanExporter()))
        _providers.append(provider)
        _tracers[name] = provider.get_tracer("shmooze", __version__)
    return _tracers[name]


def traced(source: Settings, name: str, app: Any) -> Any:
    """A WSGI application with a span for each request."""
    own = tracer(source, name)
    from shmooze.tracing.requests import Traced  # which needs the extra

    return Traced(app, own)


_providers: list[object] = []


def close() -> None:
    """Send what waits, at the end of the program."""
    while _providers:
        _providers.pop().shutdown()  # type: ignore[attr-defined]
    _tracers.clear()
