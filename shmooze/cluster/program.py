"""The program of a module on its node: started as locally, and connected over a link."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

from shmooze.cluster.output import NodeProcess
from shmooze.cluster.protocol import (
    ERRORS,
    FIRST_OWN,
    OUTPUT,
    STDIO,
    Answer,
    Call,
    CloseStream,
    Connected,
    Content,
    Credit,
    Ending,
    EndOfStream,
    Exited,
    NotStarted,
    Piece,
    Start,
    Started,
)
from shmooze.cluster.streams import CarriedStream, join
from shmooze.errors import CommandError, ModuleError
from shmooze.modules.channel.tcp import Listener, TcpConnection, TcpEndpoint
from shmooze.processes.contract import ByteStream, LaunchSpec
from shmooze.processes.local import LocalLauncher

log = logging.getLogger(__name__)

#: Where the program connects to its guard.
HOST = "127.0.0.1"


class NodeLauncher(LocalLauncher):
    """Starts processes whose output is passed on."""

    make_process = NodeProcess


class Arrival:
    """Takes the connection that the program makes for one stream."""

    def __init__(self, number: int, take: Callable[[int, TcpConnection], None]) -> None:
        self._number, self._take = number, take
        self.name = f"stream {number}"
        self.is_taken = False

    def attach(self, connection: Any) -> None:
        """Use this connection."""
        self.is_taken = True
        self._take(self._number, connection)


class Program:
    """The program, once the service has let it be started.

    `send` sends a message to the service.
    """

    #: Seconds that the last output and updates may take before the service is told of the exit.
    drain_timeout = 0.3

    def __init__(self, launcher: NodeLauncher, send: Callable[[Content], None]) -> None:
        self._launcher, self._send = launcher, send
        self._process: NodeProcess | None = None
        self._streams: dict[int, CarriedStream] = {}
        self._connections: dict[int, TcpConnection] = {}
        self._listeners: list[Listener] = []
        self._output_ended: list[Event] = []
        #: Set when the service was told how it ended.
        self.is_told = Event()

    @property
    def is_started(self) -> bool:
        """Whether there is, or was, a process."""
        return self._process is not None

    def start(self, order: Start) -> None:
        """Start it, and tell the service."""
        arrivals = [Arrival(number, self._connected) for number in range(order.streams)]
        cwd = order.cwd
        if cwd is None and os.path.isdir(order.service_cwd):
            cwd = order.service_cwd
        spec = LaunchSpec(
            order.argv, order.label, False, order.environ, cwd, has_stdio=order.has_stdio
        )
        try:
            self._listeners = [Listener(HOST, arrival) for arrival in arrivals]
            endpoint = TcpEndpoint(HOST, tuple(each.port for each in self._listeners))
            process = self._launcher.launch(spec, endpoint)
        except ModuleError as bad:
            self._send(NotStarted(str(bad)))
            return
        except OSError as bad:
            self._send(NotStarted(f"cannot be started: {bad.strerror}"))
            return
        except Exception as bug:  # the service must not wait for ever
            log.exception("the program cannot be started")
            self._send(NotStarted(f"cannot be started: {type(bug).__name__} in its guard"))
            return
        assert isinstance(process, NodeProcess)
        self._process = process
        self._send(Started(process.describe()))
        self._carry(process, order.has_stdio)
        for listener in self._listeners:
            listener.accept(process.authenticate)
        process.when_exited(self._exited)

    def _carry(self, process: NodeProcess, has_stdio: bool) -> None:
        output, errors = self._stream(OUTPUT), self._stream(ERRORS)
        self._output_ended = process.pass_output_on(_into(output), _into(errors))
        if has_stdio:
            join(process.stdio, self._stream(STDIO))

    def _connected(self, number: int, connection: TcpConnection) -> None:
        self._send(Connected(number))
        self._connections[FIRST_OWN + number] = connection
        join(connection, self._stream(FIRST_OWN + number))

    def _stream(self, number: int) -> CarriedStream:
        stream = self._streams[number] = CarriedStream(number, self._send)
        return stream

    def _exited(self) -> None:
        with gevent.Timeout(self.drain_timeout, False):
            for ended in self._output_ended:
                ended.wait()
            for connection in [*self._connections.values()]:
                connection.wait_end(self.drain_timeout)
        assert self._process is not None
        status = self._process.exit_status
        self._send(Exited(0 if status is None else status))
        self.is_told.set()

    def take(self, message: Piece | EndOfStream | Credit | CloseStream) -> None:
        """Take a message for one of its streams. Does not wait."""
        if (stream := self._streams.get(message.stream)) is not None:
            stream.take(message)

    def end(self, patience: float | None, reason: str) -> None:
        """End it for a reason of the guard's own, and tell the service of that. Waits."""
        for listener in self._listeners:
            listener.close()
        if self._process is not None:
            self._send(Ending(reason))
            self._process.end(patience)
            self.is_told.wait(self.drain_timeout * 2)

    # What the service calls.

    def call(self, call: Call) -> None:
        """Carry out a call, and answer it."""
        try:
            method = METHODS[call.method]
            if self._process is None:
                raise CommandError("it was not started")
            answer = Answer(call.number, method(self, self._process, *call.args))
        except CommandError as bad:
            answer = Answer(call.number, None, str(bad))
        except Exception as bug:
            log.exception("`%s` failed", call.method)
            answer = Answer(call.number, None, f"{type(bug).__name__} in `{call.method}`")
        if call.number:
            self._send(answer)

    def _usage(self, process: NodeProcess) -> list[float]:
        return [*process.usage()]

    def _remaining(self, process: NodeProcess) -> list[list[Any]]:
        return [[*each] for each in process.remaining()]

    def _is_alone(self, process: NodeProcess) -> bool:
        return process.is_alone()

    def _listens(self, process: NodeProcess, port: int) -> bool:
        return process.listens(port)

    def _has_unread(self, process: NodeProcess, stream: int) -> bool:
        if stream == STDIO:
            return process.has_unread(None)
        connection = self._connections.get(stream)
        return connection is not None and process.has_unread(connection.socket)

    def _renew(self, process: NodeProcess, label: str) -> None:
        process.renew(label)

    def _suspend(self, process: NodeProcess) -> None:
        process.suspend()

    def _resume(self, process: NodeProcess) -> None:
        process.resume()

    def _end(self, process: NodeProcess, patience: float | None) -> str | None:
        used = process.end(patience)
        if process.exit_status is not None:
            self.is_told.wait(self.drain_timeout * 2)
        return used


#: The methods of a process that the service may call.
METHODS: dict[str, Callable[..., Any]] = {
    "usage": Program._usage,
    "remaining": Program._remaining,
    "is_alone": Program._is_alone,
    "listens": Program._listens,
    "has_unread": Program._has_unread,
    "renew": Program._renew,
    "suspend": Program._suspend,
    "resume": Program._resume,
    "end": Program._end,
}


def _into(stream: ByteStream) -> Callable[[bytes], None]:
    """What passes bytes on into a stream, and its end."""

    def pass_on(data: bytes) -> None:
        try:
            stream.write_all(data) if data else stream.end_writing()
        except OSError:
            pass  # the service does not want any more of it

    return pass_on
