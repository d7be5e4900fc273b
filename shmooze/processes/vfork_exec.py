"""Starting a program with vfork: fast, but no code of ours runs in the child.

What fork would set up in the child is therefore inherited or set up by the exec'd program; see
`spawn`. It cannot change the working directory.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gevent import monkey

from shmooze.processes import linux
from shmooze.processes.spawn_request import RESET_SIGNALS, SpawnRequest, start_watched


def start(request: SpawnRequest) -> int:
    """Start a program in a session of its own. Returns its pid. Does not switch greenlets.

    Raises OSError if it cannot be executed, NotImplementedError if this system's posix_spawn cannot
    create a session.
    """
    # The original function: gevent's version would add a second watcher.
    posix_spawn: Callable[..., int] = monkey.get_original("os", "posix_spawn")
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        if request.stdin is None
        else (os.POSIX_SPAWN_DUP2, request.stdin, 0),
        (os.POSIX_SPAWN_DUP2, request.stdout, 1),
        (os.POSIX_SPAWN_DUP2, request.stderr, 2),
    ]

    def spawn() -> int:
        linux.close_on_exec(3)
        with _inheritable_mark(request.mark):
            return posix_spawn(
                request.argv[0],
                request.argv,
                request.environ,
                file_actions=files,
                setsid=True,
                setsigdef=RESET_SIGNALS,
                setsigmask=(),
            )

    return start_watched(spawn, request.on_exit)


@contextmanager
def _inheritable_mark(mark: int | None) -> Iterator[None]:
    """Set the mark on this process for the time in which it creates the child."""
    if mark is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_RTTIME)
    resource.setrlimit(resource.RLIMIT_RTTIME, (mark, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, before)
