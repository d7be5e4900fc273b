"""How the program of a child is started.

To fork a process as large as a service takes some milliseconds, in which it does nothing else; a
vfork takes a fraction of one. But after that nothing of ours can run in the child. What has to
hold before its program begins is then had in other ways (Linux):

- The mark is a limit, and limits are inherited: we bear it ourselves for that moment.
- Our files are flagged to be closed at exec, and stay so.
- setpriv(1) of util-linux orders the signal at our end, and becomes the program. Where we may have
  more files open than we could at first, prlimit(1) takes that back before.

Where one of these cannot be had, the child is forked and does it all by itself. So it is where
exec will most likely fail, since only then we hear why: behind setpriv a fault is just a status of
126 or 127, and what is no binary would be run by a shell.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import logging
import os
import re
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

import gevent
from gevent import monkey
from gevent.event import AsyncResult
from gevent.os import fork_and_watch

from shmooze.runtime.fd_reader import close_now
from shmooze.runtime.open_files import FILES_AT_START

log = logging.getLogger(__name__)

#: Is given a child's exit status, or minus the number of the signal that ended it.
OnExit = Callable[[int], None]

#: Signals that a program starts with the default action of, whatever we or our parent ignore.
_DEFAULTS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}

_CLOSE_RANGE_CLOEXEC = 4
_PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _close_at_exec(first: int) -> bool:
    """Have all open files from this number on closed at exec; whether that can be done here."""
    if not hasattr(libc, "close_range"):
        return False
    assert libc is not None
    return int(libc.close_range(first, ctypes.c_uint(-1), _CLOSE_RANGE_CLOEXEC)) == 0


#: Whether a child is rid of our files by one call. One by one, thousands take as long as its start.
_CLOSES_AT_EXEC = _close_at_exec(1 << 30)  # of none, to try it


class _SpawnRequest(NamedTuple):
    """What is to be started, and how."""

    argv: Sequence[str]
    environ: Mapping[str, str]
    #: File descriptors.
    stdout: int
    stderr: int
    mark: int | None
    on_exit: OnExit


class Spawner:
    """Starts programs, each in a session of its own and with nothing to read.

    Making one takes some milliseconds, and yields: it tries whether setpriv works here.
    """

    #: Seconds that the trial may take.
    trial_timeout = 2.0

    def __init__(self) -> None:
        most = FILES_AT_START[0]
        limit = "unlimited" if most == resource.RLIM_INFINITY else most
        #: What stands before the arguments of a program; and before that, if our files need it.
        self._wrapper = [shutil.which("setpriv") or "", "--pdeathsig", "KILL", "--"]
        self._limiter = [shutil.which("prlimit") or "", f"--nofile={limit}:", "--"]
        self._can_spawn = self._try()
        if not self._can_spawn:
            log.info("modules are started by fork, which takes longer: setpriv does not work here")

    def start(
        self, argv: Sequence[str], stdout: int, stderr: int, mark: int | None, on_exit: OnExit
    ) -> int:
        """Start a program, whose soft limit on realtime CPU time will be `mark`; its pid.

        Raises OSError or ValueError where it cannot be started.
        """
        # Output is of use when it is fresh.
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        order = _SpawnRequest(argv, environ, stdout, stderr, mark, on_exit)
        # An output in the place of a standard stream would have to be moved out of the way first.
        if self._can_spawn and min(stdout, stderr) > 2 and _will_start(argv[0]):
            raised = resource.getrlimit(resource.RLIMIT_NOFILE)[0] != FILES_AT_START[0]
            whole = [*(self._limiter if raised else []), *self._wrapper, *argv]
            try:
                return _spawn(order._replace(argv=whole))
            except OSError as bad:  # the other way knows better what to say
                log.info("%s: cannot be started by vfork: %s", argv[0], bad.strerror)
        return _fork(order)

    def _try(self) -> bool:
        """Whether vfork can be used: there are other programs of these names, which know less."""
        trial = [*self._limiter, *self._wrapper, self._wrapper[0], "--version"]
        if "" in trial or not _CLOSES_AT_EXEC or not hasattr(os, "posix_spawn"):
            return False
        status: AsyncResult[int] = AsyncResult()
        try:
            with open(os.devnull, "wb") as nowhere:
                output = nowhere.fileno()
                pid = _spawn(_SpawnRequest(trial, os.environ, output, output, None, status.set))
        except (OSError, NotImplementedError):  # the latter where it cannot begin a session
            return False
        try:
            with gevent.Timeout(self.trial_timeout, False):
                return status.get() == 0
            return False
        finally:
            if not status.ready():
                os.kill(pid, signal.SIGKILL)


def _will_start(program: str) -> bool:
    """Whether exec will hardly fail: it is a binary, or a script whose interpreter is one."""
    path = shutil.which(program)
    if path is None:
        return False
    interpreter = re.match(rb"#![ \t]*([^ \t\n\0]+)", _head(path))
    return _is_binary(interpreter[1] if interpreter else path)


def _is_binary(path: str | bytes) -> bool:
    """Whether this is an executable file, and for the same machine as our own interpreter."""
    head, ours = _head(path), _head("/proc/self/exe") or _head(sys.executable)
    is_elf = head.startswith(b"\x7fELF")
    # From elf(5): 32 or 64 bits and the order of bytes; the processor.
    is_native = head[4:6] == ours[4:6] and head[18:20] == ours[18:20]
    return is_elf and is_native and os.access(path, os.X_OK)


def _head(path: str | bytes) -> bytes:
    """The first bytes of a file; none where it cannot be read, or is no file."""
    try:
        if os.path.isfile(path):
            with open(path, "rb") as file:
                return file.read(256)
    except OSError:
        pass
    return b""


def _spawn(order: _SpawnRequest) -> int:
    # The plain one: gevent's own would watch the child as well.
    posix_spawn: Callable[..., int] = monkey.get_original("os", "posix_spawn")
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, order.stdout, 1),
        (os.POSIX_SPAWN_DUP2, order.stderr, 2),
    ]

    def spawn() -> int:
        _close_at_exec(3)
        with _bearing(order.mark):
            return posix_spawn(
                order.argv[0],
                order.argv,
                order.environ,
                file_actions=files,
                setsid=True,
                setsigdef=_DEFAULTS,
                setsigmask=(),
            )

    return _watch(spawn, order.on_exit)


@contextmanager
def _bearing(mark: int | None) -> Iterator[None]:
    """Bear the mark of a child, which is a limit that nobody reaches (see launcher)."""
    if mark is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_RTTIME)
    resource.setrlimit(resource.RLIMIT_RTTIME, (mark, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, before)


def _fork(order: _SpawnRequest) -> int:
    """Fork, and wait until the child has become the program or tells why it cannot.

    Nothing switches to another greenlet between the fork and the return: whoever waits for the pid
    could be ended meanwhile, and the child would belong to nobody. To wait for an exec takes a
    small part of the time that the fork has taken.
    """
    reader, writer = os.pipe()
    fork: Callable[[], int] = monkey.get_original("os", "fork")
    parent = os.getpid()

    def fork_child() -> int:
        pid = fork()
        if pid == 0:
            _become(order, parent, writer)
        return pid

    collected = gc.isenabled()
    gc.disable()  # in the child no finalizer may run that knows of the event loop
    try:
        pid = _watch(fork_child, order.on_exit)
    except BaseException:
        close_now(reader)
        raise
    finally:
        close_now(writer)
        if collected:
            gc.enable()
    with open(reader, "rb") as report:
        failure = report.read().decode()
    if failure.isdigit():
        raise OSError(int(failure), os.strerror(int(failure)), order.argv[0])
    if failure:
        raise ValueError(failure)
    return pid


def _watch(start: Callable[[], int], on_exit: OnExit) -> int:
    """Have `start` make a child, whose exit status `on_exit` is given; its pid."""
    gevent.get_hub().loop.install_sigchld()  # before it can end
    pid: int = fork_and_watch(
        lambda watcher: on_exit(os.waitstatus_to_exitcode(watcher.rstatus)), ref=True, fork=start
    )
    return pid


def _become(order: _SpawnRequest, parent: int, writer: int) -> NoReturn:
    """In the forked child: become the program, or write the error's number and exit."""
    try:
        set_handler: Callable[[int, int], object] = monkey.get_original("signal", "signal")
        for each in _DEFAULTS:
            set_handler(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        # Out of the way of the standard streams first.
        fds = (null, order.stdout, order.stderr, writer)
        *streams, writer = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in fds)
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        if not _close_at_exec(3):
            os.closerange(3, writer)
            os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
        resource.setrlimit(resource.RLIMIT_NOFILE, FILES_AT_START)  # ours may be too many for it
        if order.mark is not None:
            resource.setrlimit(resource.RLIMIT_RTTIME, (order.mark, resource.RLIM_INFINITY))
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before the signal was ordered
                os.kill(os.getpid(), signal.SIGKILL)
        os.execvpe(order.argv[0], list(order.argv), order.environ)
    except OSError as bad:
        os.write(writer, str(bad.errno).encode())
    except BaseException as bad:
        os.write(writer, str(bad).encode(errors="replace") or b"unknown error")
    finally:
        os._exit(1)
