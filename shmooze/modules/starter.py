"""How the program of a child is started.

To fork a process as large as a service takes some milliseconds, in which it does nothing else; a
vfork takes a fraction of one. But after that nothing of ours can run in the child. What has to
hold before its program begins is then had in other ways (Linux):

- The mark is a limit, and limits are inherited: we bear it ourselves for that moment.
- Our files are flagged to be closed at exec.
- setpriv(1) of util-linux orders the signal at our end, and becomes the program.

Where one of these cannot be had, the child is forked and does it all by itself. So it is where
exec will most likely fail, since only then we hear why.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import gevent
from gevent import monkey, subprocess
from gevent.event import AsyncResult
from gevent.os import fork_and_watch

from shmooze.lib.limits import FILES_AT_START

#: Is given a child's exit status, or minus the number of the signal that ended it.
OnExit = Callable[[int], None]

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


class Starter:
    """Starts programs, each in a session of its own and with nothing to read.

    Making one takes some milliseconds, and yields: it tries whether setpriv works here.
    """

    #: Seconds that the trial may take.
    trial_timeout = 5.0

    def __init__(self) -> None:
        #: What stands before the arguments of a program; None: children are forked.
        self._wrapper = self._find_wrapper()

    def start(
        self, argv: Sequence[str], stdout: int, stderr: int, mark: int | None, on_exit: OnExit
    ) -> int:
        """Start a program, whose soft limit on realtime CPU time will be `mark`; its pid.

        Raises OSError or ValueError where it cannot be started.
        """
        # Output is of use when it is fresh.
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if self._wrapper and min(stdout, stderr) > 2 and _will_start(argv[0]):
            with suppress(OSError):  # the other way knows better what to say
                return _spawn([*self._wrapper, *argv], environ, stdout, stderr, mark, on_exit)
        return _fork(argv, environ, stdout, stderr, mark, on_exit)

    def _find_wrapper(self) -> list[str] | None:
        setpriv = shutil.which("setpriv")
        if setpriv is None or not _CLOSES_AT_EXEC or not hasattr(os, "posix_spawn"):
            return None
        wrapper = [setpriv, "--pdeathsig", "KILL", "--"]
        # There are others of that name, which know less; and it may be forbidden.
        status: AsyncResult[int] = AsyncResult()
        trial = [*wrapper, setpriv, "--version"]
        try:
            with open(os.devnull, "wb") as nowhere:
                output = nowhere.fileno()
                _spawn(trial, os.environ, output, output, None, status.set)
        except (OSError, NotImplementedError):
            return None
        with gevent.Timeout(self.trial_timeout, False):
            return wrapper if status.get() == 0 else None
        return None


def _will_start(program: str) -> bool:
    """Whether exec will hardly fail: it is a binary, or a script whose interpreter is there."""
    path = shutil.which(program)
    if path is None or not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(256)
    except OSError:
        return False
    if not head.startswith(b"#!"):
        return head.startswith(b"\x7fELF")
    interpreter = head[2:].partition(b"\n")[0].split()[:1]
    return bool(interpreter) and os.access(interpreter[0], os.X_OK)


def _spawn(
    argv: Sequence[str],
    environ: Mapping[str, str],
    stdout: int,
    stderr: int,
    mark: int | None,
    on_exit: OnExit,
) -> int:
    # The plain one: gevent's own would watch the child as well.
    posix_spawn: Callable[..., int] = monkey.get_original("os", "posix_spawn")
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
    ]
    ignored = [signal.SIGPIPE, signal.SIGXFSZ]  # by Python, and by nobody else

    def spawn() -> int:
        _close_at_exec(3)
        with _bearing(mark):
            return posix_spawn(
                argv[0], argv, environ, file_actions=files, setsid=True, setsigdef=ignored
            )

    gevent.get_hub().loop.install_sigchld()
    pid: int = fork_and_watch(
        lambda watcher: on_exit(os.waitstatus_to_exitcode(watcher.rstatus)), ref=True, fork=spawn
    )
    with suppress(OSError):  # it has ended already, or is another user's now
        resource.prlimit(pid, resource.RLIMIT_NOFILE, FILES_AT_START)  # see _prepare_child
    return pid


@contextmanager
def _bearing(mark: int | None) -> Iterator[None]:
    """Bear the mark of a child. No thread of ours has realtime, so it limits nothing."""
    if mark is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_RTTIME)
    resource.setrlimit(resource.RLIMIT_RTTIME, (mark, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, before)


def _fork(
    argv: Sequence[str],
    environ: Mapping[str, str],
    stdout: int,
    stderr: int,
    mark: int | None,
    on_exit: OnExit,
) -> int:
    popen = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=environ,
        start_new_session=True,
        close_fds=not _CLOSES_AT_EXEC,
        preexec_fn=partial(_prepare_child, mark, os.getpid()),
    )
    popen.rawlink(lambda ended: on_exit(ended.returncode))
    return int(popen.pid)


def _prepare_child(mark: int | None, parent: int) -> None:
    """Runs in the child, between fork and exec."""
    if _CLOSES_AT_EXEC:
        _close_at_exec(3)
    resource.setrlimit(resource.RLIMIT_NOFILE, FILES_AT_START)  # ours may be too many for it
    if mark is not None:
        resource.setrlimit(resource.RLIMIT_RTTIME, (mark, resource.RLIM_INFINITY))
    if libc is not None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the signal was ordered
            os.kill(os.getpid(), signal.SIGKILL)
