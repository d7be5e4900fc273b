"""Processes of this machine, which may end at any moment while they are inspected."""

from __future__ import annotations

import errno
import os
import signal
import subprocess

import pytest

from shmooze.processes import tree


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
