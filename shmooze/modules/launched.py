"""The process of a module: launched, and ended without the module if another one follows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.lock import Semaphore

from shmooze.modules.channel.stream import StreamEnded
from shmooze.modules.exit import EndCause
from shmooze.modules.kind import LOCAL, Kind, limits_of
from shmooze.modules.lifecycle import ENDED, State
from shmooze.modules.status import Status
from shmooze.modules.web_server import FromParameter, web_server_of
from shmooze.processes.contract import Endpoint, Launcher, LaunchSpec, Process


@dataclass
class Tenancy:
    """Whose a process is: that changes where it is reused."""

    owner: Launched
    #: Items that it has served, its present one included.
    served: int = 1


class Launched(Status):
    """The part of a module that has a process: none, one, or one after the other."""

    def __init__(self, uid: str, state: State, launcher: Launcher) -> None:
        super().__init__(uid, state)
        self._launcher = launcher
        #: The result that counts if its process ends well.
        self._noted: tuple[Any] | None = None
        #: Held while a process is launched, or ended so that another one can follow.
        self._launching = Semaphore()
        self._tenancy: Tenancy | None = None

    #: What its launcher is about to start.
    _awaited: LaunchSpec | None = None
    #: See LaunchSpec.
    may_run_already = False

    #: Tells its owner that something else is shown of it.
    _on_update: Callable[[Any], None]

    @property
    def _label(self) -> str:
        """What its process is called in logs."""
        return f"{self.TYPE_STRING} {self.uid[:8]}"

    def launch(
        self,
        endpoint: Endpoint,
        has_stdio: bool = False,
        fill: Callable[[Mapping[str, str]], Sequence[str]] | None = None,
    ) -> Process:
        """See Owner of channel/contract.py."""
        own = self._prepare_web_server()
        spec = LaunchSpec(
            fill(own) if fill else [_replaced(word, own) for word in self.process],
            self._label,
            environ={**self._granted_variables(), **_port_of(own)},
            cwd=folder_of(self),
            has_stdio=has_stdio,
            preload=own_variables(self) if self.preload is True else None,
            needs=self.needs if self.launcher != LOCAL else {},
            hosts=self.hosts if self.launcher != LOCAL else (),
            may_run_already=self.may_run_already,
            limits=limits_of(self),
        )
        with self._launching:
            if self.state in ENDED:
                raise StreamEnded("was removed before it was launched")
            self._awaited = spec
            try:
                process = self._process = self._launcher.launch(spec, endpoint)
            finally:
                self._awaited = None
        self.may_run_already = False
        if process.host is not None:
            self._on_update(self)  # which shows where it runs
        self._tell_output(process)
        tenancy = self._tenancy = Tenancy(self)
        process.when_exited(lambda: tenancy.owner._process_exited(process))
        if spec.limits is not None and hasattr(process, "when_over_limits"):
            process.when_over_limits(lambda reason: tenancy.owner._over_limits(process, reason))
        return process

    def note_result(self, value: Any) -> None:
        """See Owner of channel/contract.py."""
        self._noted = (value,)

    def end_process(self) -> None:
        """See Owner of channel/contract.py. Its last output stays."""
        gevent.spawn(self._end_process).join()  # which is finished even if the caller is killed

    def _end_process(self) -> None:
        with self._launching:
            process = self._process
            if process is None or process.exit_status is not None or self.state in ENDED:
                return  # the module ends, and whoever ends it ends that as well
            self._process, self._earlier = None, process
            process.end(self.sigterm_timeout)
            process.close(self.output_timeout)

    def _prepare_web_server(self) -> dict[str, str]:
        """Find a port for its web server. Returns what replaces placeholders in its arguments.

        Raises ModuleError if the port that the type names is taken.
        """
        if (own_server := web_server_of(self)) is None:
            return {}
        wanted = own_server.port
        if isinstance(wanted, FromParameter):
            return {"port": "", "path": f"{self.web_path}{self.uid}/"}
        self.port = self._launcher.find_port(None if wanted == "auto" else wanted)
        return {"port": str(self.port), "path": f"{self.web_path}{self.uid}/"}

    def _granted_variables(self) -> dict[str, str]:
        """The environment of its type, and what tells of its grant, which placeholders show too."""
        if self.grant is None:
            return {**own_variables(self)}
        words = self.grant.words
        own = {name: _replaced(value, words) for name, value in own_variables(self).items()}
        return {**self.grant.variables, **own}

    def _process_exited(self, process: Process) -> None:
        if process is self._process:
            self._child_ended()

    def _over_limits(self, process: Process, reason: str) -> None:
        if process is self._process:
            self._end(EndCause.exceeded(reason))

    def _child_ended(self) -> None:
        raise NotImplementedError

    def _end(self, cause: EndCause) -> None:
        raise NotImplementedError

    def _no_longer_launching(self) -> None:
        """Wait until no launch is under way, and no process is being ended."""
        if self._awaited is not None:
            self._launcher.withdraw(self._awaited)
        with self._launching:
            pass


def own_variables(kind: Kind | type[Kind]) -> Mapping[str, str]:
    """The environment variables of a type, which may call something else `environment`."""
    return kind.environment if isinstance(kind.environment, dict) else {}


def folder_of(kind: Kind | type[Kind]) -> str | None:
    """The directory in which the processes of a type start, likewise."""
    if not isinstance(kind.cwd, str):
        return None
    return os.path.expanduser(os.path.expandvars(kind.cwd))


def _replaced(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _port_of(values: dict[str, str]) -> dict[str, str]:
    """The environment variable that names the port."""
    return {"PORT": values["port"]} if values.get("port") else {}
