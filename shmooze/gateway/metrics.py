"""GET `metrics`: what the services and the gateway itself have counted, as Prometheus reads it.

All services are asked at the same time. One that is away has `shmooze_up` 0, and does not hold the
others up. Each sample of a service gets the label `service`, so two services never have the same
one; samples of one name come together, as the format wants it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from bottle import HTTPResponse, request
from msgspec import Meta, Struct
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from shmooze import __version__
from shmooze.access.gate import HOLDER
from shmooze.gateway.asking import ask_each
from shmooze.gateway.counting import BUCKETS, ITSELF, Counting
from shmooze.lib import packet
from shmooze.web.backend import Backend
from shmooze.web.reply import Reply

#: Seconds for the answer of a service.
TIMEOUT = 1.0

_QUERY = packet.encode({"cmd": "metrics"})

_Name = Annotated[str, Meta(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*\Z")]
_Label = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*\Z")]


class Family(Struct, frozen=True):
    """A family of metrics as a service sends it, see metrics/table.py."""

    name: _Name
    type: Literal["counter", "gauge", "histogram", "info", "summary", "unknown"]
    help: str
    samples: list[tuple[_Name, dict[_Label, str], float]]


class _Answer(Struct, frozen=True):
    success: Literal[True]
    result: list[Family]


class MetricsPage:
    """Answers for the services of `backends`, and what `counting` has counted, if anything."""

    def __init__(self, backends: Mapping[str, Backend], counting: Counting | None) -> None:
        self._backends, self._counting = backends, counting

    def answer(self, headers: Mapping[str, str]) -> HTTPResponse:
        """The answer to the current request; `headers` tell a service who asks."""
        scopes = request.environ[HOLDER].scopes
        backends = {
            name: each for name, each in self._backends.items() if scopes.allow_service(name)
        }
        merged = _Merged()
        up = GaugeMetricFamily("shmooze_up", "Whether a service answers.", labels=["service"])
        for name, reply in ask_each(
            backends, lambda each: each.look("/", headers, TIMEOUT, _QUERY)
        ).items():
            is_up = isinstance(reply, Reply) and reply.status_code < 500
            up.add_metric([name], is_up)
            if isinstance(reply, Reply):
                merged.add(name, _families_of(reply))
        merged.families["shmooze_up"] = up
        if self._counting is not None and scopes.services is None:
            merged.add(ITSELF, map(_as_family, _own(self._counting)))
            for family in _requests(self._counting):
                merged.families[family.name] = family
        encode, content_type = choose_encoder(request.get_header("Accept", ""))
        text = encode(merged)
        return HTTPResponse(text, 200, {"Content-Type": content_type, "Cache-Control": "no-store"})


class _Merged:
    """Families by name, as a registry has them."""

    def __init__(self) -> None:
        self.families: dict[str, Metric] = {}

    def add(self, service: str, families: Iterable[Family]) -> None:
        """Add the samples of a service. What has another type at another service is left out."""
        for each in families:
            family = self.families.get(each.name)
            if family is None:
                family = self.families[each.name] = Metric(each.name, each.help, each.type)
            if family.type == each.type:
                for name, labels, value in each.samples:
                    family.add_sample(name, {**labels, "service": service}, value)

    def collect(self) -> Iterator[Metric]:
        for name in sorted(self.families):
            yield self.families[name]


def _families_of(reply: Reply) -> list[Family]:
    """What a service has counted; nothing for one that is no queue or pool, or counts nothing."""
    try:
        return msgspec.json.decode(bytes(reply.body), type=_Answer).result
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []


def _as_family(metric: Metric) -> Family:
    samples = [(each.name, each.labels, each.value) for each in metric.samples]
    return Family(metric.name, metric.type, metric.documentation, samples)  # type: ignore[arg-type]


def _own(counting: Counting) -> Iterator[Metric]:
    """What the gateway has in common with services."""
    yield GaugeMetricFamily("shmooze_connections", "Open connections.", counting.connections())
    throttled = CounterMetricFamily(
        "shmooze_throttled",
        "Requests that were delayed or refused, for a wrong token, a limit, or too many"
        " connections.",
        labels=["reason"],
    )
    for reason, count in counting.throttled():
        throttled.add_metric([reason], count)
    yield throttled
    version = GaugeMetricFamily(
        "shmooze_version_info", "The version of the service.", labels=["version"]
    )
    version.add_metric([__version__], 1)
    yield version


def _requests(counting: Counting) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "shmooze_gateway_requests",
        "Requests to the gateway, by the service that they were for and the class of the status.",
        labels=["service", "status"],
    )
    times = HistogramMetricFamily(
        "shmooze_gateway_request_seconds",
        "From a request that was read to its answer, streams excluded.",
        labels=["service"],
    )
    for target in counting.targets:
        for status, count in counting.requests(target):
            requests.add_metric([target, status], count)
        counts, seconds = counting.times(target)
        times.add_metric([target], _cumulated(counts), seconds)
    yield from (requests, times)


def _cumulated(counts: list[float]) -> list[tuple[str, float]]:
    bounds = [*map(str, BUCKETS), "+Inf"]
    return [(bound, sum(counts[: number + 1])) for number, bound in enumerate(bounds)]
