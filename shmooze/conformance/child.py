"""One start of the module's program, with this process as its parent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gevent
from gevent.event import Event

from shmooze.conformance.options import Options
from shmooze.conformance.port import (
    Port,
    Received,
    ReceivedUpdates,
    StandardStreams,
    UpdatePort,
)
from shmooze.modules.channel.stream import encode
from shmooze.modules.channel.tcp import TcpEndpoint
from shmooze.processes.contract import Launcher, LaunchSpec, NoEndpoint, Process, Remaining
from shmooze.runtime.patience import Patience


class Child:
    """A running program. Used as a context manager: nothing of it is left afterwards."""

    #: Seconds for processes that the program has told to end when it exits itself.
    settle = 0.5

    def __init__(self, launcher: Launcher, options: Options, is_full: bool = False) -> None:
        self._options = options
        self.commands: Received
        self.updates: ReceivedUpdates
        self._exited = Event()
        launch = self._launch_with_stdio if options.stdio else self._launch
        self._process = launch(launcher, LaunchSpec(options.argv, options.argv[0]), is_full)
        self._process.when_exited(self._exited.set)

    def _launch(self, launcher: Launcher, spec: LaunchSpec, is_full: bool) -> Process:
        host = self._options.host
        self.commands, self.updates = ports = Port(host, is_full), UpdatePort(host)
        endpoint = TcpEndpoint(host, tuple(port.number for port in ports))
        try:
            return launcher.launch(spec, endpoint)
        except BaseException:
            self._hang_up()
            raise

    def _launch_with_stdio(self, launcher: Launcher, spec: LaunchSpec, _is_full: bool) -> Process:
        process = launcher.launch(replace(spec, has_stdio=True), NoEndpoint())
        self.commands = streams = StandardStreams()
        self.updates = streams.updates
        streams.attach(process.stdio)
        return process

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        ending = gevent.spawn(self._end)
        try:
            ending.join()
        finally:
            ending.join()  # whatever interrupts this greenlet

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.exit_status

    @property
    def errors(self) -> list[str]:
        """The last lines of its standard error."""
        return self._process.errors[-5:]

    @property
    def has_left(self) -> bool:
        """Whether it ends because it is done."""
        return self.updates.says_rm or self.status == 0

    def send(self, *commands: dict[str, Any]) -> None:
        """Send commands in one write, as a service writes them: no spaces, `cmd` first."""
        self.commands.write(b"".join(encode(each) + b"\n" for each in commands))

    def send_in_pieces(self, command: dict[str, Any]) -> None:
        """Send a command in two writes, cut within a character if it has a long one."""
        line = json.dumps(command, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        cut = next((at + 1 for at, byte in enumerate(line) if byte > 127), len(line) // 2)
        self.commands.write(line[:cut])
        gevent.sleep(0.05)
        self.commands.write(line[cut:])

    def wait_connected(self, timeout: float) -> str | None:
        """Wait for both streams. Returns what is missing, if anything."""
        patience = Patience(timeout)
        for port, name in ((self.commands, "command"), (self.updates, "update")):
            self._wait_any(patience, port.connected)
            if not port.connected.is_set():
                if self._exited.is_set():
                    return f"the program {self.describe_exit()} before it connected"
                return f"it did not connect to the {name} port"
        return None

    def wait_exit(self, timeout: float) -> bool:
        """Wait for the end of the program itself."""
        return self._process.wait(timeout) is not None

    def watch(self, seconds: float) -> None:
        """Let it run for a while, or until it leaves."""
        self._wait_any(Patience(seconds), self.updates.spoke)

    def _wait_any(self, patience: Patience, event: Event) -> None:
        """Wait for an event, or for the end of the program."""
        either = Event()

        def wake(_: object) -> None:
            either.set()

        for each in (event, self._exited):
            each.rawlink(wake)
        patience.wait(either)
        for each in (event, self._exited):
            each.unlink(wake)

    def hang_up(self, dies: bool = False) -> None:
        """End the command stream as a service does, or all at once as when it dies."""
        if dies:
            self._hang_up()
        else:
            self.commands.end_writing()

    def _end(self) -> None:
        self._hang_up()
        self._process.end(self._options.sigterm_timeout)
        self._process.close(0.5)

    def _hang_up(self) -> None:
        self.commands.close()
        self.updates.close()

    def describe_exit(self) -> str:
        """How it has ended."""
        status = self.status
        if status is None:
            return "still runs"
        return f"exited with status {status}" if status >= 0 else f"was killed by signal {-status}"

    def remaining(self) -> Sequence[Remaining]:
        """What still runs of it a moment after its exit."""
        with gevent.Timeout(self.settle, False):
            while self._process.remaining():
                gevent.sleep(self.settle / 25)
            return []
        return self._process.remaining()
