"""Attaching doors to a queue or pool, by which requests reach the web servers of its modules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shmooze.broker.broker import Broker
from shmooze.broker.section import routing_key
from shmooze.modules.module import Module
from shmooze.runtime import declared
from shmooze.servers.demand import Demand
from shmooze.servers.doors import Doors
from shmooze.web.limits import Limits


def attach(broker: Broker) -> None:
    """Let requests to the web servers of its modules in."""
    source = declared.current()
    name = str(broker.name)
    prefix = f"{source.get('wsgi_prefix')}{name}"
    demand, limits = Demand(broker), Limits.of(source)

    def name_path(kinds: Iterable[type[Module]]) -> None:
        for kind in kinds:
            kind.web_path = f"{prefix}/at/"

    inner = broker.front

    def front(app: Any) -> Doors:
        route_by = routing_key(declared.current(), name)
        return Doors(broker, demand, inner(app), prefix, route_by, limits.max_body)

    name_path(broker.kinds())
    broker.front = front
    broker.renewals.append(lambda renewal: lambda: name_path(renewal.kinds))
