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
- It outlives every signal that can be outlived, since a signal may be sent to the whole process
  group: Ctrl-\\ in a terminal, or `kill -- -PGID`. All are blocked and taken one by one, and passed
  on to the service, so that a signal to the pid that others know does what it does to a service.
  Only those that stop a process stop it: the shell waits for that after Ctrl-Z. SIGKILL, and the
  two that the C library keeps to itself (32 and 33), end it.
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
from contextlib import suppress
from typing import NoReturn

import gevent
from gevent import monkey

from shmooze.processes.capabilities import CAN_FOLLOW_TREES
from shmooze.processes.tree import children
from shmooze.runtime import inherited
from shmooze.runtime.program import ENDING

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

_PR_SET_DUMPABLE = 4

_STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}

#: Signals that the guardian takes: SIGCHLD tells it of an end, all others are passed on.
TAKEN = signal.valid_signals() - _STOPPING - {signal.SIGKILL}

#: Seconds that SIGKILL may take, for processes that the kernel cannot end or that are not ours.
KILL_TIMEOUT = 5.0


def fork_guardian() -> int | None:
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
    inherited.reset_dispositions()
    signal.pthread_sigmask(signal.SIG_SETMASK, TAKEN)
    _flush_streams()  # or both halves would write what waits there
    service = fork()
    if service != 0:
        os.close(alive)
        libc.prctl(_PR_SET_NAME, b"shmooze-guard", 0, 0, 0)
        # With a handler, since the system may keep no news of children from those without.
        monkey.get_original("signal", "signal")(signal.SIGCHLD, lambda *_: None)
        _end_as(_guard(service))
    os.close(held)
    signal.pthread_sigmask(signal.SIG_SETMASK, ENDING)  # until `program.run` can take them
    gevent.reinit()  # in case that the program has waited for something already
    return alive


def _guard(service: int) -> int:
    """Wait for the service's end, and end all that it leaves; its wait status."""
    waitpid: Callable[[int, int], tuple[int, int]] = monkey.get_original("os", "waitpid")
    pid = 0
    while pid != service:
        number = signal.sigwait(TAKEN)
        if number != signal.SIGCHLD:
            _send(service, number)
            continue
        # One signal may tell of many.
        while (ended := waitpid(-1, os.WNOHANG))[0] not in (0, service):
            pass
        pid, status = ended
    deadline = time.monotonic() + KILL_TIMEOUT
    left: list[int] = []
    while time.monotonic() < deadline:
        try:
            left = children(os.getpid())
            for child in left:
                _send(child, signal.SIGKILL)
        except OSError:
            pass  # the system has no file descriptor left; again in a moment
        try:
            while waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return status
        monkey.get_original("time", "sleep")(0.002)
    pids = ", ".join(map(str, left)) or "dead processes that a debugger holds"
    with suppress(OSError):  # nobody reads it any more
        os.write(2, f"shmooze: SIGKILL does not end what the service left: {pids}\n".encode())
    return status


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended, or became somebody else's; _guard sees which


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it, or the program has closed it
            stream.flush()


def _end_as(status: int) -> NoReturn:
    """End this process the way that the wait status tells of another."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        # No core of ours: it would be written over that of the service.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        if number in TAKEN:
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # pid 1 cannot kill itself
    os._exit(os.WEXITSTATUS(status))
