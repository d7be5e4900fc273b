"""The output of a process on another machine: raw on its node, lines at its service."""

from __future__ import annotations

from collections.abc import Callable

from gevent.event import Event

from shmooze.cluster.streams import CarriedStream
from shmooze.processes.local_process import LocalProcess
from shmooze.processes.output import CollectedOutput, ProcessOutput
from shmooze.processes.output_pipe import OutputPipe
from shmooze.processes.output_text import OutputText


class RawPipe(OutputPipe):
    """A pipe whose bytes are passed on as they are, once it is known where to.

    Nothing is lost: if they cannot be passed on fast enough, the process waits when it prints.
    """

    def __init__(self, on_line: Callable[[str], None], on_text: Callable[[str], None]) -> None:
        self._to: Callable[[bytes], None] | None = None
        self._is_connected = Event()
        #: Set when the end was passed on.
        self.ended = Event()
        super().__init__(on_line, on_text)

    def pass_on(self, to: Callable[[bytes], None]) -> None:
        """Pass on everything, and no bytes at the end."""
        self._to = to
        self._is_connected.set()

    def close(self, patience: float = 0.0) -> None:
        self._is_connected.set()  # there may be nobody to pass it on to
        super().close(patience)

    def take(self, data: bytes) -> None:
        self._is_connected.wait()
        if self._to is not None and not self.ended.is_set():
            self._to(data)
        if not data:
            self.ended.set()

    def end_part(self) -> None:
        pass  # parts are told apart at the service


class RawOutput(ProcessOutput):
    """The pipes of a process on its node."""

    make_pipe = RawPipe
    stdout: RawPipe | None
    stderr: RawPipe


class NodeProcess(LocalProcess):
    """A process on its node, whose output is passed on."""

    make_output = RawOutput
    _output: RawOutput

    def pass_output_on(
        self, output: Callable[[bytes], None], errors: Callable[[bytes], None]
    ) -> list[Event]:
        """Pass its output and errors on. Returns what is set when the end of each was passed on."""
        pipes = [(self._output.stdout, output), (self._output.stderr, errors)]
        for pipe, to in pipes:
            if pipe is not None:
                pipe.pass_on(to)
        return [pipe.ended for pipe, _ in pipes if pipe is not None]


class CarriedText(OutputText):
    """One output of a process, as it comes over a stream."""

    stream: CarriedStream

    def close(self, patience: float = 0.0) -> None:
        self.stream.wait_end(patience)
        self.stream.stop_reading()
        super().close()


class CarriedOutput(CollectedOutput):
    """The output of a process on another machine, at its service."""

    def __init__(
        self, label: str, is_logged: bool, output: CarriedStream | None, errors: CarriedStream
    ) -> None:
        super().__init__(label, is_logged)
        self._pipes = []
        if output is not None:
            self._read(CarriedText(self._keep, self._log), output)
        self._read(CarriedText(self._keep_error, self._log), errors)

    def _read(self, text: CarriedText, stream: CarriedStream) -> None:
        text.stream = stream
        self._pipes = [*self._pipes, text]
        stream.read_with(text.take)
