"""A template: a process that has loaded a Python program, and from which others are forked.

The code that runs in it is `template_main.py`, which see. A forked process counts as started
only when this service watches it: until then it waits, and ends if the service loses interest. So
whatever interrupts a start, nothing is left running.
"""

from __future__ import annotations

import json
import logging
import os
import socket as plain_socket
from array import array
from collections.abc import Callable

import gevent
from gevent import socket
from gevent.event import Event

from shmooze.processes import strays
from shmooze.processes.contract import LaunchSpec
from shmooze.processes.local_process import LocalProcess
from shmooze.processes.proc import read_member
from shmooze.processes.spawn_request import SpawnRequest, start_watched
from shmooze.runtime.python_command import PythonCommand, parse

log = logging.getLogger(__name__)

_FILE = os.path.join(os.path.dirname(__file__), "template_main.py")


#: Starts a process, once its request has been changed.
Launch = Callable[[LaunchSpec, Callable[[SpawnRequest], SpawnRequest]], LocalProcess]


class NotForked(Exception):
    """Why a template has not forked a process. Nothing of it is left."""


class Changed(NotForked):
    """A file has changed that the template has loaded."""


class Template:
    """One template. `launch` starts its process; `on_end` is called when it is of no use any more,
    with the reason if that is a problem.
    """

    #: Seconds within which a process has been forked. It takes milliseconds.
    fork_timeout = 5.0
    #: Seconds between SIGTERM and SIGKILL.
    sigterm_timeout = 1.0

    def __init__(
        self,
        command: PythonCommand,
        spec: LaunchSpec,
        launch: Launch,
        on_end: Callable[[str | None], None],
    ) -> None:
        self._spec, self._on_end = spec, on_end
        self.is_ready = False
        self._is_ended, self._gone = Event(), Event()
        self._control, theirs = _pair()
        argv = [*command.interpreter, _FILE, *command.program]
        try:
            self._process = launch(
                LaunchSpec(argv, spec.label, spec.is_logged, spec.environ, spec.cwd),
                lambda request: request._replace(stdin=theirs.fileno()),
            )
        except BaseException:
            self._control.close()
            raise
        finally:
            theirs.close()
        self._loading = gevent.spawn(self._load)
        self._process.when_exited(self._exited)

    def end(self, problem: str | None = None) -> None:
        """End its process, and wait until it is gone. Those that were forked from it go on. May be
        called twice.
        """
        if self._is_ended.is_set():
            self._gone.wait()
            return
        self._is_ended.set()
        self.is_ready = False
        self._on_end(problem)
        gevent.spawn(self._end).join()  # which is finished even if the caller is killed

    @property
    def is_gone(self) -> bool:
        """Whether its process has ended."""
        return self._gone.is_set()

    def _end(self) -> None:
        try:
            self._loading.kill(block=False)
            self._control.close()
            self._process.wait(0.1)  # it reads the end of its input
            self._process.end(self.sigterm_timeout)
            self._process.close(0)
        finally:
            self._gone.set()

    def _exited(self) -> None:
        self._loading.join(1.0)  # what it has said counts
        self.end("its template has ended")

    def _load(self) -> None:
        line = _read_line(self._control)
        problem = json.loads(line)["problem"] if line else "its template has ended"
        if problem is None:
            self.is_ready = True
        else:
            gevent.spawn(self.end, problem)

    def start(self, request: SpawnRequest) -> int:
        """Fork a process for a request, whose argv runs the same program. Returns its pid.

        Raises NotForked, or OSError if there is no file descriptor left.
        """
        link, theirs = _pair()
        try:
            with gevent.Timeout(self.fork_timeout, False):
                pid = self._fork(request, link, theirs)
                # From here on nothing switches until it is watched.
                member = read_member(pid)
                if member is None or member.parent != os.getpid() or pid in strays.started:
                    raise NotForked("the process has ended at once")
                start_watched(lambda: pid, request.on_exit)
                link.send(b"g")
                return pid
            gevent.spawn(self.end, "its template does not answer")
            raise NotForked("its template does not answer")
        finally:
            theirs.close()
            link.close()

    def _fork(self, request: SpawnRequest, link: socket.socket, theirs: socket.socket) -> int:
        fds = [theirs.fileno(), request.stdout, request.stderr]
        fds += [] if request.stdin is None else [request.stdin]
        command = parse(request.argv)
        assert command is not None
        wanted = {
            "arguments": command.arguments,
            "environ": dict(request.environ),
            "cwd": request.cwd or os.getcwd(),
            "mark": request.mark,
            "entry": request.entry,
            "service": os.getpid(),
        }
        try:
            rights = (plain_socket.SOL_SOCKET, plain_socket.SCM_RIGHTS, array("i", fds))
            self._control.sendmsg([b"f"], [rights])
            theirs.close()
            link.sendall(json.dumps(wanted).encode() + b"\n")
            answer = _read_line(link)
        except OSError as bad:
            raise NotForked(f"its template cannot be reached: {bad.strerror}") from bad
        if answer.startswith(b"changed "):
            raise Changed(json.loads(answer.removeprefix(b"changed ")))
        if not answer:
            raise NotForked("the process has ended at once")
        return int(answer)


def _pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets: ours, and one for a program that waits in the usual way."""
    ours, theirs = socket.socketpair()
    os.set_blocking(theirs.fileno(), True)
    return ours, theirs


def _read_line(link: socket.socket) -> bytes:
    """Read one line, which nothing follows; empty if there is none."""
    line = b""
    while not line.endswith(b"\n"):
        piece = link.recv(1 << 12)
        if not piece:
            return b""
        line += piece
    return line
