"""Traces: spans of requests, commands and items, in one trace over gateway and services."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from fakes import Fake, FakeClock, run_until_idle
from job_service import Service
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from support import Site, child, http

from shmooze.pool import Pool
from shmooze.tracing.attach import Items, TracedCommands
from shmooze.tracing.exporting import SpanQueue
from shmooze.tracing.requests import Traced


class Job(Fake):
    TYPE_STRING = "job"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def queue(clock: FakeClock, exporter: InMemorySpanExporter) -> SpanQueue:
    return SpanQueue(exporter)


@pytest.fixture
def tracer(queue: SpanQueue) -> Any:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    return provider.get_tracer("test")


def spans(queue: SpanQueue, exporter: InMemorySpanExporter) -> dict[str, Any]:
    """What has been exported, by name."""
    queue.shutdown()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_an_item_has_a_span_in_the_trace_of_its_add(
    clock: FakeClock, queue: SpanQueue, exporter: InMemorySpanExporter, tracer: Any
) -> None:
    def make() -> Pool:
        pool = Pool([Job])
        Items(pool, tracer)
        return pool

    service = Service(clock, make)
    commands = TracedCommands(tracer)
    query = {"cmd": "add", "args": {"type": "job"}}
    commands.answer(query, service.broker.single_command)
    run_until_idle()
    service.process.update("fail", error="no paper")
    run_until_idle()
    service.process.exit(0)
    clock.advance(1)
    found = spans(queue, exporter)
    add, item = found["add"], found["item job"]
    assert item.parent.span_id == add.context.span_id
    assert [event.name for event in item.events] == ["starting", "suspended", "playing", "ending"]
    assert item.attributes["shmooze.outcome"] == "failed"
    assert item.status.status_code is StatusCode.ERROR and "no paper" in item.status.description
    service.stop()


def test_a_refused_command_is_an_error(
    queue: SpanQueue, exporter: InMemorySpanExporter, tracer: Any
) -> None:
    TracedCommands(tracer).answer({"cmd": "add"}, lambda query: {"success": False, "error": "no"})
    assert spans(queue, exporter)["add"].status.description == "no"


def test_a_request_goes_on_with_the_trace_of_its_client(
    queue: SpanQueue, exporter: InMemorySpanExporter, tracer: Any
) -> None:
    seen: list[str] = []

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        seen.append(environ["HTTP_TRACEPARENT"])
        start("502 Bad Gateway", [])
        return [b""]

    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/queue", "HTTP_TRACEPARENT": parent}
    Traced(app, tracer)(environ, lambda *_: None)
    span = spans(queue, exporter)["POST"]
    assert f"{span.context.trace_id:x}" == "a" * 32
    assert f"{span.parent.span_id:x}" == "b" * 16
    assert seen == [f"00-{'a' * 32}-{span.context.span_id:016x}-01"]
    assert span.attributes["http.response.status_code"] == 502
    assert span.status.status_code is StatusCode.ERROR


def test_a_collector_that_is_away_is_told_of_once(
    clock: FakeClock, queue: SpanQueue, exporter: Any, tracer: Any, caplog: Any
) -> None:
    export = exporter.export
    exporter.export = lambda spans: SpanExportResult.FAILURE
    for _ in range(3):
        tracer.start_span("lost").end()
        clock.advance(2)
    exporter.export = export
    tracer.start_span("kept").end()
    clock.advance(2)
    assert [each.getMessage() for each in caplog.records] == [
        "traces: 1 spans are lost: the collector does not take them",
        "traces: spans arrive again",
    ]


class Collector(HTTPServer):
    """Takes traces by OTLP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[tuple[str, str, str]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.server.spans += [
                (names["service.name"], span.name, span.trace_id.hex())
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.shutdown()
    collector.server_close()


def test_gateway_command_and_item_are_one_trace_at_the_collector(
    make_site: Callable[..., Site], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{collector.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    well = {"process": child("well")}
    settings = {"queue": {"modules": {"well": well}}, "tracing": True}
    site = make_site(services=("wsgi", "queue"), settings=settings).start()
    packet = {"cmd": "add", "args": {"type": "well", "args": {"name": "m"}}}
    headers = {"traceparent": f"00-{'c' * 32}-{'d' * 16}-01"}
    assert http(f"{site.url}queue", packet, headers=headers).json["success"]
    site.stop("wsgi", "queue")  # what waits is sent then
    ours = {(service, name) for service, name, trace in collector.spans if trace == "c" * 32}
    assert ours == {("wsgi", "POST"), ("queue", "POST"), ("queue", "add"), ("queue", "item well")}
