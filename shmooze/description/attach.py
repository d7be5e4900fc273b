"""Attaching the descriptions of module types to a queue or pool."""

from __future__ import annotations

from shmooze.broker.broker import Broker
from shmooze.description.describer import TypeDescriber


def attach(broker: Broker) -> None:
    """Let a broker check its items against the descriptions of their types.

    Mistakes in descriptions are logged.
    """
    describer = TypeDescriber(broker)
    broker.items.describe_with(describer)
    broker.renewals.append(describer.prepare_renewal)
