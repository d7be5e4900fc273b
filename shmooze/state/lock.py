"""Which services use a state file, by locks that end with their processes.

The lock file beside a state file has a byte for each service, locked by the process that runs it.
The locks are those of POSIX: the kernel releases them when the process ends, however it ends, and
no child inherits them. A process loses them as soon as it closes any descriptor of the lock file.
So it opens that once, whatever number of its services use it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from gevent import monkey

from shmooze.state.problems import FileProblem

_sleep = monkey.get_original("time", "sleep")
#: Held while this process changes which locks it has; native, as it is used by native threads.
_mutex: Any = monkey.get_original("_thread", "RLock")()
#: The lock files that this process has open, and the services for which it has them locked.
_open: dict[str, tuple[int, set[str]]] = {}

#: The byte that is locked while a service opens the file, before those of the services.
_GATE = 0


class UseLock:
    """The locks on one state file."""

    #: Seconds for which a lock is waited for. A process that was killed may take a moment to end.
    timeout = 3.0
    #: Seconds between two attempts.
    delay = 0.02

    def __init__(self, path: str) -> None:
        self._file = os.path.realpath(path) + "-lock"

    @contextmanager
    def opening(self, name: str | None) -> Iterator[None]:
        """Open the state file for the service `name`: no other service does so meanwhile.

        Its lock is kept unless this fails, until `release`. Raises FileProblem or OSError.
        """
        with _mutex:
            fd, names = self._opened()
            try:
                gate = "another program is opening, checking or importing it"
                self._wait(lambda: _lock(fd, _GATE, 1), gate)
                try:
                    with self._named(fd, names, name):
                        yield
                finally:
                    fcntl.lockf(fd, fcntl.LOCK_UN, 1, _GATE)
            finally:
                self._close_unused()

    def is_used_by_others(self) -> bool:
        """Whether another process uses the file. Only while opening it."""
        with _mutex:
            fd, names = self._opened()
            if not _lock(fd, _GATE + 1, 0):
                return True
            fcntl.lockf(fd, fcntl.LOCK_UN, 0, _GATE + 1)
            for name in names:
                _lock(fd, _byte_of(name), 1)
            return False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all services from using the file. Raises FileProblem if one uses it, or OSError."""
        with _mutex:
            fd, names = self._opened()
            try:
                if names:
                    raise FileProblem("a service in this process uses it")
                self._wait(lambda: _lock(fd, _GATE, 0), "a service uses it: stop that first")
                yield
            finally:
                self._close_unused()

    def release(self, name: str) -> None:
        """Release the lock of the service `name`."""
        with _mutex:
            if self._file in _open:
                fd, names = _open[self._file]
                names.discard(name)
                fcntl.lockf(fd, fcntl.LOCK_UN, 1, _byte_of(name))
                self._close_unused()

    @contextmanager
    def _named(self, fd: int, names: set[str], name: str | None) -> Iterator[None]:
        if name is None:
            yield
            return
        problem = f"another process runs the service {name!r} on it: stop that first"
        if name in names:
            raise FileProblem(problem)
        self._wait(lambda: _lock(fd, _byte_of(name), 1), problem)
        names.add(name)
        try:
            yield
        except BaseException:
            names.discard(name)
            fcntl.lockf(fd, fcntl.LOCK_UN, 1, _byte_of(name))
            raise

    def _wait(self, lock: Callable[[], bool], problem: str) -> None:
        deadline = time.monotonic() + self.timeout
        while not lock():
            if time.monotonic() > deadline:
                raise FileProblem(problem)
            _sleep(self.delay)

    def _opened(self) -> tuple[int, set[str]]:
        if self._file not in _open:
            fd = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
            with suppress(PermissionError):  # of another user, who shares it
                os.fchmod(fd, 0o600)  # whatever the umask
            _open[self._file] = fd, set()
        return _open[self._file]

    def _close_unused(self) -> None:
        """Close the lock file, and so release all locks on it, if no service needs it."""
        fd, names = _open[self._file]
        if not names:
            del _open[self._file]
            os.close(fd)


def _lock(fd: int, start: int, length: int) -> bool:
    """Lock so many bytes, or all from `start` for 0. Returns False if another process has them."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except OSError as bad:
        if bad.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _byte_of(name: str) -> int:
    """A service's byte in the lock file, beyond the gate; the file need not be that long."""
    digest = hashlib.sha256(name.lower().encode("utf-8", "surrogatepass")).digest()
    return 1 + int.from_bytes(digest[:7], "big")
