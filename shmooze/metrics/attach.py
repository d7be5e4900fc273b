"""Attaching metrics to a queue or pool."""

from __future__ import annotations

from shmooze.broker.broker import Broker
from shmooze.runtime import declared, extras


def attach(broker: Broker) -> None:
    """Let a broker count from now on, and answer the command `metrics`. Raises SettingsError."""
    extras.require(declared.current(), "metrics", "prometheus_client", "metrics")
    from shmooze.metrics.table import Metrics  # needs that package

    broker.add_table(Metrics(broker))
