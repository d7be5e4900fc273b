"""Snapshots of all processes of this machine, and searches in them that miss nothing.

Plain system calls only: the guardian uses this as well.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator

from shmooze.processes.proc import Member, read_member

log = logging.getLogger(__name__)

#: Snapshots that a search of the whole machine takes at most.
MAX_SNAPSHOTS = 50

#: The pids that the latest snapshot has listed.
_listed_before: set[int] = set()


class ProcessSnapshot:
    """All living processes, and the pids that turned out to be dead.

    `on_found` is called with each process as soon as it is read, `pause` between processes.
    """

    def __init__(
        self,
        on_found: Callable[[Member], None] = lambda member: None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self.living: list[Member] = []
        #: Pids that were listed, but dead when they were read.
        self.dead: set[int] = set()
        self._children: dict[int, list[Member]] = {}
        global _listed_before
        listed = _list()
        # New processes first and without a pause: they are the ones that may be gone in a moment.
        for pid in listed - _listed_before:
            self._read(pid, on_found)
        for pid in listed & _listed_before:
            pause()
            self._read(pid, on_found)
        _listed_before = listed

    def _read(self, pid: int, on_found: Callable[[Member], None]) -> None:
        member = read_member(pid)
        if member is None:
            self.dead.add(pid)
            return
        on_found(member)
        self.living.append(member)
        self._children.setdefault(member.parent, []).append(member)

    def children(self, parent: int) -> list[Member]:
        """Return the living children of a process."""
        return self._children.get(parent, [])

    def below(self, members: Iterable[Member]) -> list[Member]:
        """Return these processes and all their living descendants."""
        found = list(members)
        for each in found:  # grows during iteration
            found.extend(self.children(each.pid))
        return found


def read_new() -> Iterator[Member]:
    """Read the processes that were started since the latest snapshot, or the last call, in the
    order of their pids: parents come before their children, as long as pids do not start over.
    """
    global _listed_before
    listed = _list()
    new, _listed_before = sorted(listed - _listed_before), listed
    for pid in new:
        if (member := read_member(pid)) is not None:
            yield member


def _list() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def find_processes(
    find: Callable[[ProcessSnapshot], list[Member]],
    take_snapshot: Callable[[], ProcessSnapshot] = ProcessSnapshot,
    missed_by: Callable[[ProcessSnapshot], set[int]] | None = None,
) -> list[Member]:
    """Return what `find` finds in a snapshot. An empty result means that there is nothing.

    Reading /proc takes a moment. A process that forks and exits within that moment is missed
    together with its child. So an empty result only counts if no process has ended meanwhile,
    except those that were already dead in the previous snapshot.

    `missed_by` returns the pids that matter of those that a snapshot has missed. The search then
    goes on until it is certain. Without it, any process of the machine matters, and the search has
    to give up where some end all the time.
    """
    missed_before: set[int] = set()
    for _ in itertools.count() if missed_by else range(MAX_SNAPSHOTS):
        snapshot = take_snapshot()
        if found := find(snapshot):
            return found
        missed = missed_by(snapshot) if missed_by else snapshot.dead
        if missed <= missed_before:
            return found
        missed_before = missed
    log.warning("processes start and end so fast here that one may have been missed")
    return []


def child_pids(parent: int | str) -> Iterator[int]:
    """Yield the pids of the children of a process, zombies included, as the kernel lists them.

    The list can only miss one while another is removed from it. Raises OSError if there is no such
    list, or no such process.
    """
    for thread in os.listdir(f"/proc/{parent}/task"):
        with open(f"/proc/{parent}/task/{thread}/children", "rb") as pids:
            yield from map(int, pids.read().split())


def has_children(parent: int) -> bool:
    """Return True if a process has a living child. Raises OSError as `child_pids` does."""
    return any(read_member(pid) is not None for pid in child_pids(parent))


def children(parent: int) -> list[int]:
    """Return the pids of the living children of a process."""
    return [each.pid for each in find_processes(lambda snapshot: snapshot.children(parent))]
