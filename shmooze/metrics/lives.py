"""What happens to modules, as counters and histograms by type: starts, waits, runs, ends, restarts.

It hears of each change of the roster and of each process that has ended, and keeps two figures for
each item that is listed.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram

from shmooze.broker.roster import Change, Roster
from shmooze.broker.supervision import Supervision
from shmooze.metrics import reasons
from shmooze.modules.lifecycle import READY, State
from shmooze.modules.module import Module
from shmooze.runtime import clock

_START = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_WAIT = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_RUN = (0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600)


class _Item:
    """What is known of an item that is listed."""

    __slots__ = ("has_played", "listed", "started")

    def __init__(self, module: Module) -> None:
        self.listed = clock.now()
        #: The start that was counted last, as `Module.born` has it; None: none.
        self.started: float | None = None
        #: Whether its wait is over. One that came back with the service has played before.
        self.has_played = module.has_begun


class Lives:
    """Counts what happens to the modules of a roster, in metrics of `registry`."""

    def __init__(
        self,
        registry: CollectorRegistry,
        roster: Roster,
        supervision: Supervision,
        kinds: Iterable[type[Module]],
    ) -> None:
        self._roster = roster
        self._items: dict[str, _Item] = {}
        self._starts = Histogram(
            "shmooze_module_start_seconds",
            "From the launch of a process, or from when one on standby was taken, to `init`"
            " accepted.",
            ["type"],
            registry=registry,
            buckets=_START,
        )
        self._waits = Histogram(
            "shmooze_module_wait_seconds",
            "From when an item was added until it first played.",
            ["type"],
            registry=registry,
            buckets=_WAIT,
        )
        self._runs = Histogram(
            "shmooze_module_run_seconds",
            "From the start of a process to its end.",
            ["type"],
            registry=registry,
            buckets=_RUN,
        )
        self._ends = Counter(
            "shmooze_module_ends",
            "Ended modules, by reason.",
            ["type", "reason"],
            registry=registry,
        )
        self._restarts = Counter(
            "shmooze_module_restarts",
            "Modules that were to be started again after a failure.",
            ["type"],
            registry=registry,
        )
        for kind in kinds:  # so that the first of each is an increase
            for metric in (self._starts, self._waits, self._runs, self._restarts):
                metric.labels(kind.TYPE_STRING)
            for reason in reasons.ALL:
                self._ends.labels(kind.TYPE_STRING, reason)
        roster.listen(self._on_change, Change.PLACE | Change.STATE | Change.RESTARTS)
        supervision.on_exit.append(self._on_exit)

    def __len__(self) -> int:
        """Of how many items something is kept."""
        return len(self._items)

    def _on_change(self, uid: str, what: Change) -> None:
        module = self._roster.find(uid)
        if module is None:
            self._items.pop(uid, None)
            return
        item = self._items.get(uid)
        if item is None:
            item = self._items[uid] = _Item(module)
        if Change.RESTARTS in what:
            if module.next_attempt is not None:
                self._restarts.labels(module.TYPE_STRING).inc()
            return
        if module.state not in READY:
            return
        if item.started != module.born:
            item.started = module.born
            self._starts.labels(module.TYPE_STRING).observe(clock.now() - module.born)
        if module.state is State.PLAYING and not item.has_played:
            item.has_played = True
            self._waits.labels(module.TYPE_STRING).observe(clock.now() - item.listed)

    def _on_exit(self, module: Module) -> None:
        record = module.exit
        assert record is not None
        if not module.has_begun and record.state == State.STANDBY.shown:
            return  # it was on standby, and no item
        self._ends.labels(module.TYPE_STRING, reasons.kind_of(record)).inc()
        if module.has_begun:
            self._runs.labels(module.TYPE_STRING).observe(record.seconds)
