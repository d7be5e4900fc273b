"""Attaching what jobs need to a queue or pool."""

from __future__ import annotations

from shmooze.broker.broker import Broker
from shmooze.broker.jobs import Jobs
from shmooze.jobs.dependencies import Dependencies
from shmooze.jobs.ends import Ends
from shmooze.jobs.following import Following
from shmooze.jobs.output_stream import OutputStream
from shmooze.jobs.replacement import Replacement
from shmooze.jobs.time_limits import TimeLimits
from shmooze.jobs.waiting import Waiting
from shmooze.runtime import declared, schema

#: Which part of `wsgi_timeout` a client may wait: the gateway is to get the answer in time.
_PART = 0.75


def attach(broker: Broker) -> Jobs:
    """Let items of a broker wait for others, limit their time, and let clients wait for them."""
    ends = Ends(broker)
    source = declared.current()
    timeout = schema.read(declared.Gateway, source.values, source.error).wsgi_timeout
    return Attached(broker, ends, timeout * _PART)


class Attached:
    """See Jobs."""

    def __init__(self, broker: Broker, ends: Ends, longest: float) -> None:
        self._dependencies = Dependencies(broker, ends)
        TimeLimits(broker.roster)
        Replacement(broker)
        self._waiting = Waiting(ends, longest)
        self._following = Following(broker, ends, longest)
        self.resolve = self._dependencies.resolve
        self.wait, self.wait_for_batch = self._waiting.wait, self._waiting.wait_for_batch
        self.follow = self._following.follow
        self.serve_output = OutputStream(self.follow).serve
