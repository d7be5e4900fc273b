"""A process on another machine, as its service knows it: over the session of its guard."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import AsyncResult, Event

from shmooze.cluster.calls import Calls, Lost
from shmooze.cluster.output import CarriedOutput
from shmooze.cluster.protocol import (
    ERRORS,
    FIRST_OWN,
    OUTPUT,
    STDIO,
    Answer,
    CloseStream,
    Connected,
    Content,
    Credit,
    Ending,
    EndOfStream,
    Exited,
    Forget,
    NotStarted,
    Piece,
    Started,
)
from shmooze.cluster.session import Session
from shmooze.cluster.streams import CarriedStream
from shmooze.errors import CommandError, ModuleError
from shmooze.processes.contract import (
    ByteStream,
    Endpoint,
    LaunchSpec,
    PastOutput,
    Remaining,
    Usage,
)
from shmooze.processes.output import HasOutput
from shmooze.runtime import clock

log = logging.getLogger(__name__)


class RemoteProcess(HasOutput):
    """One process. Its guard may not have come yet: see ClusterLauncher.

    `forget` is called when its session is not needed any more.
    """

    #: Seconds that measuring may take; then the last result counts.
    usage_timeout = 5.0
    #: Seconds that it may take to find out whether something is unread, or alone.
    look_timeout = 1.0
    #: Seconds that reading what has arrived before its exit may take.
    read_timeout = 0.5
    #: Seconds for the last message to its guard.
    flush_timeout = 0.5

    def __init__(self, spec: LaunchSpec, endpoint: Endpoint) -> None:
        self._label, self._endpoint = spec.label, endpoint
        self._session: Session
        self._forget: Callable[[], None]
        #: Lets the engine end the job of its guard.
        self.cancel_job: Callable[[], None] = lambda: None
        self.streams_wanted = endpoint.streams
        self._calls = Calls(self._send)
        self._streams = {OUTPUT: self._stream(OUTPUT), ERRORS: self._stream(ERRORS)}
        if spec.has_stdio:
            self._streams[STDIO] = self._stream(STDIO)
        output = None if spec.has_stdio else self._streams[OUTPUT]
        self._output = CarriedOutput(spec.label, spec.is_logged, output, self._streams[ERRORS])
        #: What has come too early, see `begin`.
        self._early: list[Content] | None = []
        self._usage = Usage(0.0, 0, 0)
        self._is_alone = False
        self._exited, self._is_gone = Event(), Event()
        self._is_exit_told = False
        self._description = "not started"
        #: Why the engine says that its job is over.
        self._engine_reason: str | None = None
        self.exit_status: int | None = None
        self.host: str | None = None
        self._loss: str | None = None
        self.is_suspended = False
        #: Set when it runs, or cannot be started.
        self.started: AsyncResult[None] = AsyncResult()

    def use(self, session: Session, forget: Callable[[], None]) -> None:
        """Its guard has this session. `forget` is called when that is not needed any more."""
        self._session, self._forget = session, forget

    def __repr__(self) -> str:
        status = "running" if self.exit_status is None else f"ended with {self.exit_status}"
        return f"<RemoteProcess {self.describe()}: {status}>"

    def describe(self) -> str:
        return f"{self._description} on {self.host or 'no node yet'}"

    # What comes from its guard.

    def begin(self) -> None:
        """Take what has come before whoever has launched it could listen to it."""
        early, self._early = self._early or [], None
        for message in early:
            self._take(message)

    def receive(self, message: Content) -> None:
        """Take a message of the guard. Does not wait."""
        if isinstance(message, Started):
            self._description = message.description
            self.started.set(None)
        elif isinstance(message, NotStarted):
            self._is_gone.set()
            self.started.set_exception(ModuleError(message.reason))
        elif self._early is not None and not isinstance(message, Answer):
            self._early.append(message)
        else:
            self._take(message)

    def _take(self, message: Content) -> None:
        if isinstance(message, (Piece, EndOfStream, Credit, CloseStream)):
            if (stream := self._streams.get(message.stream)) is not None:
                stream.take(message)
        elif isinstance(message, Answer):
            self._calls.take(message)
        elif isinstance(message, Connected):
            number = message.stream
            if FIRST_OWN + number not in self._streams:
                stream = self._streams[FIRST_OWN + number] = self._stream(FIRST_OWN + number)
                self._endpoint.attach(number, stream)
        elif isinstance(message, Ending):
            self._loss = f"was ended on {self.host}: {message.reason}"
        elif isinstance(message, Exited):
            self._is_exit_told = True
            gevent.spawn(self._exit_when_read, message.status)

    def lose(self) -> None:
        """Its guard was not heard for so long that it has ended everything. Does not wait."""
        why = self._engine_reason or "the connection to it was lost"
        self._loss = f"was lost with {self.host}: {why}"
        self.begin()
        if not self.started.ready():
            self.started.set_exception(ModuleError(self._loss))
        self._calls.lose()
        for stream in self._streams.values():
            stream.lose()
        self._is_gone.set()
        self._set_exited(-signal.SIGKILL)

    def job_over(self, reason: str | None) -> None:
        """The engine says that the guard does not run any more. Does not wait.

        If the guard was let in, that is no proof: then its lease decides.
        """
        self._engine_reason = reason or "its job has ended"
        if not self._session.has_guard and not self.started.ready():
            self.started.set_exception(ModuleError(f"cannot be started: {self._engine_reason}"))

    def _exit_when_read(self, status: int) -> None:
        """Let the exit be noticed after what it has sent and printed before."""
        with gevent.Timeout(self.read_timeout, False):
            for stream in [*self._streams.values()]:
                stream.wait_read()
        self._set_exited(status)

    def _set_exited(self, status: int) -> None:
        if self.exit_status is None:
            self.exit_status = status
            self._exited.set()

    def _send(self, message: Content) -> None:
        self._session.send(message)

    def _stream(self, number: int) -> CarriedStream:
        return CarriedStream(number, self._send)

    # See Process.

    @property
    def loss(self) -> str | None:
        if self._loss is None and self.exit_status is None and self._session.is_silent:
            return f"cannot be reached on {self.host}"
        return self._loss

    @property
    def stdio(self) -> CarriedStream:
        return self._streams[STDIO]

    def authenticate(self, connection: socket.socket) -> bool:
        return False  # its guard does that: nobody connects to the service itself

    def when_over_limits(self, call: Callable[[str], None]) -> None:
        pass  # the launcher refuses types with limits

    def exceeded(self) -> str | None:
        return None

    def has_unread(self, connection: socket.socket | ByteStream | None) -> bool:
        number = STDIO if connection is None else self._number_of(connection)
        stream = self._streams.get(number)
        if stream is None:
            return False
        return stream.has_unread() or bool(self._look("has_unread", number))

    def _number_of(self, connection: object) -> int:
        return next((each for each, known in self._streams.items() if known is connection), -1)

    def listens(self, port: int) -> bool:
        return bool(self._look("listens", port))

    def _look(self, method: str, *args: Any) -> Any:
        """What a method returns on the node; None where that cannot be found out soon."""
        try:
            return self._calls.call(method, *args, timeout=self.look_timeout)
        except (Lost, TimeoutError, CommandError):
            return None

    def usage(self) -> Usage:
        try:
            measured = self._calls.call("usage", timeout=self.usage_timeout)
            self._usage = Usage(*measured)
        except (Lost, TimeoutError):
            pass  # one node that cannot be reached must not hide all others
        return self._usage

    def remaining(self) -> list[Remaining]:
        try:
            return [Remaining(*each) for each in self._calls.call("remaining")]
        except (Lost, CommandError):
            return []

    def is_alone(self) -> bool:
        return self._is_alone

    def refresh(self) -> None:
        self._is_alone = bool(self._look("is_alone"))

    def renew(self, label: str) -> PastOutput:
        self._label, self._is_alone = label, False
        self._calls.tell("renew", label)
        return self._output.renew(label)

    def suspend(self) -> None:
        self.is_suspended = True
        self._wait_for("suspend")

    def resume(self) -> None:
        self._wait_for("resume")
        self.is_suspended = False

    def _wait_for(self, method: str, *args: Any) -> Any:
        """Call a method. Returns its result, or None once the node is lost."""
        try:
            return self._calls.call(method, *args)
        except Lost:
            return None
        except CommandError as bad:
            log.error("%r: `%s` failed: %s", self, method, bad)
            return None

    def when_exited(self, call: Callable[[], None]) -> None:
        self._exited.rawlink(lambda _: gevent.spawn(call))

    def wait(self, timeout: float | None = None) -> int | None:
        clock.wait(self._exited, timeout)
        return self.exit_status

    def end(self, patience: float | None) -> str | None:
        if self._is_gone.is_set():
            return None
        try:
            used: str | None = self._calls.call("end", patience)
        except Lost:
            return "SIGKILL"
        except CommandError as bad:  # the guard has failed: its lease decides
            log.error("%r cannot be ended by its guard: %s", self, bad)
            self._session.stop_answering()
            self._is_gone.wait()
            return "SIGKILL"
        self._is_gone.set()
        if self._is_exit_told:
            self._exited.wait()
        return used

    def close(self, patience: float) -> None:
        self._output.close(patience)
        self._session.send(Forget())
        self._session.flush(self.flush_timeout)
        self._calls.lose()
        self._forget()
        self.cancel_job()
