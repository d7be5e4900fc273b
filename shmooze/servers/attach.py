"""Attaching doors to a queue or pool, by which requests reach the web servers of its modules."""

from __future__ import annotations

from shmooze.broker.broker import Broker
from shmooze.broker.section import routing_key
from shmooze.runtime import declared
from shmooze.servers.demand import Demand
from shmooze.servers.doors import Doors
from shmooze.web.limits import Limits


def attach(broker: Broker) -> None:
    """Let requests to the web servers of its modules in."""
    source = declared.current()
    name = str(broker.name)
    prefix = f"{source.get('wsgi_prefix')}{name}"
    for kind in broker.kinds():
        kind.web_path = f"{prefix}/at/"
    demand = Demand(broker)
    route_by, limits = routing_key(source, name), Limits.of(source)
    broker.front = lambda app: Doors(broker, demand, app, prefix, route_by, limits.max_body)
