"""An engine for tests: guards run as plain processes of this machine, as if each had a node."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import gevent
from gevent import socket, subprocess
from gevent.event import Event
from gevent.server import StreamServer

from shmooze.cluster.declared import Cluster, read
from shmooze.cluster.engine import TICKET_VARIABLE, Job
from shmooze.cluster.launcher import ClusterLauncher
from shmooze.processes.contract import Launcher
from shmooze.settings import Settings


class Here:
    """An engine whose only node is this machine."""

    def __init__(self) -> None:
        self.jobs: list[HereJob] = []
        #: Whether jobs wait for a node that nobody has.
        self.is_full = False
        #: Changes what is run, such as its ticket.
        self.change: Callable[[Job], Job] = lambda job: job

    def prepare(self) -> None:
        pass

    def submit(self, job: Job) -> HereJob:
        mine = HereJob(self.change(job), starts=not self.is_full)
        self.jobs.append(mine)
        return mine

    def close(self) -> None:
        for job in self.jobs:
            job.cancel()
        for job in self.jobs:
            job.wait()


class HereJob:
    """One guard, which ends when its standard input ends."""

    def __init__(self, job: Job, starts: bool = True) -> None:
        self.job = job
        self.is_cancelled = False
        self._over = Event()
        self.process: subprocess.Popen | None = self.run() if starts else None
        if self.process is not None:
            gevent.spawn(self._watch, self.process)

    def run(self) -> subprocess.Popen:
        """Run the guard, as an engine does that runs its job again."""
        environ = {key: value for key, value in os.environ.items() if key != TICKET_VARIABLE}
        process = subprocess.Popen(self.job.argv, stdin=subprocess.PIPE, env=environ)
        with suppress(BrokenPipeError):
            process.stdin.write(self.job.ticket.encode() + b"\n")
            process.stdin.flush()
        return process

    def _watch(self, process: subprocess.Popen) -> None:
        process.wait()
        self._over.set()

    def cancel(self) -> None:
        self.is_cancelled = True
        if self.process is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()

    def when_over(self, call: Callable[[str | None], None]) -> None:
        self._over.rawlink(lambda _: gevent.spawn(call, None))

    def kill(self) -> None:
        """Kill the guard, as the end of its node would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)

    def wait(self) -> None:
        """Wait until the guard has gone."""
        if self.process is not None:
            self.process.wait()


def make_launcher(source: Settings, service: str) -> Launcher:
    """The launcher `here`."""
    return ClusterLauncher("here", Here(), read(source, service, Cluster))


def with_address(job: Job, address: str) -> Job:
    """The same job, whose guard looks for its service at another address."""
    from shmooze.cluster import ticket

    own = ticket.read(job.ticket)
    changed = type(own)([address], own.session, own.secret, own.timing, own.tls)
    return replace(job, ticket=ticket.write(changed))


class Proxy:
    """Forwards connections to an address, until a test has it stop."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._flows = Event()
        self._flows.set()
        self._sockets: list[socket.socket] = []
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """Forward nothing from now on, and say nothing."""
        self._flows.clear()

    def go_on(self) -> None:
        """Forward again, beginning with what has waited."""
        self._flows.set()

    def reset(self) -> None:
        """Break all connections."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()
        self.go_on()
        self.reset()

    def _serve(self, near: socket.socket, _address: object) -> None:
        far = socket.create_connection(self._target)
        self._sockets += [near, far]
        back = gevent.spawn(self._forward, far, near)
        self._forward(near, far)
        back.join()
        near.close()
        far.close()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._flows.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
