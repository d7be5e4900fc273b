"""The guardian: the parent of a service, which ends all its processes even after a SIGKILL.

A service that has been killed cannot end its children. So it forks before it starts anything else.
The half that keeps the pid, which supervisors, terminals and containers know, becomes the
*guardian*; the other half goes on as the service.

    supervisor -- guardian -- service -- child -- …

- The guardian is a child subreaper. When the service dies, for whatever reason, its descendants
  become the guardian's children sooner or later: each process that is killed leaves its own
  children to the guardian. It kills its children until waitpid reports that there are none, and
  ends the way the service ended.
- The pid of a child that nobody else can reap is never reused, so no other process can be hit.
- It survives every signal that can be survived, since a signal may be sent to the whole process
  group: Ctrl-\\ in a terminal, or `kill -- -PGID`. All are blocked, taken one by one, and passed on
  to the service, so a signal to the well-known pid has the effect that it would have on a service.
  Only stop signals keep their effect on the guardian: the shell waits for that after Ctrl-Z.
  SIGKILL and the two signals that the C library reserves (32 and 33) end it.
- A pipe tells the service when the guardian is gone: the service then ends all its children and
  itself. If both are killed at the same time, the next start ends what they left: the launcher
  finds it by its mark (see `local`).

The guardian uses plain system calls only. It is forked before the service has a server, a greenlet
or a thread, because only the forking thread exists in the other half.
"""

from __future__ import annotations

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

from shmooze.processes import linux
from shmooze.processes.capabilities import CAN_TRACK_TREES
from shmooze.processes.tree import children
from shmooze.runtime import inherited
from shmooze.runtime.program import ENDING

_STOP_SIGNALS = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}

#: Signals that the guardian takes: SIGCHLD reports an exit, all others are passed on.
TAKEN = signal.valid_signals() - _STOP_SIGNALS - {signal.SIGKILL}

#: Seconds after which the guardian looks again whether the service is late.
LATE_INTERVAL = 0.25

#: Seconds that SIGKILL may take, for processes that the kernel holds or another user owns.
KILL_TIMEOUT = 5.0


def fork_guardian(is_late: Callable[[], bool] | None = None) -> int | None:
    """Fork this process. Returns in the service's half only.

    Once `is_late` returns True, which is asked in the guardian's half, it kills the service too,
    which may have been stopped. Returns a file descriptor that reads as ended once the guardian is
    gone, or None if there can be no guardian here.
    """
    if not CAN_TRACK_TREES:
        return None
    fork: Callable[[], int] = monkey.get_original("os", "fork")
    if not linux.become_subreaper():
        return None
    alive, held = os.pipe()
    # Both halves share their memory until one of them writes to it. The garbage collector would
    # write to every object and double the memory.
    gc.freeze()
    inherited.reset_dispositions()
    signal.pthread_sigmask(signal.SIG_SETMASK, TAKEN)
    _flush_streams()  # or both halves would write what is buffered
    service = fork()
    if service != 0:
        os.close(alive)
        linux.set_process_name(b"shmooze-guard")
        # With a handler: without one, the system may not report exits of children.
        monkey.get_original("signal", "signal")(signal.SIGCHLD, lambda *_: None)
        _exit_like(_guard(service, is_late))
    os.close(held)
    signal.pthread_sigmask(signal.SIG_SETMASK, ENDING)  # until `program.run` can take them
    gevent.reinit()  # in case the program has already used the event loop
    return alive


def _guard(service: int, is_late: Callable[[], bool] | None) -> int:
    """Wait until the service exits, then end everything it left. Returns its wait status."""
    waitpid: Callable[[int, int], tuple[int, int]] = monkey.get_original("os", "waitpid")
    pid = 0
    while pid != service:
        if is_late is None:
            number = signal.sigwait(TAKEN)
        elif (info := signal.sigtimedwait(TAKEN, LATE_INTERVAL)) is not None:
            number = info.si_signo
        else:
            if is_late():
                _send(service, signal.SIGKILL)
            continue
        if number != signal.SIGCHLD:
            _send(service, number)
            continue
        # One signal may stand for several exits.
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
            pass  # the system is out of file descriptors: try again
        try:
            while waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return status
        monkey.get_original("time", "sleep")(0.002)
    pids = ", ".join(map(str, left)) or "dead processes that a debugger holds"
    with suppress(OSError):  # standard error may be closed
        os.write(2, f"shmooze: left behind by the service, despite SIGKILL: {pids}\n".encode())
    return status


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended, or changed its user; `_guard` finds out which


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # broken pipe, or closed by the program
            stream.flush()


def _exit_like(status: int) -> NoReturn:
    """End this process the way another one ended, given its wait status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        linux.disable_core_dump()  # it would overwrite that of the service
        if number in TAKEN:
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # pid 1 cannot kill itself
    os._exit(os.WEXITSTATUS(status))
