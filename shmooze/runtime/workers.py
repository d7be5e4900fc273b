"""Workers: several processes that serve one port, and the supervisor that restarts them.

    supervisor (has the pid that others know) -- worker 1, worker 2, …

- Each worker has its own listening socket on the same port (SO_REUSEPORT), so that the kernel
  distributes connections evenly. With one shared socket, a single worker would accept nearly all
  connections of a burst, and keep them.
- The supervisor opens the sockets and forks the workers; it accepts no connections. It keeps each
  socket open, so that pending connections wait for the next worker. But a worker that died young
  is restarted only after a delay. Its socket is closed until then, and the others get its share.
- The supervisor makes plain system calls only. Its signals are blocked, and it waits for them one
  by one. gevent is not yet running in it, so a forked worker starts with a clean state.
- A worker whose event loop hangs serves no one, and clients would wait at its socket for ever. It
  is killed, and restarted like any other worker that has ended.
- The kernel kills the workers when the supervisor dies (parent-death signal). Where there is no
  such signal, a worker exits when it reads the end of a pipe.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import gevent
from gevent import monkey
from gevent.socket import wait_read

from shmooze.errors import ShmoozeError
from shmooze.runtime import inherited
from shmooze.runtime.backoff import Backoff
from shmooze.runtime.heartbeats import Heartbeats
from shmooze.runtime.listeners import listen
from shmooze.runtime.logs import PlainStderrHandler, StderrHandler
from shmooze.runtime.program import ENDING, ending_signals, log_to

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1

#: Asks the supervisor to reload, and then the workers.
RELOAD = signal.SIGUSR1

_SIGNALS = (*ending_signals(), RELOAD, signal.SIGCHLD, signal.SIGALRM)


@dataclass(eq=False)
class _Worker:
    """A worker, whichever process it is at the moment."""

    number: int
    listener: Any
    pid: int = 0  # 0: no process
    started_at: float = 0.0
    #: Processes in a row that have ended young.
    failures: int = 0
    #: When to start the next process.
    restart_at: float = 0.0


class Supervisor:
    """Opens `count` sockets at one port; `fork_workers` starts the workers. ShmoozeError.

    `reload` reads the settings again, for workers that start later, and raises ShmoozeError. With
    `at_hangup`, that is done at SIGHUP, which would stop the program otherwise.
    """

    #: Seconds of uptime after which a worker that ends is restarted at once.
    healthy = 10.0
    #: How long to wait before the restart of one that ended sooner.
    backoff = Backoff(first=0.25, longest=30.0)
    #: Seconds for which a worker's event loop may hang before the worker is killed. Time in which
    #: the supervisor was stopped as well does not count.
    hang_timeout = 30.0
    #: Seconds that workers may take to end before they are killed.
    stop_timeout = 5.0

    def __init__(
        self,
        count: int,
        host: str,
        port: int,
        reload: Callable[[], object] = lambda: None,
        at_hangup: bool = False,
    ) -> None:
        self._reload = reload
        self._reload_signals = (RELOAD, signal.SIGHUP) if at_hangup else (RELOAD,)
        listen(host, port).close()  # fails if the port is in use, even by sockets that share it
        self._listen = partial(listen, host, port, shared=True)
        self._workers = [_Worker(number + 1, self._listen()) for number in range(count)]
        self._heartbeats = Heartbeats(count)
        self._pid = os.getpid()
        #: A pipe of which workers read the end when the supervisor is gone.
        self._pipe_read, self._pipe_write = os.pipe()
        #: In a worker: its number, from 0 up.
        self.index = 0
        log_to(PlainStderrHandler())

    def fork_workers(self) -> Any:
        """Start the workers, and restart them until a signal asks to stop.

        Returns in the workers only, each with its listening socket. Signals stay blocked there
        until `program.run` can handle them.
        """
        # The kernel may drop a SIGCHLD that has no handler, even while it is blocked.
        set_handler = monkey.get_original("signal", "signal")
        inherited.reset_dispositions()
        set_handler(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, _SIGNALS)
        while True:
            for worker in self._workers:
                is_due = not worker.pid and worker.restart_at <= time.monotonic()
                if is_due and self._start(worker):
                    set_handler(signal.SIGCHLD, signal.SIG_DFL)
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD, signal.SIGALRM))
                    return worker.listener
            self._kill_hung()
            restarts = [worker.restart_at for worker in self._workers if not worker.pid]
            _set_alarm(min([*restarts, self._heartbeats.next_check]))
            number = signal.sigwait(_SIGNALS)
            if number in self._reload_signals:
                self._reload_all()
            elif number in ENDING:
                self._stop(number)
            for worker, code in self._reap():
                how = f"ended with status {code}" if code >= 0 else f"was killed by signal {-code}"
                self._schedule_restart(worker, f"(pid {worker.pid}) {how}")

    def ask_to_reload(self) -> None:
        """In a worker: let the supervisor and all workers reload."""
        os.kill(self._pid, RELOAD)

    def _reload_all(self) -> None:
        """Reload, and let all workers do so. They go on as they are if there is a mistake."""
        try:
            self._reload()
        except ShmoozeError as bad:
            log.error("%s. Nothing was changed", bad)
            return
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, RELOAD)

    def _start(self, worker: _Worker) -> bool:
        """Fork a process for a worker. Returns True in that process."""
        worker.started_at = time.monotonic()
        try:
            worker.listener = worker.listener or self._listen()
            pid = monkey.get_original("os", "fork")()
        except (OSError, ShmoozeError) as bad:
            self._schedule_restart(worker, f"cannot be started: {bad}")
            return False
        if pid:
            worker.pid = pid
            self._heartbeats.reset(worker.number - 1)
            log.info("worker %d has pid %d", worker.number, pid)
            return False
        for other in self._workers:
            if other is not worker and other.listener:
                other.listener.close()
        self.index = worker.number - 1
        gevent.reinit()  # in case the application has used gevent already
        log_to(StderrHandler(), str(worker.number))
        self._exit_with_supervisor()
        gevent.spawn(self._heartbeats.beat_forever, worker.number - 1)
        return True

    def _kill_hung(self) -> None:
        self._heartbeats.check()
        for worker in self._workers:
            silence = self._heartbeats.silence(worker.number - 1)
            if worker.pid and silence >= self.hang_timeout:
                log.error(
                    "worker %d (pid %d) has not responded for %g s: killing it",
                    *(worker.number, worker.pid, silence),
                )
                os.kill(worker.pid, signal.SIGKILL)
                self._heartbeats.reset(worker.number - 1)

    def _exit_with_supervisor(self) -> None:
        os.close(self._pipe_write)
        if not _set_parent_death_signal():
            gevent.spawn(self._exit_at_end_of_pipe)
        if os.getppid() != self._pid:  # it has died before the signal was set
            os._exit(1)

    def _exit_at_end_of_pipe(self) -> NoReturn:
        wait_read(self._pipe_read)
        os._exit(1)

    def _schedule_restart(self, worker: _Worker, problem: str) -> None:
        """Log that a worker has no process any more, and set the time of its restart."""
        now = time.monotonic()
        worker.failures = worker.failures + 1 if now - worker.started_at < self.healthy else 0
        delay = self.backoff.delay(worker.failures) if worker.failures else 0.0
        worker.restart_at, worker.pid = now + delay, 0
        when = f"in {delay:g} s" if delay else "now"
        log.error("worker %d %s; restarting it %s", worker.number, problem, when)
        if delay and worker.listener:
            worker.listener.close()
            worker.listener = None

    def _reap(self) -> Iterator[tuple[_Worker, int]]:
        """The workers that have ended, each with its status or minus the number of a signal."""
        while True:
            try:
                pid, status = monkey.get_original("os", "waitpid")(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for worker in self._workers:
                if worker.pid == pid:
                    yield worker, os.waitstatus_to_exitcode(status)

    def _stop(self, number: int) -> NoReturn:
        """Pass the signal on, wait for all workers, and exit."""
        log.info("stopping")
        deadline = time.monotonic() + self.stop_timeout
        _set_alarm(deadline)
        for worker in self._workers:
            if worker.listener:
                worker.listener.close()
        while True:
            if number == signal.SIGALRM and time.monotonic() >= deadline:
                number = signal.SIGKILL
            for worker in self._workers:
                if worker.pid and number not in (signal.SIGCHLD, signal.SIGALRM, RELOAD):
                    os.kill(worker.pid, number)
            for worker, _ in self._reap():
                worker.pid = 0
            if not any(worker.pid for worker in self._workers):
                sys.exit(0)
            number = signal.sigwait(_SIGNALS)


def _set_parent_death_signal() -> bool:
    """Ask the kernel to kill this process when its parent dies. Returns True on success."""
    if sys.platform != "linux":
        return False
    return ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0


def _set_alarm(due: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, max(0.001, due - time.monotonic()))
