"""Asking a program for its description: it is run with `--describe`, and prints it as JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from gevent.event import Event

from shmooze.description.description import MAX_BYTES
from shmooze.errors import ModuleError, PacketError
from shmooze.modules.exit import describe_exit
from shmooze.modules.kind import Kind
from shmooze.modules.launched import folder_of, own_variables
from shmooze.processes.contract import Launcher, LaunchSpec, NoEndpoint, OutputLine, Process
from shmooze.runtime import jsonsafe
from shmooze.runtime.patience import Patience

#: The last argument of a program that is asked.
DESCRIBE = "--describe"


class Refusal(Exception):
    """A program has not printed a description. `str()` says why, in a sentence without subject."""


class NoDescription(Refusal):
    """It has printed something else. Programs that do not know `--describe` hardly do."""


class Fingerprint(NamedTuple):
    """What tells one state of a file from another."""

    modified: int
    size: int
    inode: int


def fingerprint(argv: Sequence[str]) -> tuple[Fingerprint | None, ...]:
    """The state of each word of a program's arguments that is a file."""
    return tuple(map(_state_of, argv))


def _state_of(word: str) -> Fingerprint | None:
    try:
        found = os.stat(word)
    except (OSError, ValueError):
        return None
    return Fingerprint(found.st_mtime_ns, found.st_size, found.st_ino)


class Asking:
    """One program that is being asked. Nothing of it is left when `ask` returns."""

    #: Lines of its standard error that a refusal shows.
    last_lines = 3

    def __init__(self, kind: type[Kind], launcher: Launcher) -> None:
        self._kind, self._launcher = kind, launcher
        own = kind.connect_timeout
        # In a class it may be a property, which only its modules have a value of.
        self._timeout = own if isinstance(own, (int, float)) else Kind.connect_timeout
        self._printed: list[str] = []
        self._size = 0
        #: Set once there is nothing more to wait for.
        self._done = Event()
        self._is_stopped = False

    def ask(self) -> Any:
        """What the program prints, decoded. Raises Refusal."""
        kind = self._kind
        spec = LaunchSpec(
            [*kind.process, DESCRIBE],
            f"{kind.TYPE_STRING} {DESCRIBE}",
            is_logged=False,
            environ=own_variables(kind),
            cwd=folder_of(kind),
        )
        try:
            process = self._launcher.launch(spec, NoEndpoint())
        except ModuleError as bad:
            raise Refusal(str(bad)) from bad
        try:
            process.on_output(self._take)
            process.when_exited(self._done.set)
            is_over = Patience(self._timeout).wait(self._done)
        finally:
            status = process.exit_status
            process.end(self._kind.start_patience)
            process.close(self._kind.output_timeout)
        return self._result(process, status, is_over)

    def stop(self) -> None:
        """Give up."""
        self._is_stopped = True
        self._done.set()

    def _take(self, line: OutputLine) -> None:
        if line.is_error or self._size > MAX_BYTES:
            return
        self._size += len(line.text.encode())
        self._printed.append(line.text)
        if self._size > MAX_BYTES:
            self._printed.clear()
            self._done.set()

    def _result(self, process: Process, status: int | None, is_over: bool) -> Any:
        if self._is_stopped:
            raise Refusal("was stopped with the service")
        if self._size > MAX_BYTES:
            raise NoDescription(f"printed more than {MAX_BYTES} bytes")
        if not is_over or status is None:
            seconds = f"{self._timeout:g} s"
            raise Refusal(f"did not end within {seconds}{self._last_lines(process)}")
        if status:
            raise Refusal(f"{describe_exit(status)}{self._last_lines(process)}")
        # Long lines come in pieces, and JSON has no line break within a string.
        text = "".join(self._printed)
        if not text.strip():
            raise Refusal(f"printed nothing{self._last_lines(process)}")
        try:
            return jsonsafe.decode(text.encode())
        except PacketError as bad:
            raise NoDescription(f"printed no JSON: {bad}{self._last_lines(process)}") from bad

    def _last_lines(self, process: Process) -> str:
        lines = [line.strip() for line in process.errors if line.strip()][-self.last_lines :]
        return f"; last output: {' | '.join(lines)}" if lines else ""
