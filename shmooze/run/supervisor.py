"""The supervisor of an application: starts its programs, and ends them in order.

    guardian (has the pid that others know) -- supervisor -- gateway
                                                          -- queue's guardian -- queue -- module, …

- All programs start at the same time. The gateway ends first, so that clients notice at once and
  nothing new comes in; then all services, at the same time.
- Each program is in a session of its own, so Ctrl-C in a terminal reaches the supervisor only.
- SIGHUP stops everything. With `"sighup": "reload"` in the settings it is passed on, unless there
  is a terminal, whose end it then means.
- The guardian is that of services too, see processes/guardian.py: if the supervisor is killed, it
  kills everything that runs. If the guardian is killed, the supervisor does. If both are killed at
  the same time, the kernel kills each program, and services end their modules then.
- The supervisor is a subreaper: what a program leaves behind is the supervisor's to end.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

import gevent
from gevent import socket
from gevent.socket import wait_read

from shmooze.errors import ShmoozeError
from shmooze.processes import linux
from shmooze.processes.spawn import Spawner
from shmooze.processes.spawn_request import SpawnRequest
from shmooze.processes.tree import child_pids
from shmooze.run.lines import OWN_NAME, Write
from shmooze.run.process import Process
from shmooze.run.programs import GATEWAY, Program, find_programs
from shmooze.runtime import clock, declared
from shmooze.runtime.program import flush_log
from shmooze.settings import Settings

log = logging.getLogger(__name__)


class Supervisor:
    """Runs `programs`; `start` and `stop` are called by `runtime.program.run`.

    `write` takes each line of their output, with the name of the program. `on_ready` is called
    once somebody listens at the addresses `gateway` and `services`; services may take
    `services_timeout` seconds longer than the gateway. `guardian` reads as ended once the
    guardian is gone. `spawn` starts a process; None: see Spawner.
    """

    name = OWN_NAME

    #: Seconds for which the services wait for the end of the gateway before they are ended too.
    gateway_timeout = 2.0
    #: Seconds between two looks at whether a program listens.
    ready_interval = 0.05
    #: Seconds for which the page is not announced because a service does not listen yet.
    services_timeout = 10.0
    #: Seconds for which everything is killed that is left when the guardian is gone.
    kill_timeout = 5.0

    def __init__(
        self,
        programs: Sequence[Program],
        write: Write,
        gateway: tuple[str, int] | None = None,
        services: Sequence[tuple[str, int]] = (),
        on_ready: Callable[[], None] = lambda: None,
        guardian: int | None = None,
        spawn: Callable[[SpawnRequest], int] | None = None,
    ) -> None:
        self._programs, self._write = programs, write
        self._gateway, self._services, self._on_ready = gateway, services, on_ready
        self._guardian, self._spawn = guardian, spawn
        self._processes: list[Process] = []
        self._has_terminal = _has_terminal()
        #: The exit status of this program.
        self.status = 0

    def start(self) -> None:
        """Start all programs. Returns at once."""
        linux.become_subreaper()
        if self._guardian is not None:
            gevent.spawn(self._exit_with_guardian, self._guardian)
        spawn = self._spawn or Spawner().start
        for each in self._programs:
            write = partial(self._write, each.name)
            self._processes.append(Process(each, spawn, write, self._end_refused))
        for process in self._processes:
            process.start()
        if self._gateway is not None:
            gevent.spawn(self._wait_until_ready, self._gateway)

    def stop(self) -> None:
        """End all programs, the gateway first. Returns when the last one is gone."""
        gateway = [each for each in self._processes if each.name == GATEWAY]
        for process in gateway:
            process.ask_to_stop()
            process.wait(self.gateway_timeout)
        gevent.joinall([gevent.spawn(each.stop) for each in self._processes])

    def on_hangup(self) -> None:
        """Let all programs read the settings again, if SIGHUP does not stop this one.

        If this program was started in a terminal, that was closed: then stop.
        """
        if self._has_terminal:
            self._end_itself()
            return
        try:
            fresh = find_programs(declared.check(Settings.load())).programs
        except ShmoozeError as bad:
            log.error("%s. Nothing was changed", bad)
            return
        if [*fresh] != [*self._programs]:
            log.warning("the settings name other programs now, which needs a restart")
        log.info("passing SIGHUP on: all programs read the settings again")
        for process in self._processes:
            process.send(signal.SIGHUP)

    def _end_refused(self) -> None:
        """End this program, since one of its own has refused to start."""
        self.status = 2
        self._end_itself()

    def _end_itself(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def _wait_until_ready(self, gateway: tuple[str, int]) -> None:
        while not _is_listening(gateway):
            clock.sleep(self.ready_interval)
        deadline = clock.now() + self.services_timeout
        for service in self._services:
            while not _is_listening(service) and clock.now() < deadline:
                clock.sleep(self.ready_interval)
        self._on_ready()

    def _exit_with_guardian(self, guardian: int) -> NoReturn:
        """Wait for the end of the guardian. Nobody would clean up after us then: exit at once."""
        wait_read(guardian)
        log.critical("the guardian was killed; killing everything")
        for process in self._processes:
            process.ask_to_stop()  # or it would be started again
        deadline = clock.now() + self.kill_timeout
        with suppress(OSError):  # this kernel does not list children: it kills them when we exit
            while (left := [*child_pids("self")]) and clock.now() < deadline:
                for pid in left:
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
                gevent.sleep(0.002)
        flush_log()
        os._exit(1)


def _is_listening(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
