"""The guardian: a parent for the service, so that not even SIGKILL of the service leaves a process.

A service that ends its children itself cannot do so when it is killed. So before it starts
anything it splits in two. The half that keeps the pid (which supervisors, terminals and
containers know) becomes the *guardian*; the other half goes on as the service.

    supervisor -- guardian -- service -- child -- …

- The guardian is a child subreaper. When the service dies, however it dies, everything below it
  becomes the guardian's own, sooner or later: what it kills leaves its children to it. It kills
  its children until waitpid says that there are none, and ends as the service has ended.
- The pid of a child that nobody else can reap is never given away, so nothing can be hit by
  mistake.
- Signals that ask for an end are passed on to the service.
- A pipe tells the service that the guardian is gone: then it ends all its children at once, and
  itself. Against SIGKILL of both at the same time helps only the sweep at the next start, by the
  mark that all children bear (see launcher).

The guardian does nothing but plain system calls. It is made before the service has a server, a
greenlet or a thread, since only the thread that forks lives on in the other half.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

import gevent
from gevent import monkey

from shmooze.modules.launcher import CAN_FOLLOW_TREES
from shmooze.modules.tree import children

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

#: Signals that the guardian passes on.
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

#: Seconds that SIGKILL may take, for processes that the kernel cannot end or that are not ours.
KILL_TIMEOUT = 5.0


def stand_guard() -> int | None:
    """Split this process; returns in the service's half only.

    The result is the file descriptor that reads as ended once the guardian is gone, or None
    where there is no guardian.
    """
    if not CAN_FOLLOW_TREES:
        return None
    fork: Callable[[], int] = monkey.get_original("os", "fork")
    libc = ctypes.CDLL(None)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        return None
    alive, held = os.pipe()
    # Both halves share the memory of what there is by now, as long as neither writes to it; the
    # garbage collector would, to every object, and double it.
    gc.freeze()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    service = fork()
    if service != 0:
        os.close(alive)
        libc.prctl(_PR_SET_NAME, b"shmooze-guard", 0, 0, 0)
        for number in PASSED_ON:
            signal.signal(number, lambda n, _frame: _pass_on(service, n))
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        _end_as(_guard(service))
    os.close(held)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    gevent.reinit()  # in case that the program has waited for something already
    return alive


def _guard(service: int) -> int:
    """Wait for the service's end, and end all that it leaves; its wait status."""
    waitpid: Callable[[int, int], tuple[int, int]] = monkey.get_original("os", "waitpid")
    while True:
        pid, status = waitpid(-1, 0)
        if pid == service:
            break
    deadline = time.monotonic() + KILL_TIMEOUT
    left: list[int] = []
    while time.monotonic() < deadline:
        try:
            left = children(os.getpid())
            for child in left:
                _pass_on(child, signal.SIGKILL)
        except OSError:
            pass  # the system has no file descriptor left; again in a moment
        try:
            while waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return status
        monkey.get_original("time", "sleep")(0.002)
    pids = ", ".join(map(str, left))
    os.write(2, f"shmooze: SIGKILL does not end what the service left: {pids}\n".encode())
    return status


def _pass_on(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended, or became somebody else's; _guard sees which


def _end_as(status: int) -> NoReturn:
    """End this process the way that the wait status tells of another."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # pid 1 cannot kill itself
    os._exit(os.WEXITSTATUS(status))
