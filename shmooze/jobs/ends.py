"""How items have ended, from the service itself or from its history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from gevent.event import Event

from shmooze.access.caller import caller_has_left
from shmooze.broker.broker import Broker
from shmooze.errors import CommandError
from shmooze.modules.exit import Outcome
from shmooze.modules.module import Module
from shmooze.runtime import clock

#: Seconds between looks at whether a client that waits is still there.
_LOOK_INTERVAL = 2.0


class Ends:
    """The ends of the items of one queue or pool."""

    def __init__(self, broker: Broker) -> None:
        self._broker, self._supervision = broker, broker.supervision
        #: Set when there is news of an item that somebody waits for, by uid; None: of any.
        self._news: dict[str | None, Event] = {}
        self._supervision.on_end.append(self._on_end)

    def listen(self, listener: Callable[[Module, dict[str, Any]], None]) -> None:
        """Call `listener` with the last module of each item that ends, and its report."""
        self._supervision.on_end.append(listener)

    def lives(self, uid: str) -> bool:
        """Whether an item has not ended."""
        return self._broker.roster.find(uid) is not None or self._supervision.is_ending(uid)

    def outcome_of(self, uid: str) -> Outcome | None:
        """How an item ended that does not live; None: that is not known."""
        if (report := self._supervision.find_end(uid)) is not None:
            return Outcome(report["state"])
        return self._broker.items.keeper.find_outcome(uid)

    def entry_of(self, uid: str) -> dict[str, Any] | None:
        """What clients are told of the end of an item; None: it lives. Raises CommandError if it
        is not known.
        """
        if self.lives(uid):
            return None
        item = self._broker.commands.get("item")
        if item is not None:  # the history has what counts after a crash
            entry: dict[str, Any] = item(self._broker, uid=uid)
            return entry if "ended" in entry else None
        if (report := self._supervision.find_end(uid)) is not None:
            return report
        raise CommandError(
            f"no item with uid {uid!r} in {self._broker.name}, or it has ended long ago"
        )

    def batch_lives(self, batch: str) -> bool:
        """Whether an item of a batch has not ended."""
        everyone = self._broker.roster.everyone
        return any(each.terms.batch == batch and self.lives(each.uid) for each in everyone)

    def count_batch(self, batch: str) -> dict[str, int]:
        """How many items of a batch have ended in each way; empty if none is known."""
        counts = self._broker.items.keeper.count_batch(batch)
        if counts is None:  # nobody remembers more than this
            ended = [each for each in self._supervision.ended if each.get("batch") == batch]
            counts = Counter({each["uid"]: each["state"] for each in ended}.values())
        return {each.value: counts.get(each.value, 0) for each in Outcome} if counts else {}

    def wait_until(self, is_over: Callable[[], bool], timeout: float, uid: str | None) -> None:
        """Wait until `is_over`, which is asked when there is news of an item, or with None at each
        end. At most for `timeout` seconds, and only while the client is there.
        """
        end = clock.now() + timeout
        while True:
            # First, since `is_over` may take a while.
            news = self._news.setdefault(uid, Event())
            try:
                if is_over() or (left := end - clock.now()) <= 0 or caller_has_left():
                    return
                clock.wait(news, min(left, _LOOK_INTERVAL))
            finally:
                if self._news.get(uid) is news:
                    self.wake(uid)  # others, who wait for the same

    def wake(self, uid: str | None) -> None:
        """Let those look again who wait for news of an item."""
        if uid in self._news:
            self._news.pop(uid).set()

    def _on_end(self, module: Module, report: dict[str, Any]) -> None:
        self.wake(module.uid)
        self.wake(None)
