"""Bystanders: items without a web server that wait for a slot, or for what idle servers have."""

from __future__ import annotations

from shmooze.broker.broker import Broker
from shmooze.modules.channel.adapters import has_door
from shmooze.servers.line import Waiting


class Bystanders:
    """Those of one broker. They get room as requests do, but after those, until they have waited
    for long.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        #: By uid, as if each had sent a request.
        self._waiting: dict[str, Waiting] = {}

    def __contains__(self, waiting: Waiting) -> bool:
        return waiting in self._waiting.values()

    def update(self) -> list[Waiting]:
        """Those that wait now, in order."""
        now = [each for each in self._broker.waiting() if not has_door(type(each))]
        before = self._waiting
        self._waiting = {
            each.uid: before.get(each.uid) or Waiting(each.uid, type(each), "/") for each in now
        }
        return [*self._waiting.values()]
