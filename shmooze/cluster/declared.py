"""Every key of `cluster` in the settings that does not depend on the engine.

An engine declares its own keys in a Struct that inherits from Cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from shmooze.cluster.lease import Timing
from shmooze.errors import SettingsError
from shmooze.runtime import declared, schema
from shmooze.runtime.declared import Address, Port, Seconds
from shmooze.settings import Settings

Lease = Annotated[float, Meta(description="a number of seconds, 1 or more", ge=1)]
Addresses = Annotated[list[str], Meta(description='a list such as ["service.example.org"]')]


class Cluster(Struct, frozen=True, forbid_unknown_fields=True):
    """How services and nodes find each other: `cluster`, at the top or in the section of one."""

    door_host: Annotated[
        Address,
        "The address on which a service listens for its nodes. Off loopback, they use TLS.",
    ] = "127.0.0.1"
    door_port: Annotated[
        Port | None, "The port of that address. If it is not set, any free one."
    ] = None
    door_addresses: Annotated[
        Addresses,
        "Names or addresses at which nodes can reach the service. If it is empty,"
        " `door_host` is used, or else the name of the machine.",
    ] = []
    lease: Annotated[
        Lease, "Seconds after which a node that cannot reach the service has ended its modules."
    ] = 30.0
    start_timeout: Annotated[Seconds, "Seconds that a module may wait for a node."] = 60.0
    python: Annotated[
        str | None,
        "The Python on the nodes in which shmooze is installed. If it is not set, the one at"
        " the same path as here.",
    ] = None

    @property
    def timing(self) -> Timing:
        """The times of leases."""
        return Timing(lease=self.lease)


C = TypeVar("C", bound=Cluster)


def read(source: Settings, service: str, struct: type[C]) -> C:
    """The keys of `cluster`: those in the section of a service count before those at the top.

    Raises SettingsError for a mistake, which is also a key that `struct` does not declare.
    """
    chosen: dict[str, Any] = {}
    for place, values in (
        ("cluster", source.values.get("cluster")),
        (f"{service}.cluster", declared.section_of(source, service).get("cluster")),
    ):
        if values is None:
            continue
        if not isinstance(values, Mapping):
            raise source.error(place, f"must be an object, not {schema.shown(values)}")
        chosen.update(schema.check(struct, values, source.error, place))
    try:
        return struct(**chosen)
    except TypeError as missing:
        raise SettingsError(str(missing)) from missing
