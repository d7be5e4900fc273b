"""The outbox of one hook: its deliveries in order, kept until they have arrived or are given up.

Strategy. Nobody waits for a hook. Deliveries are kept in the state file before the first attempt,
and forgotten after the last one: so each arrives at least once, also if the service is restarted or
killed in between, and a receiver knows a second time by the `id`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import msgspec
from gevent.event import Event

from shmooze.errors import CommandError
from shmooze.hooks.declared import Hook
from shmooze.hooks.delivery import Delivery, NotDelivered
from shmooze.runtime import clock
from shmooze.runtime.backoff import Backoff

log = logging.getLogger(__name__)

#: Begins the keys under which deliveries are kept.
KEPT = "hook:"


class Outbox:
    """Delivers to one hook with `deliver`, which raises NotDelivered."""

    #: Deliveries that may wait; the oldest is dropped for a new one.
    max_waiting = 1000
    #: Seconds for which the end of the service waits until those are kept that are new.
    stop_timeout = 2.0
    #: Seconds after which one is given up.
    longest = 86400.0
    backoff = Backoff(first=1.0, longest=300.0, jitter=0.2)

    def __init__(
        self,
        hook: Hook,
        deliver: Callable[[Delivery], None],
        keep: Callable[[str, Any], None],
    ) -> None:
        self.hook, self._deliver, self._keep = hook, deliver, keep
        self._waiting: deque[Delivery] = deque()
        #: Those that are being kept, or were, by id.
        self._keeping: dict[str, gevent.Greenlet] = {}
        self._failures = 0
        self._wakeup = Event()
        self._greenlet: gevent.Greenlet | None = None

    @property
    def waiting(self) -> int:
        """How many deliveries wait, the one under way included."""
        return len(self._waiting)

    def restore(self, delivery: Delivery) -> None:
        """Deliver what an earlier life of the service has kept."""
        self._waiting.append(delivery)

    def add(self, delivery: Delivery) -> None:
        """Deliver it, after those that wait. Does not wait."""
        if len(self._waiting) >= self.max_waiting:
            dropped = self._waiting.popleft()
            log.error("hook %s: too many deliveries wait: dropped %s", self.hook.name, dropped.id)
            gevent.spawn(self._forget, dropped)
        self._waiting.append(delivery)
        value = msgspec.to_builtins(delivery)
        self._keeping[delivery.id] = gevent.spawn(self._try_to_keep, delivery.id, value)
        self._wakeup.set()

    def begin(self) -> None:
        """Begin to deliver."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Stop. What was not delivered stays kept."""
        if self._greenlet is not None:
            self._greenlet.kill()
        gevent.joinall([*self._keeping.values()], timeout=self.stop_timeout)

    def _run(self) -> None:
        while True:
            while not self._waiting:
                self._wakeup.clear()
                self._wakeup.wait()
            delivery = self._waiting[0]
            if not self._attempt(delivery):
                clock.sleep(self.backoff.delay(self._failures))
                continue
            self._failures = 0
            if self._waiting and self._waiting[0] is delivery:  # it was not dropped meanwhile
                self._waiting.popleft()
                self._forget(delivery)

    def _attempt(self, delivery: Delivery) -> bool:
        """Whether a delivery has arrived, or is given up."""
        try:
            self._deliver(delivery)
        except NotDelivered as bad:
            reason = str(bad)
        except Exception:  # a fault of ours, which must not end all deliveries
            log.exception("hook %s: failed", self.hook.name)
            reason = "failed; see above"
        else:
            if self._failures:
                log.warning("hook %s: works again", self.hook.name)
            return True
        if clock.time() - delivery.since > self.longest:
            log.error("hook %s: gave up delivery %s: it %s", self.hook.name, delivery.id, reason)
            return True
        if not self._failures:
            log.warning("hook %s: it %s; it is tried again", self.hook.name, reason)
        self._failures += 1
        return False

    def _forget(self, delivery: Delivery) -> None:
        if (keeping := self._keeping.pop(delivery.id, None)) is not None:
            keeping.join()
        self._try_to_keep(delivery.id, None)

    def _try_to_keep(self, id: str, value: Any) -> None:
        with suppress(CommandError):  # the state file says why; it is delivered all the same
            self._keep(KEPT + id, value)
