"""The launcher of clusters: an engine places a guard on some node, and the guard runs the process.

Each engine makes one of these; see engine.py for what an engine has to do.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping

import gevent
from gevent.event import Event

from shmooze.cluster import ticket
from shmooze.cluster.declared import Cluster
from shmooze.cluster.door import Door
from shmooze.cluster.engine import Engine, Job, Submission
from shmooze.cluster.lease import Timing
from shmooze.cluster.process import RemoteProcess
from shmooze.cluster.protocol import Start
from shmooze.cluster.session import Session
from shmooze.cluster.ticket import Certificates, Ticket, join_address
from shmooze.errors import ModuleError, ShmoozeError
from shmooze.modules.kind import Kind, limits_of
from shmooze.modules.web_server import web_server_of
from shmooze.processes.contract import Endpoint, LaunchSpec
from shmooze.runtime import clock

log = logging.getLogger(__name__)


class ClusterLauncher:
    """See Launcher of processes/contract.py. `name` is the launcher's in the settings."""

    def __init__(
        self, name: str, engine: Engine, options: Cluster, timing: Timing | None = None
    ) -> None:
        self.name = name
        self._engine, self._options = engine, options
        self._timing = timing or options.timing
        self._door: Door | None = None
        #: What guards show; None: the door is on loopback.
        self._tls: Certificates | None = None
        self._addresses: list[str] = []
        #: Launches that wait, by what they are to start.
        self._waiting: dict[int, Event] = {}
        self._opened = 0.0

    def guard(self) -> None:
        pass  # each guard on its node has a guardian of its own

    def prepare(self) -> None:
        host = self._options.door_host
        names = self._options.door_addresses or [_name_of(host)]
        tls = None
        if not is_loopback(host):
            from shmooze.cluster.certificates import context_of, make_certificates

            service, self._tls = make_certificates(names)
            tls = context_of(service, is_server=True)
        self._door = Door(host, self._options.door_port or 0, self._timing, tls)
        try:
            self._door.open()
        except OSError as bad:
            where = join_address(host, self._options.door_port or 0)
            raise ShmoozeError(f"cluster: cannot listen on {where}: {bad.strerror}") from bad
        self._addresses = [join_address(each, self._door.port) for each in names]
        self._engine.prepare()

    def open(self, identity: str, on_unguarded: Callable[[], None]) -> None:
        self._opened = clock.now()

    def sweep(self) -> int:
        return 0  # what an earlier life has left ends by itself: see `launch`

    def warnings(self) -> Iterable[str]:
        return ()

    def problem(self, kind: type[Kind]) -> tuple[str, str] | None:
        """What keeps a type from being started here: a key, and a sentence without a subject."""
        if web_server_of(kind) is not None:
            return (
                "http",
                f"needs the launcher `local`: with `{self.name}`, only streams are carried",
            )
        for key, is_set in (("preload", kind.preload is True), ("limits", limits_of(kind))):
            if is_set:
                return key, f"needs the launcher `local`, not `{self.name}`"
        return None

    #: None: see `problem`.
    limits_available: Mapping[str, str | None] = {}

    def prepare_limits(self) -> None:
        pass

    def preload(self, spec: LaunchSpec) -> None:
        pass  # see `problem`

    def unload_others(self, specs: Iterable[LaunchSpec]) -> None:
        pass  # nothing is preloaded

    def find_port(self, wanted: int | None) -> int:
        raise ModuleError("cannot be started: web servers of modules must be on this machine")

    def launch(self, spec: LaunchSpec, endpoint: Endpoint) -> RemoteProcess:
        assert self._door is not None
        withdrawn = self._waiting[id(spec)] = Event()
        try:
            self._wait_for_earlier_life(spec, withdrawn)
            return self._launch(self._door, spec, endpoint, withdrawn)
        finally:
            del self._waiting[id(spec)]

    def withdraw(self, spec: LaunchSpec) -> None:
        if (withdrawn := self._waiting.get(id(spec))) is not None:
            withdrawn.set()

    def close(self) -> None:
        self._engine.close()
        if self._door is not None:
            self._door.close()

    def _wait_for_earlier_life(self, spec: LaunchSpec, withdrawn: Event) -> None:
        """Wait until what an earlier life of the service has started has ended for certain."""
        left = self._opened + self._timing.bound - clock.now()
        if spec.may_run_already and left > 0:
            log.info("%s: waits %.0f s for the lease of an earlier life to end", spec.label, left)
            if clock.wait(withdrawn, left):
                raise _withdrawn()

    def _launch(
        self, door: Door, spec: LaunchSpec, endpoint: Endpoint, withdrawn: Event
    ) -> RemoteProcess:
        process = RemoteProcess(spec, endpoint)
        session = door.expect(spec.label, process.receive, process.lose)
        process.use(session, lambda: door.forget(session))
        submission: Submission | None = None
        try:
            submission = self._engine.submit(self._job(spec, session))
            submission.when_over(process.job_over)
            process.cancel_job = submission.cancel
            self._wait_started(spec, session, process, withdrawn)
        except BaseException:
            gevent.spawn(_discard, process, session, door, submission).join()
            raise
        gevent.spawn(process.begin)  # once the caller has had the time to listen to it
        return process

    def _job(self, spec: LaunchSpec, session: Session) -> Job:
        own = Ticket(self._addresses, session.number, session.secret, self._timing, self._tls)
        python = self._options.python or sys.executable
        argv = [python, "-m", "shmooze.cluster.node"]
        return Job(spec.label, argv, ticket.write(own), dict(spec.needs), [*spec.hosts])

    def _wait_started(
        self, spec: LaunchSpec, session: Session, process: RemoteProcess, withdrawn: Event
    ) -> None:
        """Wait until the process runs. Raises ModuleError if it will not."""
        changed = Event()
        for each in (session.joined, process.started, withdrawn):
            each.rawlink(lambda _: changed.set())
        is_started = False
        give_up = clock.now() + self._options.start_timeout
        while not process.started.ready():
            if withdrawn.is_set():
                raise _withdrawn()
            if session.joined.ready():
                process.host = session.joined.get()
                if not is_started:
                    is_started = True
                    session.send(_start(spec, process))
            elif clock.now() >= give_up:
                timeout = self._options.start_timeout
                raise ModuleError(f"cannot be started: no node{_wish(spec)} within {timeout:g} s")
            changed.clear()
            if not process.started.ready():
                clock.wait(changed, None if is_started else max(0.0, give_up - clock.now()))
        process.started.get()


def _discard(
    process: RemoteProcess, session: Session, door: Door, submission: Submission | None
) -> None:
    """Make sure that nothing runs of a launch that has failed or was given up."""
    if submission is not None:
        submission.cancel()
    if session.has_guard:
        process.begin()
        process.end(None)
        process.close(0)
    door.forget(session)


def _start(spec: LaunchSpec, process: RemoteProcess) -> Start:
    return Start(
        [*spec.argv],
        spec.label,
        dict(spec.environ),
        spec.cwd,
        os.getcwd(),
        spec.has_stdio,
        process.streams_wanted,
    )


def _withdrawn() -> ModuleError:
    return ModuleError("was removed before it had a node")


def _wish(spec: LaunchSpec) -> str:
    """What a node was asked for, in words."""
    needs = " and ".join(f"{name} {amount:g}" for name, amount in spec.needs.items())
    hosts = " or ".join(spec.hosts)
    return f"{f' with {needs}' if needs else ''}{f' among {hosts}' if hosts else ''}"


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name_of(host: str) -> str:
    """Under which name nodes can reach a door that listens on an address."""
    try:
        return socket.gethostname() if ipaddress.ip_address(host).is_unspecified else host
    except ValueError:
        return host
