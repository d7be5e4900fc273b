"""Limits on starting modules: how many at a time, and how often per client."""

from __future__ import annotations

from collections import OrderedDict, deque

from shmooze.errors import TooMany
from shmooze.runtime import clock


class Admission:
    """Whether one more module may be started: how many there may be, and how often a client may.

    `chosen` are the settings `max_modules` and `max_adds_per_minute`, where they are set.
    """

    #: Clients that are remembered.
    max_clients = 10_000

    def __init__(
        self, chosen: dict[str, int | None], modules: int | None, adds_per_minute: int | None
    ) -> None:
        self._default_modules, self._default_adds = modules, adds_per_minute
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self.renew(chosen)

    def renew(self, chosen: dict[str, int | None]) -> None:
        """From now on, these settings count."""
        self._modules = chosen.get("max_modules", self._default_modules)
        adds = chosen.get("max_adds_per_minute", self._default_adds)
        self._adds_per_minute = adds
        for client, times in self._times.items():
            self._times[client] = deque(times, maxlen=adds)

    def find_room(self, placed: int, ending: int) -> None:
        """Raise TooMany if there is no room for one more.

        Those that are `ending` have left their places, but still exist. They count only when they
        are as many as the limit themselves.
        """
        most = self._modules
        if most is not None and (placed >= most or placed + ending >= 2 * most):
            raise TooMany(f"limit reached ({most} modules)", retry_after=1)

    def count(self, client: str) -> None:
        """Count one more for `client`, an address. Raises TooMany if that is too often."""
        most = self._adds_per_minute
        if most is None:
            return
        now = clock.now()
        times = self._times.setdefault(client, deque(maxlen=most))
        self._times.move_to_end(client)
        if len(self._times) > self.max_clients:
            self._times.popitem(last=False)
        if len(times) == most and times[0] > now - 60:
            words = f"limit reached ({most} new modules a minute for one client)"
            raise TooMany(words, retry_after=times[0] + 60 - now)
        times.append(now)
