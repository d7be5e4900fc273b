"""One program of an application: started, and started again whenever it ends."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress

import gevent
from gevent.event import AsyncResult, Event

from shmooze.processes.output_pipe import OutputPipe
from shmooze.processes.session import left_of_session
from shmooze.processes.spawn_request import SpawnRequest
from shmooze.run.programs import Program
from shmooze.runtime import clock
from shmooze.runtime.backoff import Backoff

log = logging.getLogger(__name__)

#: The exit status of a program that cannot use its settings, or its command line.
REFUSED = 2


class Output(OutputPipe):
    """The output of a program. Its lines are those of a log, so they may be long."""

    max_line = 1 << 16


class Process:
    """Keeps `program` running from `start` to `stop`.

    `start` starts a process, see Spawner; `write` takes each line of its output. If the program
    refuses to start the first time, `on_refusal` is called, and it is not started again.
    """

    #: Seconds of uptime after which a program that ends is restarted at once.
    healthy = 10.0
    #: How long to wait before the restart of one that ended sooner.
    backoff = Backoff(first=0.5, longest=30.0)
    #: Seconds that other processes of its session may take to end before they are killed.
    leftover_timeout = 5.0
    #: Seconds between two looks at whether they have ended.
    leftover_interval = 0.02
    #: Seconds for which output is read after the end.
    output_timeout = 0.2
    #: Seconds between two lines of the log about a program that does not end.
    reminder_interval = 10.0

    def __init__(
        self,
        program: Program,
        start: Callable[[SpawnRequest], int],
        write: Callable[[str], None],
        on_refusal: Callable[[], None],
    ) -> None:
        self.program = program
        self._start, self._write, self._on_refusal = start, write, on_refusal
        #: The pid of its process; 0: there is none.
        self.pid = 0
        self._starts = 0
        self._stopping = Event()
        self._ended = Event()

    @property
    def name(self) -> str:
        return self.program.name

    def start(self) -> None:
        """Start it. Returns at once."""
        gevent.spawn(self._keep_running)

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and do not start it again."""
        self._stopping.set()
        self.send(signal.SIGTERM)

    def wait(self, timeout: float) -> bool:
        """Wait until it has ended for good, for so many seconds at most. Returns whether it has."""
        return clock.wait(self._ended, timeout)

    def stop(self) -> None:
        """Ask it to stop, and wait until it has ended. Kills it when its time is over."""
        self.ask_to_stop()
        began, limit = clock.now(), self.program.stop_timeout
        while not self.wait(self.reminder_interval if limit is None else limit):
            if limit is not None:
                log.warning("%s has not ended within %g s: killing it", self.name, limit)
                self.send(signal.SIGKILL)
                limit = None
            else:
                seconds = clock.now() - began
                log.info("waiting for %s (pid %d), %.0f s by now", self.name, self.pid, seconds)

    def _keep_running(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = clock.now()
            is_refused, how = self._run()
            if self._stopping.is_set():
                log.info("%s %s", self.name, how)
                break
            if is_refused and self._starts == 1:
                log.error("%s cannot be run: it %s", self.name, how)
                self._on_refusal()
                break
            failures = failures + 1 if clock.now() - began < self.healthy else 0
            delay = self.backoff.delay(failures) if failures else 0.0
            when = f"in {delay:g} s" if delay else "now"
            log.error("%s %s; restarting it %s", self.name, how, when)
            if delay:
                clock.wait(self._stopping, delay)
        self._ended.set()

    def _run(self) -> tuple[bool, str]:
        """Start it and wait for its end. Returns whether it has refused, and how it has ended."""
        self._starts += 1
        exited: AsyncResult[int] = AsyncResult()

        def on_exit(status: int) -> None:
            self.pid = 0
            exited.set(status)

        output = Output(lambda line: None, self._write)
        out = output.fileno()
        try:
            argv = self.program.argv
            self.pid = pid = self._start(SpawnRequest(argv, os.environ, out, out, None, on_exit))
        except (OSError, ValueError) as bad:
            output.close()
            problem = bad.strerror if isinstance(bad, OSError) else bad
            return True, f"cannot be started: {argv[0]}: {problem}"
        output.close_write_end()
        log.info("%s has pid %d", self.name, pid)
        status = exited.get()
        self._end_session(pid)
        output.close(self.output_timeout)
        if status >= 0:
            return status == REFUSED, f"has ended with status {status}"
        return False, f"was killed by {signal.Signals(-status).name}"

    def _end_session(self, leader: int) -> None:
        """Wait until nothing is left of its session: a service whose guardian was killed ends its
        modules and itself, and has its port until then. Kill what does not end.
        """
        deadline = clock.now() + self.leftover_timeout
        while left := left_of_session(leader):
            if clock.now() >= deadline:
                log.warning("%s has left processes behind: killing %s", self.name, left)
                for pid in left:
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
                deadline += self.leftover_timeout
            clock.sleep(self.leftover_interval)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.pid:
            send(self.pid, number)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a program; SIGKILL goes to its whole process group."""
    with suppress(ProcessLookupError, PermissionError):
        (os.killpg if number == signal.SIGKILL else os.kill)(pid, number)
