"""Limits for each owner: how many items may wait, and how many may be added in an hour.

What waits is counted when it matters, of the items that there are and of those that are about to
be, so that no count can be wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from shmooze.broker.ordering import Entry
from shmooze.broker.roster import Roster
from shmooze.broker.section import OwnerLimits
from shmooze.errors import TooMany
from shmooze.modules.lifecycle import ENDED, State
from shmooze.ordering.owners import PROGRAM, owner_of, owner_of_caller, with_owner
from shmooze.runtime import clock

_HOUR = 3600.0


class Limits:
    """Lets items in, or refuses them. What the program adds itself has no limits."""

    #: Owners whose times are remembered, and looked through for old ones when there are more.
    max_owners = 10_000

    def __init__(self, chosen: OwnerLimits, roster: Roster) -> None:
        self.renew(chosen)
        self._roster = roster
        #: What is being added, with its owner.
        self._coming: list[tuple[Entry, str]] = []
        #: When the last items were added, by owner.
        self._times: dict[str, deque[float]] = {}

    def renew(self, chosen: OwnerLimits) -> None:
        """From now on, these are the limits. What was added before counts."""
        self._waiting, self._per_hour = chosen.waiting, chosen.per_hour

    @contextmanager
    def admit(self, entry: Entry) -> Iterator[None]:
        """Let an item be added. Raises TooMany if its owner may not."""
        if (owner := owner_of_caller()) == PROGRAM:
            yield
            return
        self._check_waiting(owner)
        times, now = self._check_times(owner), clock.now()
        entry.terms = with_owner(entry.terms)
        self._coming.append((entry, owner))
        times.append(now)
        try:
            yield
        except BaseException:
            times.remove(now)
            raise
        finally:
            self._coming = [each for each in self._coming if each[0] is not entry]

    def _check_waiting(self, owner: str) -> None:
        if self._waiting is None:
            return
        own = [module for module in self._roster.listed if owner_of(module) == owner]
        there = {id(module.terms) for module in own}
        count = sum(module.state not in (State.PLAYING, *ENDED) for module in own)
        for entry, whose in self._coming:  # and is not in the roster yet
            count += whose == owner and id(entry.terms) not in there
        if count >= self._waiting:
            raise TooMany(f"limit reached ({self._waiting} waiting items for each user)", 5.0)

    def _check_times(self, owner: str) -> deque[float]:
        """The times at which an owner has added items in the last hour."""
        if len(self._times) > self.max_owners:
            newest = clock.now() - _HOUR
            self._times = {who: t for who, t in self._times.items() if t and t[-1] > newest}
        times = self._times.setdefault(owner, self._known_times(owner))
        while times and times[0] <= clock.now() - _HOUR:
            times.popleft()
        if self._per_hour is not None and len(times) >= self._per_hour:
            words = f"limit reached ({self._per_hour} new items an hour for each user)"
            raise TooMany(words, times[0] + _HOUR - clock.now())
        return times

    def _known_times(self, owner: str) -> deque[float]:
        """The same for one who is new to this life of the service, by the items that came back."""
        ages = [clock.time() - each.origin.added for each in self._roster.order]
        owners = map(owner_of, self._roster.order)
        recent = [age for age, whose in zip(ages, owners, strict=True) if whose == owner]
        return deque(clock.now() - max(age, 0.0) for age in sorted(recent, reverse=True))
