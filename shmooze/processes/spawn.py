"""The spawner: starts programs with vfork where possible, and with fork otherwise.

Forking a process as large as a service blocks it for several milliseconds; vfork takes a fraction
of one. But after vfork no code of ours can run in the child, so what must be set up before the
program begins is done differently (Linux only):

- The mark is a resource limit, and limits are inherited: the service sets it on itself while it
  creates the child.
- The service's file descriptors are marked close-on-exec, and stay so.
- setpriv(1) of util-linux sets the parent-death signal and then executes the program. If the
  service has raised its limit on open files, prlimit(1) restores the original one before that.

If any of these is unavailable, the child is forked and sets everything up itself. So is one with
limits, which must hold before its program can start another. Fork is also used where exec is likely
to fail, because only then is the reason reported: behind setpriv an error is just an exit status of
126 or 127, and a file that is not a binary would be run by a shell.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import shutil
import signal
import sys

import gevent
from gevent.event import AsyncResult

from shmooze.processes import fork_exec, vfork_exec
from shmooze.processes.linux import CAN_CLOSE_ON_EXEC
from shmooze.processes.spawn_request import SpawnRequest
from shmooze.runtime.open_files import FILES_AT_START

log = logging.getLogger(__name__)


class Spawner:
    """Starts programs, each in a session of its own.

    The constructor takes some milliseconds and yields: it tests whether setpriv works here.
    """

    #: Seconds that the test may take.
    test_timeout = 2.0

    def __init__(self) -> None:
        soft_limit = FILES_AT_START[0]
        limit = "unlimited" if soft_limit == resource.RLIM_INFINITY else soft_limit
        #: Put before a program's own arguments; `_limiter` before that, if the limit was raised.
        self._wrapper = [shutil.which("setpriv") or "", "--pdeathsig", "KILL", "--"]
        self._limiter = [shutil.which("prlimit") or "", f"--nofile={limit}:", "--"]
        self._can_vfork = self._test_vfork()
        if not self._can_vfork:
            log.info("modules are started by fork, which is slower: setpriv does not work here")

    def start(self, request: SpawnRequest) -> int:
        """Start a program. Returns its pid.

        Does not switch greenlets. Raises OSError or ValueError if it cannot be started.
        """
        argv = request.argv
        if self._can_vfork and _is_possible_with_vfork(request) and _is_likely_to_exec(argv[0]):
            raised = resource.getrlimit(resource.RLIMIT_NOFILE)[0] != FILES_AT_START[0]
            whole = [*(self._limiter if raised else []), *self._wrapper, *argv]
            try:
                return vfork_exec.start(request._replace(argv=whole))
            except OSError as bad:  # fork reports the reason better
                log.warning("%s: vfork failed, trying fork: %s", argv[0], bad.strerror)
        return fork_exec.start(request)

    def _test_vfork(self) -> bool:
        """Run setpriv and prlimit once: other programs of these names have fewer options."""
        argv = [*self._limiter, *self._wrapper, self._wrapper[0], "--version"]
        if "" in argv or not CAN_CLOSE_ON_EXEC or not hasattr(os, "posix_spawn"):
            return False
        status: AsyncResult[int] = AsyncResult()
        try:
            with open(os.devnull, "wb") as null:
                output = null.fileno()
                request = SpawnRequest(argv, os.environ, output, output, None, status.set)
                pid = vfork_exec.start(request)
        except (OSError, NotImplementedError):
            return False
        try:
            with gevent.Timeout(self.test_timeout, False):
                return status.get() == 0
            return False
        finally:
            if not status.ready():
                os.kill(pid, signal.SIGKILL)


def _is_possible_with_vfork(request: SpawnRequest) -> bool:
    # A stream that has the number of a standard one cannot be moved out of the way.
    streams = [fd for fd in (request.stdin, request.stdout, request.stderr) if fd is not None]
    return request.cwd is None and request.entry is None and min(streams) > 2


def _is_likely_to_exec(program: str) -> bool:
    """Return True for a binary of this machine, or a script whose interpreter is one."""
    path = shutil.which(program)
    if path is None:
        return False
    interpreter = re.match(rb"#![ \t]*([^ \t\n\0]+)", _first_bytes(path))
    return _is_native_binary(interpreter[1] if interpreter else path)


def _is_native_binary(path: str | bytes) -> bool:
    """Return True for an executable binary of the same architecture as our own interpreter."""
    head, ours = _first_bytes(path), _first_bytes("/proc/self/exe") or _first_bytes(sys.executable)
    is_elf = head.startswith(b"\x7fELF")
    # From elf(5): 32 or 64 bits and the byte order; the processor.
    is_native = head[4:6] == ours[4:6] and head[18:20] == ours[18:20]
    return is_elf and is_native and os.access(path, os.X_OK)


def _first_bytes(path: str | bytes) -> bytes:
    """Return the first bytes of a file, or none if it is not a readable regular file."""
    try:
        if os.path.isfile(path):
            with open(path, "rb") as file:
                return file.read(256)
    except OSError:
        pass
    return b""
