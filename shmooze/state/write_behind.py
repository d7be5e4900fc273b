"""Write-behind: changes that nobody waits for are written soon after, together.

What cannot be written is kept in memory and tried again, so the service goes on while the disk is
full. Writes keep their order.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import gevent
from gevent.event import Event

from shmooze.errors import StateError
from shmooze.runtime import clock
from shmooze.runtime.backoff import Backoff
from shmooze.state.file import StateFile, Write

log = logging.getLogger(__name__)


class WriteBehind:
    """Writes to `file` what the service `name` need not wait for.

    `update` returns the writes for an item that has changed, when they are written.
    """

    #: Seconds for which changes of items gather.
    interval = 0.1
    #: Reports that may wait; beyond that, the oldest are dropped.
    max_reports = 1000
    #: Seconds that the last writes may take.
    close_timeout = 5.0
    #: Seconds that those wait at most who want to read what was written.
    flush_timeout = 2.0
    #: The delays after writes that have failed.
    backoff = Backoff(first=0.5, longest=15.0)

    def __init__(
        self, file: StateFile, name: str, update: Callable[[str], Iterable[Write]]
    ) -> None:
        self._file, self._name, self._update = file, name, update
        self._writes: list[Write] = []
        #: What to do when these are written.
        self._then: list[Callable[[], Any]] = []
        self._reports: deque[list[Write]] = deque(maxlen=self.max_reports)
        #: Uids of items that have changed.
        self._changed: dict[str, None] = {}
        self._wakeup, self._is_urgent = Event(), Event()
        self._is_closing = False
        self._writer = gevent.spawn(self._write_forever)

    def add(self, writes: Iterable[Write], then: Callable[[], Any] | None = None) -> None:
        """Write these at once, and call `then` when they are written."""
        self._writes += writes
        if then is not None:
            self._then.append(then)
        self._is_urgent.set()
        self._wakeup.set()

    def add_report(self, writes: Iterable[Write]) -> None:
        """Write these after all others. They may be dropped."""
        self._reports.append(list(writes))
        self.add(())

    def add_change(self, uid: str) -> None:
        """Write soon what has changed of an item."""
        self._changed[uid] = None
        self._wakeup.set()

    def flush(self) -> None:
        """Wait until all is written that waits now, but not for long: the disk may be full."""
        written = Event()
        self.add((), written.set)
        clock.wait(written, self.flush_timeout)

    def close(self) -> list[Write]:
        """Write what waits, if it can be written. Returns what could not be."""
        self._is_closing = True
        self.add(())
        self._writer.join(self.close_timeout)
        return self._writes

    def _write_forever(self) -> None:
        failures = 0
        while self._writes or self._reports or self._changed or not self._is_closing:
            self._wakeup.wait()
            clock.wait(self._is_urgent, self.interval)
            self._wakeup.clear()
            self._is_urgent.clear()
            if self._write():
                failures = 0
            elif self._is_closing:
                break
            else:
                failures += 1
                self._wakeup.set()
                clock.sleep(self.backoff.delay(failures))

    def _write(self) -> bool:
        """Write all that waits. Returns False, and it goes on waiting, if that fails."""
        writes, reports, changed = self._writes, list(self._reports), self._changed
        self._writes, self._changed = [], {}
        then, self._then = self._then, []
        self._reports.clear()
        updates = [write for uid in changed for write in self._update(uid)]
        try:
            if everything := [*writes, *chain.from_iterable(reports), *updates]:
                self._file.submit(*everything).get()
        except StateError:  # the file says why
            self._writes[:0] = writes
            self._reports = deque([*reports, *self._reports], self.max_reports)
            self._changed = {**changed, **self._changed}
            self._then[:0] = then
            return False
        except Exception:  # a bug: to write the same again would not help
            log.exception("%s: changes of items cannot be written", self._name)
        for done in then:
            done()
        return True
