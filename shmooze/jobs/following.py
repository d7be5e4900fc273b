"""Following the output of items as it comes, until they have ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from shmooze.broker.broker import Broker
from shmooze.broker.roster import Change
from shmooze.jobs.ends import Ends
from shmooze.modules.module import Module
from shmooze.processes.contract import OutputLine


class Follower:
    """The output of one item, in all its lives, as far as it was seen from here."""

    #: Lines that are kept for a client that is slow.
    max_lines = 1000

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lines: deque[str] = deque(maxlen=self.max_lines)
        #: Lines so far, with those that are not kept any more.
        self.count = 0
        self._watched: Module | None = None

    def watch(self, module: Module) -> None:
        """Take what this module prints, and has printed so far."""
        if module is not self._watched and module.follow_output(self._take):
            self._watched = module
            self.add(module.output)

    def add(self, lines: list[str]) -> None:
        """These have come, together."""
        self._lines.extend(lines)
        self.count += len(lines)
        if lines:
            self._wake()

    def since(self, number: int) -> tuple[list[str], int]:
        """The lines from a number on, and how many of them are not kept any more."""
        missed = max(0, self.count - len(self._lines) - number)
        wanted = min(len(self._lines), max(0, self.count - number))
        return list(self._lines)[len(self._lines) - wanted :], missed

    def _take(self, line: OutputLine) -> None:
        self.add([line.text])


class Following:
    """Answers `follow`. What was followed is kept for a while after its end."""

    #: Items whose output is kept; those that were first followed longest ago go first.
    max_followers = 100

    def __init__(self, broker: Broker, ends: Ends, longest: float) -> None:
        self._broker, self._roster, self._ends = broker, broker.roster, ends
        self._longest = longest
        self._followers: dict[str, Follower] = {}
        self._roster.listen(self._on_change, Change.STATE | Change.PLACE)

    def follow(self, uid: str, since: int, timeout: float) -> dict[str, Any]:
        """See Jobs."""
        follower = self._followers.get(uid) or self._new_follower(uid)
        if since > follower.count:  # the service was restarted in between
            since = 0
        end: dict[str, Any] | None = None

        def has_news() -> bool:
            nonlocal end
            end = self._ends.entry_of(uid)
            return end is not None or follower.count > since

        self._ends.wait_until(has_news, min(timeout, self._longest), uid)
        lines, missed = follower.since(since)
        return {"lines": lines, "missed": missed, "next": follower.count, "end": end}

    def _new_follower(self, uid: str) -> Follower:
        follower = Follower(lambda: self._ends.wake(uid))
        modules = [module for module in self._roster.everyone if module.uid == uid]
        if modules:
            follower.watch(modules[-1])
        else:
            self._ends.entry_of(uid)  # which refuses one that is unknown
            # Its end may still be being kept.
            follower.add(self._broker.supervision.outputs.get(uid, []))
        if len(self._followers) >= self.max_followers:
            del self._followers[next(iter(self._followers))]
        self._followers[uid] = follower
        return follower

    def _on_change(self, uid: str, _what: Change) -> None:
        if (follower := self._followers.get(uid)) is not None:
            for module in self._roster.everyone:
                if module.uid == uid:
                    follower.watch(module)
