"""Workers: several processes that serve one port, and the supervisor that keeps them.

    supervisor (has the pid that others know) -- worker 1, worker 2, …

- Each worker has a listener of its own, at the same port (SO_REUSEPORT): the system spreads
  connections over them, and evenly. From one listener that all had together, one process would
  take nearly all of those that come at once, and keep them.
- The supervisor opens the listeners and forks the workers; it reads no connection. It keeps each
  listener open, so that what waits there waits for the next worker. But a worker that has died
  young is not replaced at once: until then its listener is closed, and the others get its share.
- It does nothing but plain system calls and waits for signals only, which are blocked and taken
  one by one. gevent has not begun anything in it, so a fork of it can begin anew.
- A worker whose event loop does not turn serves nobody, and clients would wait in its listener for
  ever. It is killed, and replaced like any other that has ended.
- A worker is killed by the system when the supervisor dies; where there is no parent-death signal
  it ends itself when a pipe says so.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import gevent
from gevent import monkey
from gevent.socket import wait_read

from shmooze.errors import ShmoozeError
from shmooze.runtime import inherited
from shmooze.runtime.heartbeats import Heartbeats
from shmooze.runtime.listeners import listen
from shmooze.runtime.logs import PlainStderrHandler, StderrHandler
from shmooze.runtime.program import ENDING, ending_signals, log_to

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1

_AWAITED = (*ending_signals(), signal.SIGCHLD, signal.SIGALRM)


@dataclass(eq=False)
class _Place:
    """A worker's place: who has it, and when it is to be filled again."""

    number: int
    listener: Any
    pid: int = 0  # 0: nobody
    born: float = 0.0
    delay: float = 0.0
    due: float = 0.0


class Supervisor:
    """Listens `count` times at one port; `split` makes the workers. Raises ShmoozeError."""

    #: Seconds of life after which a worker that dies is replaced at once.
    healthy = 10.0
    #: Seconds until a worker that died younger is replaced; twice as long each further time.
    first_delay = 0.25
    #: The longest delay, in seconds.
    longest_delay = 30.0
    #: Seconds for which a worker's event loop may stand still before the worker is killed. What is
    #: stopped together with the supervisor does not count.
    hang_timeout = 30.0
    #: Seconds that workers may take to end before they are killed.
    stop_timeout = 5.0

    def __init__(self, count: int, host: str, port: int) -> None:
        listen(host, port).close()  # finds others there, even those that would share it
        self._listen = partial(listen, host, port, shared=True)
        self._places = [_Place(number + 1, self._listen()) for number in range(count)]
        self._heartbeats = Heartbeats(count)
        self._pid = os.getpid()
        #: Reads as ended in the workers when the supervisor has gone.
        self._alive, self._held = os.pipe()
        log_to(PlainStderrHandler())

    def split(self) -> Any:
        """Start the workers and keep them until a signal asks for the end; never returns here.

        It returns in each worker, with the worker's listener. Signals are blocked there until
        `program.run` can take them.
        """
        # With a handler, since the system may keep no news of children from those without.
        set_handler = monkey.get_original("signal", "signal")
        inherited.reset_dispositions()
        set_handler(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, _AWAITED)
        while True:
            for place in self._places:
                if not place.pid and place.due <= time.monotonic() and self._start(place):
                    set_handler(signal.SIGCHLD, signal.SIG_DFL)
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD, signal.SIGALRM))
                    return place.listener
            self._kill_hung()
            dues = [place.due for place in self._places if not place.pid]
            _set_alarm(min([*dues, self._heartbeats.next_look]))
            number = signal.sigwait(_AWAITED)
            if number in ENDING:
                self._end(number)
            for place, code in self._reap():
                how = f"ended with status {code}" if code >= 0 else f"was killed by signal {-code}"
                self._put_off(place, f"(pid {place.pid}) {how}")

    def _start(self, place: _Place) -> bool:
        """Fill a place; True: this is the worker."""
        place.born = time.monotonic()
        try:
            place.listener = place.listener or self._listen()
            pid = monkey.get_original("os", "fork")()
        except (OSError, ShmoozeError) as bad:
            self._put_off(place, f"cannot be started: {bad}")
            return False
        if pid:
            place.pid = pid
            self._heartbeats.forget(place.number - 1)
            log.info("worker %d has pid %d", place.number, pid)
            return False
        for other in self._places:
            if other is not place and other.listener:
                other.listener.close()
        gevent.reinit()  # in case that somebody has waited for something already
        log_to(StderrHandler(), f"worker {place.number}: ")
        self._die_with_supervisor()
        gevent.spawn(self._heartbeats.beat_forever, place.number - 1)
        return True

    def _kill_hung(self) -> None:
        self._heartbeats.look()
        for place in self._places:
            silence = self._heartbeats.silence(place.number - 1)
            if place.pid and silence >= self.hang_timeout:
                log.error(
                    "worker %d (pid %d) has not responded for %g s: killing it",
                    *(place.number, place.pid, silence),
                )
                os.kill(place.pid, signal.SIGKILL)
                self._heartbeats.forget(place.number - 1)

    def _die_with_supervisor(self) -> None:
        os.close(self._held)
        if not _is_killed_with_parent():
            gevent.spawn(self._outlive)
        if os.getppid() != self._pid:  # it was dead before
            os._exit(1)

    def _outlive(self) -> NoReturn:
        wait_read(self._alive)
        os._exit(1)

    def _put_off(self, place: _Place, why: str) -> None:
        """A place is empty: say so, and when it is filled again."""
        now = time.monotonic()
        young = now - place.born < self.healthy
        place.delay = min(self.longest_delay, 2 * place.delay or self.first_delay) if young else 0.0
        place.due, place.pid = now + place.delay, 0
        soon = f"in {place.delay:g} s" if place.delay else "at once"
        log.error("worker %d %s; another one %s", place.number, why, soon)
        if place.delay and place.listener:
            place.listener.close()
            place.listener = None

    def _reap(self) -> Iterator[tuple[_Place, int]]:
        """The workers that have ended, and with which status; or minus the signal's number."""
        while True:
            try:
                pid, status = monkey.get_original("os", "waitpid")(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for place in self._places:
                if place.pid == pid:
                    yield place, os.waitstatus_to_exitcode(status)

    def _end(self, number: int) -> NoReturn:
        """Pass the signal on, wait for all workers, and end."""
        log.info("stopping")
        deadline = time.monotonic() + self.stop_timeout
        _set_alarm(deadline)
        for place in self._places:
            if place.listener:
                place.listener.close()
        while True:
            if number == signal.SIGALRM and time.monotonic() >= deadline:
                number = signal.SIGKILL
            for place in self._places:
                if place.pid and number not in (signal.SIGCHLD, signal.SIGALRM):
                    os.kill(place.pid, number)
            for place, _ in self._reap():
                place.pid = 0
            left = [place for place in self._places if place.pid]
            if not left:
                sys.exit(0)
            number = signal.sigwait(_AWAITED)


def _is_killed_with_parent() -> bool:
    """Have the system kill this process when its parent dies; whether it will."""
    if sys.platform != "linux":
        return False
    return ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0


def _set_alarm(due: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, max(0.001, due - time.monotonic()))
