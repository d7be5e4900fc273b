"""Single processes as /proc describes them.

Plain system calls only: the guardian uses this as well.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
from dataclasses import dataclass

from gevent.socket import wait_read

from shmooze.runtime.fd_reader import close_now
from shmooze.runtime.printable import printable

log = logging.getLogger(__name__)

#: Clock ticks in a second.
_TICKS = os.sysconf("SC_CLK_TCK")
#: Bytes of a page of memory.
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: States of threads: stopped, stopped by a tracer, and ended.
_CANNOT_RUN = (b"T", b"t", b"Z", b"X")


@dataclass(frozen=True)
class Member:
    """A living process. Its start time distinguishes it from a later one with the same pid."""

    pid: int
    parent: int
    #: Clock ticks from boot to its start.
    started: int
    #: Its soft limit on realtime CPU time (see `local`), or None if it is not readable.
    mark: int | None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self._is_same():
                signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            log.error("pid %d has changed its user and cannot be ended", self.pid)
        finally:
            close_now(pidfd)

    def is_stopped(self) -> bool:
        """Return True if none of its threads can run: SIGSTOP has taken effect, or it has ended."""
        try:
            threads = os.listdir(f"/proc/{self.pid}/task")
            states = [_read_stat(f"/proc/{self.pid}/task/{each}/stat")[0] for each in threads]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return read_member(self.pid) != self
        return all(state in _CANNOT_RUN for state in states)

    def wait_dead(self) -> None:
        """Wait until the process has ended."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self._is_same():
                wait_read(pidfd)
        finally:
            os.close(pidfd)

    def _is_same(self) -> bool:
        now = read_member(self.pid)
        return now is not None and now.started == self.started


def read_member(pid: int) -> Member | None:
    """Read a process from /proc. Returns None if it is dead, a zombie, or hidden from us.

    Raises OSError if this process is out of file descriptors.
    """
    try:
        fields = _read_stat(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the last: hidepid
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    # Read at once: a living process whose mark is unknown would be missed.
    try:
        mark = resource.prlimit(pid, resource.RLIMIT_RTTIME)[0]
    except ProcessLookupError:
        return None
    except PermissionError:
        mark = None
    return Member(pid, int(fields[1]), int(fields[19]), mark)


def read_cpu(pid: int) -> float:
    """Read the seconds of CPU time that a process has used, with children that it has waited for.

    Returns 0 if it has ended, or is hidden from us.
    """
    try:
        return sum(map(int, _read_stat(f"/proc/{pid}/stat")[11:15])) / _TICKS
    except OSError:
        return 0.0


def read_usage(pid: int) -> tuple[float, int] | None:
    """Read CPU time as `read_cpu` does, and the bytes of memory that a process has resident.

    Returns None if it has ended, or is hidden from us.
    """
    try:
        fields = _read_stat(f"/proc/{pid}/stat")
    except OSError:
        return None
    return sum(map(int, fields[11:15])) / _TICKS, int(fields[21]) * _PAGE


def _read_stat(path: str) -> list[bytes]:
    """Read the fields of a stat file of /proc, from the state on."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        line = os.read(fd, 4096)
    finally:
        close_now(fd)
    # "pid (name) state ppid …": the name may contain spaces and parentheses.
    return line[line.rindex(b")") + 2 :].split()


def shows_our_processes() -> bool:
    """Return True if /proc is mounted and uses our pids: in containers it may use others."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def command_line(pid: int) -> str:
    """Return the program and the arguments of a process for people, as far as /proc tells."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).rstrip(b"\0").split(b"\0")
    except OSError:
        return "unknown"
    return printable(b" ".join(words).decode(errors="backslashreplace"))


def explain_survival(pid: int) -> str:
    """Describe what keeps a process alive after SIGKILL, as far as /proc tells."""
    status = _read_status(pid)
    state = status.get("State", "unknown")
    tracer = int(status.get("TracerPid", 0))
    if tracer:
        name = _read_status(tracer).get("Name", "unknown")
        return f"pid {pid}, state {state}, is traced by pid {tracer} ({name})"
    return f"pid {pid}, state {state}"


def _read_status(pid: int) -> dict[str, str]:
    """Return the fields of /proc/PID/status by name; empty if it is not readable."""
    if not shows_our_processes():
        return {}
    try:
        with open(f"/proc/{pid}/status", errors="replace") as lines:
            parts = (line.partition(":") for line in lines)
            return {name: value.strip() for name, _, value in parts}
    except OSError:
        return {}
