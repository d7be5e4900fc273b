"""How much a server takes in, for how long it waits, how often it may be asked.

Each is a key of the settings. Also the limit of the system itself, on open files.
"""

from __future__ import annotations

import resource
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, fields

from shmooze.errors import TooMany
from shmooze.settings import Settings

#: What the system gave us at the start; children get it back.
FILES_AT_START = resource.getrlimit(resource.RLIMIT_NOFILE)


@dataclass(frozen=True)
class Limits:
    """Each has the name of its key in the settings. Sizes are bytes, times seconds."""

    #: The first line of a request, the URL in it.
    max_url: int = 8 << 10
    #: The header of a request, its first line included.
    max_header: int = 32 << 10
    #: The body of a request.
    max_body: int = 1 << 20
    #: From a request's first byte to the end of its header.
    header_timeout: float = 10.0
    #: From the end of the header to the end of the body.
    body_timeout: float = 30.0
    #: For which a connection may be quiet before a request.
    idle_timeout: float = 75.0
    #: For a client to take each 64 KiB of an answer.
    send_timeout: float = 30.0
    #: Connections at the same time.
    max_connections: int = 4000

    @classmethod
    def of(cls, source: Settings) -> Limits:
        """Those that the settings name, and the defaults of the others. Raises SettingsError."""
        chosen = {}
        for field in fields(cls):
            value = source.get(field.name, field.default)
            whole = isinstance(field.default, int)
            if type(value) not in ((int,) if whole else (int, float)) or value <= 0:
                kind = "a whole number" if whole else "a number of seconds"
                raise source.error(field.name, f"must be {kind} above 0, not {value!r}")
            chosen[field.name] = value
        return cls(**chosen)


class Admission:
    """Whether one more module may be started: how many there may be, and how often a client may.

    `chosen` are the settings `max_modules` and `max_adds_per_minute`, where they are set.
    """

    #: Clients that are remembered at the most.
    most_clients = 10_000

    def __init__(
        self, chosen: dict[str, int | None], modules: int | None, adds_per_minute: int | None
    ) -> None:
        self._modules = chosen.get("max_modules", modules)
        self._adds_per_minute = chosen.get("max_adds_per_minute", adds_per_minute)
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def find_room(self, placed: int, ending: int) -> None:
        """Raise TooMany where one more would be too many.

        Those that are `ending` have left their places, but are there. So they do not count until
        they are as many again.
        """
        most = self._modules
        if most is not None and (placed >= most or placed + ending >= 2 * most):
            raise TooMany(f"there are {placed} modules; {most} are the most", retry_after=1)

    def count(self, client: str) -> None:
        """Count one more for `client`, an address. Raise TooMany where that is too often."""
        most = self._adds_per_minute
        if most is None:
            return
        now = time.monotonic()
        times = self._times.setdefault(client, deque(maxlen=most))
        self._times.move_to_end(client)
        if len(self._times) > self.most_clients:
            self._times.popitem(last=False)
        if len(times) == most and times[0] > now - 60:
            words = f"{most} modules a minute are the most for one client"
            raise TooMany(words, retry_after=times[0] + 60 - now)
        times.append(now)


def allow_files(wanted: int) -> int:
    """Have the system let this process open `wanted` files if it may; how many it may now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return wanted if soft == resource.RLIM_INFINITY else soft
