"""Processes of this machine, which may end at any moment while they are inspected."""

from __future__ import annotations

import errno
import os
import signal
import subprocess

import pytest

from shmooze.processes import strays, tree
from shmooze.processes.proc import Member


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESRCH, errno.EACCES])
def test_a_process_that_ends_while_it_is_inspected_counts_as_dead(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    child = subprocess.Popen(["sleep", "1000"])
    try:
        assert child.pid in tree.children(os.getpid())
        really_open = os.open

        def open_unless_gone(path: str, *args: int) -> int:
            if path == f"/proc/{child.pid}/stat":
                raise OSError(number, os.strerror(number))
            return really_open(path, *args)

        with monkeypatch.context() as patched:
            patched.setattr(os, "open", open_unless_gone)
            assert child.pid not in tree.children(os.getpid())
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()


class Machine:
    """A machine on which foreign processes end all the time, and a stray that is hard to catch."""

    def __init__(self, stray: int | None, caught_at: int) -> None:
        self.stray, self.caught_at = stray, caught_at
        self.snapshots = 0

    def take_snapshot(self) -> tree.ProcessSnapshot:
        self.snapshots += 1
        snapshot = object.__new__(tree.ProcessSnapshot)
        snapshot.dead = {1000 + self.snapshots}
        is_caught = self.stray is not None and self.snapshots == self.caught_at
        snapshot.living = [Member(self.stray, os.getpid(), 1, 1)] if is_caught else []
        return snapshot

    def our_children(self) -> set[int]:
        """A chain of processes has another pid each time."""
        if self.stray is None:
            return set()
        return {self.stray if self.snapshots == self.caught_at else 2000 + self.snapshots}


@pytest.mark.parametrize(
    ("machine", "found", "snapshots"),
    [
        pytest.param(Machine(None, 0), [], 1, id="no stray"),
        pytest.param(Machine(77, 60), [77], 60, id="one that escapes many times"),
    ],
)
def test_a_stray_is_found_however_many_foreign_processes_end(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, found: list[int], snapshots: int
) -> None:
    monkeypatch.setattr(strays, "_our_children", machine.our_children)
    members = tree.find_processes(
        lambda snapshot: snapshot.living, machine.take_snapshot, strays.missed_by
    )
    assert [member.pid for member in members] == found
    assert machine.snapshots == snapshots


def test_a_search_that_has_found_something_asks_for_nothing_more() -> None:
    """Each module of a service searches, and what is asked grows with the number of all."""
    asked: list[object] = []

    def missed_by(snapshot: object) -> set[int]:
        asked.append(snapshot)
        return set()

    here = os.getpid()
    (found,) = tree.find_processes(
        lambda snapshot: [each for each in snapshot.living if each.pid == here],
        missed_by=missed_by,
    )
    assert found.pid == here
    assert not asked
