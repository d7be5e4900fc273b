"""What else goes wrong while a queue is loaded and killed: a full disk, a locked file."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

#: Set in the process that may mount file systems.
_INSIDE = "SHMOOZE_DURABILITY_UNSHARED"
#: Bytes of the small file system: more than what is kept needs when it is not filled.
_SIZE = 64 << 20
#: Bytes that one write to fill it has.
_BLOCK = bytes(1 << 16)


class Trouble:
    """None. It begins and ends at random moments, in a thread, while it is let."""

    #: How a refusal ends that it explains; empty: it explains none.
    refusal = ""
    #: Seconds for which the queue is loaded: usually, and in some rounds.
    load, long_load = (0.02, 0.5), (0.02, 0.5)

    def __init__(self, folder: Path, source: random.Random) -> None:
        self.folder, self._source = folder, source
        #: How often it has begun.
        self.times = 0
        self._over = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """It happens during this block, and is over when that ends."""
        self._over.clear()
        thread = threading.Thread(target=self._go_on)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def seconds_of_load(self) -> float:
        """For how long the queue is loaded in a round."""
        return self._source.uniform(*self._source.choice([*9 * [self.load], self.long_load]))

    def _go_on(self) -> None:
        while not self._over.wait(self._source.uniform(0.01, 0.2)):
            self.times += 1
            self._happen()

    def _happen(self) -> None:
        self._over.wait()


class FullDisk(Trouble):
    """The file system of the state file is full, and then it is not."""

    refusal = "the disk is full"
    load = long_load = (0.1, 1.0)

    def _happen(self) -> None:
        ballast = self.folder / "ballast"
        with suppress(OSError), open(ballast, "wb", buffering=0) as file:
            while not self._over.is_set():
                file.write(_BLOCK)
        self._over.wait(self._source.uniform(0.05, 0.3))
        ballast.unlink()


class LockedFile(Trouble):
    """Another program has locked the state file, sometimes longer than the service waits."""

    refusal = "another program has locked the file"
    load, long_load = (0.1, 1.0), (7.0, 8.0)

    def _happen(self) -> None:
        path = self.folder / "state.db"
        with closing(sqlite3.connect(path, timeout=0.05, isolation_level=None)) as file:
            try:
                file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return  # the service is just writing
            self._over.wait(self._source.choice([*9 * [self._source.uniform(0.01, 0.5)], 6.0]))
            file.execute("ROLLBACK")


def become_able_to_mount() -> None:
    """Run this program again where it may mount file systems that nobody else sees."""
    if _INSIDE in os.environ:
        return
    options = ["--mount"] if os.geteuid() == 0 else ["--mount", "--user", "--map-root-user"]
    if subprocess.run(["unshare", *options, "true"], capture_output=True).returncode:
        raise SystemExit("scripts/durability: --full needs root, or user namespaces of the kernel")
    os.environ[_INSIDE] = "1"
    os.execvp("unshare", ["unshare", *options, sys.executable, "-m", "durability", *sys.argv[1:]])


def mount_small(folder: Path) -> None:
    """Mount a small file system on this folder."""
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)], check=True
    )
