"""What the gateway counts: requests and their times by service, connections, throttled requests.

All workers count together, see shared.py. Which numbers there are is known from the settings, so no
client can make more of them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent

from shmooze.gateway.shared import SharedNumbers
from shmooze.web.response import is_event_stream
from shmooze.web.server import CONNECTIONS, TOKEN, Traffic

#: The gateway itself, among its services: pages, files, settings.
ITSELF = "wsgi"
#: The first digits of the statuses of HTTP.
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
#: The upper ends of the histogram of times, in seconds.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# The columns of a row, first to last.
_CONNECTIONS = 0
_THROTTLED = {CONNECTIONS: 1, TOKEN: 2}
_FIRST_TARGET = 3
#: Those of each target: statuses, buckets with the last one without an end, the sum of seconds.
_BUCKET, _SUM = len(CLASSES), len(CLASSES) + len(BUCKETS) + 1
_WIDTH = _SUM + 1


class Counting:
    """Counts the requests of `workers` processes. `prefix` is the path of the services."""

    #: Seconds after which the others know how many connections a worker has.
    interval = 1.0

    def __init__(self, services: Iterable[str], prefix: str, workers: int) -> None:
        self.targets = (*services, ITSELF)
        self._prefix = prefix
        self._columns = {
            target: _FIRST_TARGET + number * _WIDTH for number, target in enumerate(self.targets)
        }
        self._numbers = SharedNumbers(workers, _FIRST_TARGET + len(self.targets) * _WIDTH)
        self._is_shared = workers > 1
        self._row = self._numbers.row(0)
        self._traffic: Callable[[], Traffic] = Traffic
        #: What earlier processes of this worker have counted of what the server counts.
        self._before = dict.fromkeys(_THROTTLED, 0.0)
        self._publisher: Any = None

    def start(self, index: int, traffic: Callable[[], Traffic]) -> None:
        """Count as the worker of this index from now on, whose server has this traffic."""
        self._row, self._traffic = self._numbers.row(index), traffic
        self._before = {reason: self._row[_THROTTLED[reason]] for reason in _THROTTLED}
        if self._is_shared:
            self._publisher = gevent.spawn(self._publish_forever)

    def stop(self) -> None:
        if self._publisher is not None:
            self._publisher.kill()

    def around(self, application: Any) -> Counted:
        """An application that is counted."""
        return Counted(self, application)

    def count(self, environ: dict[str, Any], status: str, seconds: float | None) -> None:
        """Count a request that was answered; `seconds` is None for an answer without end."""
        path = environ.get("PATH_INFO", "")
        target = path.removeprefix(self._prefix).partition("/")[0]
        column = self._columns.get(target, self._columns[ITSELF])
        self._row[column + int(status[0]) - 1] += 1
        if seconds is not None:
            self._row[column + _BUCKET + bisect_left(BUCKETS, seconds)] += 1
            self._row[column + _SUM] += seconds

    # What there is to show.

    def connections(self) -> float:
        """Open connections of all workers."""
        self._publish()
        return self._numbers.sum(_CONNECTIONS)

    def throttled(self) -> Iterator[tuple[str, float]]:
        """How often requests were throttled, by reason."""
        self._publish()
        for reason, column in _THROTTLED.items():
            yield reason, self._numbers.sum(column)

    def requests(self, target: str) -> Iterator[tuple[str, float]]:
        """How many requests there were, by class of their status."""
        for number, name in enumerate(CLASSES, self._columns[target]):
            yield name, self._numbers.sum(number)

    def times(self, target: str) -> tuple[list[float], float]:
        """The numbers of requests in each bucket, the last one without an end; all seconds."""
        column = self._columns[target]
        counts = [self._numbers.sum(column + _BUCKET + each) for each in range(len(BUCKETS) + 1)]
        return counts, self._numbers.sum(column + _SUM)

    def _publish(self) -> None:
        traffic = self._traffic()
        self._row[_CONNECTIONS] = traffic.connections
        for reason in _THROTTLED:
            self._row[_THROTTLED[reason]] = self._before[reason] + traffic.throttled[reason]

    def _publish_forever(self) -> None:
        while True:
            self._publish()
            gevent.sleep(self.interval)


class Counted:
    """A WSGI application whose requests are counted."""

    def __init__(self, counting: Counting, application: Any) -> None:
        self._counting, self._application = counting, application
        # What our server looks for at an application.
        self.headers_for, self.is_streamed = application.headers_for, application.is_streamed

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        begin = time.monotonic()

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            is_endless = status.startswith("1") or any(
                name.lower() == "content-type" and is_event_stream(value) for name, value in headers
            )
            seconds = None if is_endless else time.monotonic() - begin
            self._counting.count(environ, status, seconds)
            return start_response(status, headers, exc_info)

        answer: Iterable[bytes] = self._application(environ, start)
        return answer
