"""The launcher of this machine: starts processes, and ends what an earlier run left behind.

Why ending takes more than `kill(pid)`: a child starts children, and some of those leave its process
group, its session, and their parent. What still holds them together (Linux, no root needed):

1. An orphaned process gets the nearest *child subreaper* as its new parent. The service is one, so
   no descendant escapes to pid 1: each is either below its module's process or a direct child of
   the service.
2. A mark tells which module an adopted process came from. Fork, exec, setsid and a cleared
   environment all pass it on: it is the soft limit on realtime CPU time, set to a number beyond any
   real limit.
3. A pid may be reused between inspection and signal. So each process is pinned by a pidfd, and
   inspected again through /proc before it is signalled.
4. The kernel kills a child when the thread that started it ends, so that it does not play on
   after its service was killed. Whatever that child leaves behind is the guardian's to end.
5. The mark also identifies the service. What an earlier run left, because service and guardian were
   killed together, is found and ended at the next start.

Without /proc or a subreaper, signals go to the child's process group. So they do when /proc hides
the child, as the mount option hidepid hides other users' processes.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import resource
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import gevent
from gevent.socket import wait_read

from shmooze.errors import ModuleError
from shmooze.processes import capabilities, guardian, linux
from shmooze.processes.capabilities import CAN_TRACK_TREES, can_mark
from shmooze.processes.contract import Endpoint, LaunchSpec
from shmooze.processes.kill import kill
from shmooze.processes.local_process import LocalProcess
from shmooze.processes.proc import Member
from shmooze.processes.spawn import Spawner
from shmooze.processes.spawn_request import SpawnRequest
from shmooze.processes.tree import ProcessSnapshot, find_processes
from shmooze.runtime import declared, schema

if TYPE_CHECKING:
    from shmooze.processes.limiter import Limiter
    from shmooze.processes.templates import Templates

log = logging.getLogger(__name__)

_CHILD_BITS = 32


class LocalLauncher:
    """Starts children on this machine, each in a session of its own."""

    #: Rounds of SIGKILL for an earlier run's processes, or for all of them, before giving up.
    kill_attempts = 200
    #: What stands for each process.
    make_process = LocalProcess
    #: Free ports that are not found again at once.
    remembered_ports = 256

    def __init__(self) -> None:
        self._guardian: int | None = None
        #: Called when the guardian was killed, before everything is ended for that reason.
        self.on_guardian_gone: Callable[[], None] = lambda: None
        self._spawner: Spawner | None = None
        self._numbers = itertools.count(1)
        #: The free ports found last: a process that was given one may not listen there yet.
        self._found_ports: deque[int] = deque(maxlen=self.remembered_ports)
        #: Made once a type is preloaded.
        self._templates: Templates | None = None
        #: Made once a type has limits.
        self._limiter: Limiter | None = None
        self._why_no_cgroups: str | None = None
        self._service_mark = 0
        self._own_mark = resource.getrlimit(resource.RLIMIT_RTTIME)[0]

    def guard(self, is_late: Callable[[], bool] | None = None) -> None:
        self._guardian = guardian.fork_guardian(is_late)

    def prepare(self) -> None:
        self._spawner = Spawner()

    def open(self, identity: str, on_unguarded: Callable[[], None]) -> None:
        if CAN_TRACK_TREES:
            linux.become_subreaper()
        # Bit 62 makes it a limit that no process reaches; below it the service, then the child.
        owner = f"{os.getuid()} {_network()} {identity}"
        digest = hashlib.blake2b(owner.encode(), digest_size=4).digest()
        self._service_mark = 1 << 62 | int.from_bytes(digest, "big") >> 3 << _CHILD_BITS
        if self._guardian is not None:
            gevent.spawn(self._exit_with_guardian, self._guardian, on_unguarded)

    def sweep(self) -> int:
        # Nothing was launched yet, so whatever has our mark is from an earlier run. Processes that
        # the application started itself have none, and are left alone.
        swept = self._kill_all(lambda snapshot: [])
        if self._limiter is not None:
            self._limiter.sweep()
        return swept

    def prepare_limits(self) -> None:
        from shmooze.processes import cgroups  # few services have limits

        service = f"{self._service_mark >> _CHILD_BITS:x}"
        source = declared.current()
        chosen = schema.read(declared.Processes, source.values, source.error).cgroup
        self._limiter, self._why_no_cgroups = cgroups.find_limiter(
            chosen, service, cgroups.this_system()
        )
        words = ", ".join(f"{key}: {means}" for key, means in self.limits_available.items())
        log.info("what enforces limits: %s", words)

    @property
    def limits_available(self) -> Mapping[str, str | None]:
        return {} if self._limiter is None else self._limiter.available

    def warnings(self) -> Iterable[str]:
        yield from capabilities.warnings()
        if self._why_no_cgroups is not None:
            yield f"limits are enforced without cgroups: {self._why_no_cgroups}"

    def preload(self, spec: LaunchSpec) -> None:
        self._find_templates().find(spec)

    def withdraw(self, spec: LaunchSpec) -> None:
        pass  # `launch` never waits for long

    def unload_others(self, specs: Iterable[LaunchSpec]) -> None:
        if self._templates is not None:
            self._templates.keep_only(specs)

    def close(self) -> None:
        if self._templates is not None:
            self._templates.close()

    def find_port(self, wanted: int | None) -> int:
        while True:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", wanted or 0))
                except OSError as bad:
                    words = f"cannot be started: its port {wanted or ''}".rstrip()
                    raise ModuleError(f"{words}: {bad.strerror}") from bad
                port = int(probe.getsockname()[1])
            if wanted is not None or port not in self._found_ports:
                self._found_ports.append(port)
                return port

    def launch(self, spec: LaunchSpec, endpoint: Endpoint) -> LocalProcess:
        assert self._spawner is not None
        if spec.cwd is not None and not os.path.isdir(spec.cwd):
            raise ModuleError(f"cannot be started: the directory {spec.cwd} does not exist")
        if spec.cwd is not None and not os.access(spec.cwd, os.X_OK):
            raise ModuleError(f"cannot be started: the directory {spec.cwd} may not be entered")
        mark = self._service_mark | next(self._numbers)
        argv = [*spec.argv, *endpoint.arguments]

        def make(start: Callable[[SpawnRequest], int]) -> LocalProcess:
            return self._make(start, argv, spec, mark)

        try:
            process = None
            if spec.preload is not None:
                process = self._find_templates().fork(spec, make)
            return process or make(self._spawner.start)
        except OSError as bad:
            what = bad.filename if isinstance(bad.filename, str) else argv[0]
            raise ModuleError(f"cannot be started: {what}: {bad.strerror}") from bad
        except ValueError as bad:
            raise ModuleError(f"cannot be started: {bad}") from bad

    def _make(
        self, start: Callable[[SpawnRequest], int], argv: Sequence[str], spec: LaunchSpec, mark: int
    ) -> LocalProcess:
        confinement = None
        if spec.limits is not None:
            if self._limiter is None:  # a type that has come later
                self.prepare_limits()
            assert self._limiter is not None
            confinement = self._limiter.confine(spec.limits)
        try:
            return self.make_process(start, argv, spec, mark, can_mark(), confinement)
        except BaseException:
            if confinement is not None:
                confinement.close()
            raise

    def _find_templates(self) -> Templates:
        if self._templates is None:
            from shmooze.processes.templates import Templates  # few services have any

            self._templates = Templates(self._launch_template)
        return self._templates

    def _launch_template(
        self, spec: LaunchSpec, change: Callable[[SpawnRequest], SpawnRequest]
    ) -> LocalProcess:
        spawner = self._spawner
        assert spawner is not None
        mark = self._service_mark | next(self._numbers)
        return LocalProcess(
            lambda request: spawner.start(change(request)), spec.argv, spec, mark, can_mark()
        )

    def _exit_with_guardian(self, guardian_alive: int, on_unguarded: Callable[[], None]) -> None:
        """Wait for the end of the guardian. Nobody would clean up after us then: exit at once."""
        wait_read(guardian_alive)
        log.critical("the guardian was killed; ending all modules")
        self.on_guardian_gone()
        # Include everything that this service or its application has started.
        self._kill_all(lambda snapshot: snapshot.below(snapshot.children(os.getpid())))
        on_unguarded()

    def _kill_all(self, find_more: Callable[[ProcessSnapshot], list[Member]]) -> int:
        """SIGKILL what has our mark and what `find_more` finds. Returns the number of processes."""

        def find(snapshot: ProcessSnapshot) -> list[Member]:
            marked = [each for each in snapshot.living if self._is_ours(each)]
            return [*find_more(snapshot), *marked]

        ended: set[int] = set()
        for _ in range(self.kill_attempts if CAN_TRACK_TREES else 0):
            found = find_processes(find, lambda: ProcessSnapshot(self._kill_if_ours))
            if not found:
                break
            ended.update(member.pid for member in found)
            kill(found)
        return len(ended)

    def _kill_if_ours(self, member: Member) -> None:
        if self._is_ours(member):
            member.send(signal.SIGKILL)

    def _is_ours(self, member: Member) -> bool:
        # Same mark as this process: then a module of an earlier run started this service.
        is_marked = (member.mark or 0) >> _CHILD_BITS == self._service_mark >> _CHILD_BITS
        return is_marked and member.mark != self._own_mark


def _network() -> int:
    """Return the number of our network namespace: the same address exists in each of them."""
    try:
        return os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return 0
