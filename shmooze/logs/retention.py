"""Retention: log files are kept as long as their items are known, and removed with them."""

from __future__ import annotations

import logging
from collections.abc import Collection

import gevent

from shmooze.broker.broker import Broker
from shmooze.broker.roster import Change
from shmooze.errors import ShmoozeError
from shmooze.logs.files import LogFiles
from shmooze.modules.lifecycle import State
from shmooze.modules.module import Module
from shmooze.runtime import clock

log = logging.getLogger(__name__)


class Retention:
    """Removes the log files of items that are neither there nor in the history any more.

    Without a history, those of items that `gone` does not tell of.
    """

    #: Seconds between two looks at what can be removed.
    interval = 600.0

    def __init__(self, broker: Broker, files: LogFiles) -> None:
        self._broker, self._files = broker, files
        self._greenlet: gevent.Greenlet | None = None
        broker.on_open.append(self._begin)
        broker.on_closed.append(self._stop)
        broker.on_forget.append(self._forget)
        broker.roster.listen(self._on_change, Change.STATE)

    def sweep(self) -> None:
        """Remove what nobody knows any more. Raises ShmoozeError, OSError."""
        # First what there is: an item that is added later has no file among these.
        uids = self._files.uids()
        unknown = uids - self._known(uids)
        if unknown:
            self._files.remove(unknown)

    def _known(self, uids: Collection[str]) -> set[str]:
        broker = self._broker
        kept = broker.items.keeper.known(uids)
        if kept is None:
            kept = [each["uid"] for each in broker.supervision.ended]
        return {*kept, *(module.uid for module in broker.roster.everyone)}

    def _begin(self) -> None:
        self._greenlet = gevent.spawn(self._sweep_forever)

    def _sweep_forever(self) -> None:
        while True:
            try:
                self.sweep()
            except (ShmoozeError, OSError) as bad:
                log.warning("%s: old log files are not removed: %s", self._broker.name, bad)
            clock.sleep(self.interval)

    def _stop(self) -> None:
        if self._greenlet is not None:
            self._greenlet.kill()
        self._files.close()

    def _forget(self, uids: Collection[str]) -> None:
        self._files.remove(uids)

    def _on_change(self, uid: str, _what: Change) -> None:
        module: Module | None = self._broker.roster.find(uid)
        if module is None or module.state is State.GONE:
            self._files.release(uid)
