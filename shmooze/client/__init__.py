"""A client for applications: commands, items and live events. It needs no gevent."""

from shmooze.client.client import Client, TypedClient
from shmooze.client.errors import (
    CommandRefused,
    InvalidArgument,
    NotDone,
    UnknownItem,
    Unreachable,
    WaitTimeout,
)
from shmooze.client.events import EventStream
from shmooze.client.item import Item, ItemChanges
from shmooze.client.service import Service, TypedService
from shmooze.errors import PacketError, ServiceTimeout, ShmoozeError

__all__ = [
    "Client",
    "CommandRefused",
    "EventStream",
    "InvalidArgument",
    "Item",
    "ItemChanges",
    "NotDone",
    "PacketError",
    "Service",
    "ServiceTimeout",
    "ShmoozeError",
    "TypedClient",
    "TypedService",
    "UnknownItem",
    "Unreachable",
    "WaitTimeout",
]
