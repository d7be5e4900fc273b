"""The command `metrics`: all metrics of a queue or pool, as the gateway merges them.

They are kept by the library prometheus-client, but sent as JSON: the gateway adds to each sample
the name of its service, and makes the text that a Prometheus reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from shmooze import __version__
from shmooze.access.permission import Target
from shmooze.broker.broker import Broker
from shmooze.broker.shapes import TEXT, object_of
from shmooze.metrics.lives import Lives
from shmooze.metrics.rising import Rising
from shmooze.metrics.usage import UsageByType
from shmooze.modules.lifecycle import State

_STATES = [state for state in State if state is not State.GONE]

#: What `metrics` returns.
Families = Annotated[
    dict[str, Any],
    object_of(
        "A family of metrics, as Prometheus has them.",
        name=TEXT,
        type={"enum": ["counter", "gauge", "histogram", "info"]},
        help=TEXT,
        samples={
            "type": "array",
            "description": "Name, labels and value of each sample.",
            "items": {"type": "array"},
        },
    ),
]


class Metrics:
    """Counts what happens in a broker, and answers for it."""

    def __init__(self, broker: Broker) -> None:
        disable_created_metrics()  # times at which counters were made, as samples of their own
        self._broker = broker
        self._began = time.time()
        self._misses = Rising()
        self._registry = CollectorRegistry()
        self.lives = Lives(self._registry, broker.roster, broker.supervision, broker.kinds())
        self._usage = UsageByType(broker.usage, lambda: broker.roster.everyone)

    def metrics(self) -> list[Families]:
        """The metrics of this service: modules, their starts and ends, what they use.

        Counters begin at 0 when the service is started. CPU time and memory are measured every 15
        seconds at most.
        """
        return [
            {
                "name": family.name,
                "type": family.type,
                "help": family.documentation,
                "samples": [[each.name, each.labels, each.value] for each in family.samples],
            }
            for family in self._collect()
        ]

    def _collect(self) -> Iterator[Metric]:
        types = [kind.TYPE_STRING for kind in self._broker.kinds()]
        yield from self._registry.collect()
        yield self._modules(types)
        yield from self._usage.collect(types)
        yield from self._standby()
        yield from self._watchers()
        yield from self._log()
        yield from self._server()

    def _modules(self, types: Iterable[str]) -> Metric:
        family = GaugeMetricFamily("shmooze_modules", "Modules by state.", labels=["type", "state"])
        for state in _STATES:
            counts = dict.fromkeys(types, 0)
            for module in self._broker.roster.in_state(state):
                counts[module.TYPE_STRING] = counts.get(module.TYPE_STRING, 0) + 1
            for type, count in counts.items():
                family.add_metric([type, state.value], count)
        return family

    def _standby(self) -> Iterator[Metric]:
        shown = self._broker.standby_available()
        # After a reload the service counts misses from 0.
        self._misses.read({type: (type, each["misses"]) for type, each in shown.items()})
        available = GaugeMetricFamily(
            "shmooze_standby_available", "Standby processes that are ready.", labels=["type"]
        )
        wanted = GaugeMetricFamily(
            "shmooze_standby_wanted", "Standby processes that there should be.", labels=["type"]
        )
        misses = CounterMetricFamily(
            "shmooze_standby_misses",
            "Modules that were added when no standby process was ready.",
            labels=["type"],
        )
        for type, each in shown.items():
            available.add_metric([type], each["available"])
            wanted.add_metric([type], each["wanted"])
            misses.add_metric([type], self._misses.sums[type])
        yield from (available, wanted, misses)

    def _watchers(self) -> Iterator[Metric]:
        lags = self._broker.events.lags()
        yield GaugeMetricFamily("shmooze_watchers", "Open streams of events.", len(lags))
        yield GaugeMetricFamily(
            "shmooze_watcher_lag_events",
            "By how many events the slowest stream is behind.",
            max(lags, default=0),
        )

    def _log(self) -> Iterator[Metric]:
        if (logger := self._broker.logger) is not None:
            yield CounterMetricFamily(
                "shmooze_log_rows_lost", "Rows that the command log has lost.", logger.rows_lost
            )
            yield GaugeMetricFamily(
                "shmooze_log_rows_waiting",
                "Rows that wait in memory for the command log.",
                logger.rows_waiting,
            )

    def _server(self) -> Iterator[Metric]:
        traffic = self._broker.traffic
        yield GaugeMetricFamily("shmooze_connections", "Open connections.", traffic.connections)
        throttled = CounterMetricFamily(
            "shmooze_throttled",
            "Requests that were delayed or refused, for a wrong token, a limit, or too many"
            " connections.",
            labels=["reason"],
        )
        limits = {"limit": self._broker.refused_at_limits}
        for reason, count in {**traffic.throttled, **limits}.items():
            throttled.add_metric([reason], count)
        yield throttled
        yield CounterMetricFamily(
            "shmooze_service_cpu_seconds", "CPU time of the service itself.", time.process_time()
        )
        yield GaugeMetricFamily(
            "shmooze_start_time_seconds",
            "When the service was started, in seconds since 1970.",
            self._began,
        )
        version = GaugeMetricFamily(
            "shmooze_version_info", "The version of the service.", labels=["version"]
        )
        version.add_metric([__version__], 1)
        yield version

    commands: Mapping[str, Callable[..., Any]] = {"metrics": metrics}
    log_cmds: Sequence[str] = ()
    read_cmds: Sequence[str] = ("metrics",)
    cmd_scopes: Mapping[str, Collection[str]] = {}

    def cmd_targets(self, cmd: str, args: dict[str, Any]) -> Iterable[Target] | None:
        return None
