"""The contract of limiters, and the limiter that uses the best way to enforce each limit.

Means are cgroups of version 2 or 1, and, where no cgroup is ours to use, resource limits and
watching. A confinement is what one of them does for one module's processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from shmooze.processes.limits import Limits
from shmooze.processes.spawn_request import Entry

#: Returns the pids of the processes that count together.
FindPids = Callable[[], Sequence[int]]
#: Is told why processes have to be ended.
OnBreach = Callable[[str], None]


class Confinement(Protocol):
    """The limits of one module's processes, enforced."""

    #: What the process does before it executes its program.
    entry: Entry

    def begin(self, find_pids: FindPids, on_breach: OnBreach) -> None:
        """The process has started. Call `on_breach` at most once, from a greenlet, if its limits
        do not end it themselves. Does not wait.
        """

    def breach(self) -> str | None:
        """Why the limits have ended it, or have to, as far as is known; None: they have not."""

    def kill(self) -> None:
        """Send SIGKILL to all at once, if there is a way to. Never raises."""

    def close(self) -> None:
        """Leave nothing of it behind. Called when all processes have ended; may be called twice."""


class Means(Protocol):
    """One way to enforce limits."""

    #: For people, such as "cgroup v2".
    name: str
    #: The keys of Limits that it can enforce here.
    enforces: frozenset[str]

    def confine(self, limits: Limits) -> Confinement:
        """Enforce these limits, all of which it can, for a process that is started next.

        Raises OSError if that fails.
        """

    def sweep(self) -> None:
        """Remove what an earlier life of this service has left. Called before `confine`."""


class Limiter:
    """Enforces each limit by the first of some means that can."""

    def __init__(self, means: Sequence[Means]) -> None:
        self._means = means

    @property
    def available(self) -> Mapping[str, str | None]:
        """What enforces each limit; None: nothing."""
        found: dict[str, str | None] = {}
        for key in Limits.__struct_fields__:
            names = [each.name for each in self._means if key in each.enforces]
            found[key] = names[0] if names else None
        return found

    def sweep(self) -> None:
        """See Means."""
        for means in self._means:
            means.sweep()

    def confine(self, limits: Limits) -> Confinement:
        """Enforce those of the limits that something here can. Raises OSError."""
        parts: list[Confinement] = []
        try:
            for means, share in self._shares(limits):
                parts.append(means.confine(share))
        except BaseException:
            _Together(parts).close()
            raise
        return parts[0] if len(parts) == 1 else _Together(parts)

    def _shares(self, limits: Limits) -> Iterator[tuple[Means, Limits]]:
        """Each means that is needed, and its part of the limits."""
        left = {key for key in limits.__struct_fields__ if getattr(limits, key) is not None}
        for means in self._means:
            own = left & means.enforces
            left -= own
            if own:
                yield means, Limits(**{key: getattr(limits, key) for key in own})


class _Together:
    """Several confinements of the same processes."""

    def __init__(self, parts: Sequence[Confinement]) -> None:
        self._parts = parts
        self.entry = Entry.together(part.entry for part in parts)

    def begin(self, find_pids: FindPids, on_breach: OnBreach) -> None:
        for part in self._parts:
            part.begin(find_pids, on_breach)

    def breach(self) -> str | None:
        return next(filter(None, (part.breach() for part in self._parts)), None)

    def kill(self) -> None:
        for part in self._parts:
            part.kill()

    def close(self) -> None:
        for part in self._parts:
            part.close()
