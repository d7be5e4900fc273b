"""Starting a program with fork: slower than vfork, but works everywhere and reports exec errors."""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import signal
from collections.abc import Callable
from typing import NoReturn

from gevent import monkey

from shmooze.processes import linux
from shmooze.processes.spawn_request import RESET_SIGNALS, Entry, SpawnRequest, start_watched
from shmooze.runtime.fd_reader import close_now
from shmooze.runtime.open_files import FILES_AT_START


def start(request: SpawnRequest) -> int:
    """Start a program in a session of its own. Returns its pid once exec has succeeded.

    Does not switch greenlets: if the caller were killed between the fork and the return, nobody
    would own the child. Waiting for exec takes a small part of the time that fork takes.

    Raises OSError or ValueError if the program cannot be executed.
    """
    reader, writer = os.pipe()
    fork: Callable[[], int] = monkey.get_original("os", "fork")
    parent = os.getpid()

    def fork_child() -> int:
        pid = fork()
        if pid == 0:
            _exec(request, parent, writer)
        return pid

    gc_was_enabled = gc.isenabled()
    gc.disable()  # a finalizer that uses the event loop must not run in the child
    try:
        pid = start_watched(fork_child, request.on_exit)
    except BaseException:
        close_now(reader)
        raise
    finally:
        close_now(writer)
        if gc_was_enabled:
            gc.enable()
    with open(reader, "rb") as report:
        failure = report.read().decode()
    if failure.isdigit():
        raise OSError(int(failure), os.strerror(int(failure)), request.argv[0])
    if failure:
        raise ValueError(failure)
    return pid


def _exec(request: SpawnRequest, parent: int, writer: int) -> NoReturn:
    """Run in the forked child: execute the program, or write the error to `writer` and exit."""
    try:
        set_handler: Callable[[int, int], object] = monkey.get_original("signal", "signal")
        for each in RESET_SIGNALS:
            set_handler(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        if request.cwd is not None:
            os.chdir(request.cwd)
        stdin = os.open(os.devnull, os.O_RDONLY) if request.stdin is None else request.stdin
        # Move them out of the range of the standard streams first.
        fds = (stdin, request.stdout, request.stderr, writer)
        *streams, writer = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in fds)
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        if not linux.close_on_exec(3):
            os.closerange(3, writer)
            os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
        resource.setrlimit(resource.RLIMIT_NOFILE, FILES_AT_START)  # the service may have raised it
        if request.mark is not None:
            resource.setrlimit(resource.RLIMIT_RTTIME, (request.mark, resource.RLIM_INFINITY))
        if request.entry is not None:
            _enter(request.entry)
        if linux.die_with_parent() and os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)  # the parent died before that call
        os.execvpe(request.argv[0], list(request.argv), request.environ)
    except OSError as bad:
        os.write(writer, str(bad.errno).encode())
    except BaseException as bad:
        os.write(writer, str(bad).encode(errors="replace") or b"unknown error")
    finally:
        os._exit(1)


def _enter(entry: Entry) -> None:
    """Let the limits of this process begin to hold. Raises ValueError with the reason."""
    for path in entry.cgroups:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            os.write(fd, b"0")  # which stands for the process that writes it
            os.close(fd)
        except OSError as bad:
            raise ValueError(f"{path}: {bad.strerror}") from bad
    os.nice(entry.nice)
    if entry.max_data is not None:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = entry.max_data if hard == resource.RLIM_INFINITY else min(entry.max_data, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
