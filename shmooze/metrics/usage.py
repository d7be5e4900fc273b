"""What the modules of each type use: CPU time and memory, measured now and then.

To measure 500 modules takes longer than all other metrics. So it is done less often than a
Prometheus usually asks, and the figures in between are those of the last time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from shmooze.errors import CommandError
from shmooze.metrics.rising import Rising
from shmooze.modules.module import Module
from shmooze.runtime import clock


class UsageByType:
    """Adds up what `usage` returns, see broker/usage.py, by the types of `living`."""

    #: Seconds between two measurements.
    interval = 15.0

    def __init__(
        self, usage: Callable[[], dict[str, Any]], living: Callable[[], Iterable[Module]]
    ) -> None:
        self._usage, self._living = usage, living
        self._cpu = Rising()
        self._memory: Counter[str] = Counter()
        self._processes: Counter[str] = Counter()
        self._measured = float("-inf")
        self._is_known = False

    def collect(self, types: Iterable[str]) -> Iterator[Metric]:
        """The metrics; none where the system does not tell what processes use."""
        if clock.now() - self._measured >= self.interval:
            self._measured = clock.now()
            self._measure()
        if not self._is_known:
            return
        cpu = CounterMetricFamily(
            "shmooze_module_cpu_seconds",
            "CPU time of the processes of modules. What a process uses after it was last measured"
            " is missing.",
            labels=["type"],
        )
        memory = GaugeMetricFamily(
            "shmooze_module_memory_bytes",
            "Memory of the processes of modules; what they share is counted for each.",
            labels=["type"],
        )
        processes = GaugeMetricFamily(
            "shmooze_module_processes",
            "Processes of modules, with those that they have started.",
            labels=["type"],
        )
        for type in types:
            cpu.add_metric([type], self._cpu.sums[type])
            memory.add_metric([type], self._memory[type])
            processes.add_metric([type], self._processes[type])
        yield from (cpu, memory, processes)

    def _measure(self) -> None:
        try:
            used = self._usage()["modules"]
        except CommandError:
            self._is_known = False
            return
        self._is_known = True
        self._memory.clear()
        self._processes.clear()
        readings: dict[Hashable, tuple[str, float]] = {}
        for module in self._living():
            if (own := used.get(module.uid)) is not None:
                # Another life of the same item is another module.
                readings[module] = module.TYPE_STRING, own["cpu"]
                self._memory[module.TYPE_STRING] += own["memory"]
                self._processes[module.TYPE_STRING] += own["processes"]
        self._cpu.read(readings)
