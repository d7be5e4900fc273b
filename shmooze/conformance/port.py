"""What comes from a module: through two ports to which it connects, or from its standard output.

The parent's side is written anew here, on plain sockets. That of a service tolerates what a module
should not do, and hides it: an early update, a second connection, a line without an end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import gevent
from gevent import socket
from gevent.event import Event

from shmooze.errors import PacketError
from shmooze.modules.channel.stream import Stream
from shmooze.processes.contract import ByteStream
from shmooze.runtime import jsonsafe
from shmooze.runtime.patience import Patience

_GOOD = b'{"success":true,"result":null}\n'


class Received:
    """Lines that a module sends, and what it is sent."""

    #: Lines that wait to be taken: of a module that sends more nothing more is read.
    max_lines = 10_000
    #: Whether a connection to it cannot be made for now.
    is_full = False

    def __init__(self) -> None:
        self.connected, self.ended, self._arrived = Event(), Event(), Event()
        self._unsent, self._has_unsent = b"", Event()
        self._greenlets: list[gevent.Greenlet] = []
        self._is_ending = self._is_closed = False
        #: Complete lines, each without its end, that nobody has taken yet.
        self.lines: deque[bytes] = deque()
        #: The beginning of a line whose end has not come.
        self.tail = b""
        #: Bytes that have come altogether.
        self.bytes = 0

    @property
    def connections(self) -> int:
        """How many times the module has connected."""
        return 1

    def accept(self) -> None:
        """Accept connections."""

    def write(self, data: bytes) -> None:
        """Send as fast as the module reads. Does not wait."""
        self._unsent += data
        self._has_unsent.set()

    def next_line(self, patience: Patience) -> bytes | None:
        """The next line; None if none comes in time, or before the end."""
        while not self.lines and not self.ended.is_set():
            self._arrived.clear()
            if not patience.wait(self._arrived):
                return None
        return self.lines.popleft() if self.lines else None

    def end_writing(self) -> None:
        """Let the module read an end of file after all that was sent."""
        self._is_ending = True
        self._has_unsent.set()

    def wait_end(self, timeout: float) -> bool:
        """Wait until the module has hung up, and all is read. Returns whether that is so."""
        return not self._is_closed and self.ended.wait(timeout) is True

    def close(self) -> None:
        """Hang up."""
        self._is_closed = True
        gevent.killall(self._greenlets)

    def add_line(self, line: bytes) -> None:
        """Keep a line that has come."""
        self.lines.append(line)
        self.on_line(line)
        self._arrived.set()

    def end(self) -> None:
        """Nothing more will come."""
        self.ended.set()
        self._arrived.set()

    def on_line(self, line: bytes) -> None:
        """A line has come."""

    def _write_with(self, send: Callable[[bytes], object], end: Callable[[], object]) -> None:
        with suppress(OSError):  # the end is noticed by reading
            while self._unsent or not self._is_ending:
                self._has_unsent.wait()
                self._has_unsent.clear()
                data, self._unsent = self._unsent, b""
                send(data)
            end()


class Port(Received):
    """One of the two ports, and what came through it. The first connection counts."""

    def __init__(self, host: str, is_full: bool = False) -> None:
        super().__init__()
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.bind((host, 0))
        self._listener.listen(0 if is_full else 8)
        self.number = int(self._listener.getsockname()[1])
        self._filler = socket.create_connection((host, self.number)) if is_full else None
        self._connections: list[Any] = []
        self.is_full = is_full
        if not is_full:
            self.accept()

    @property
    def connections(self) -> int:
        return len(self._connections)

    def accept(self) -> None:
        """A port that was full has room from now on."""
        if self._filler is not None:
            ours, _ = self._listener.accept()
            ours.close()
            self._filler.close()
            self._filler = None
        self.is_full = False
        self._greenlets.append(gevent.spawn(self._accept))

    def close(self) -> None:
        super().close()
        for each in (*self._connections, self._listener, self._filler):
            if each is not None:
                each.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.append(connection)
            if self.connections == 1:
                self._greenlets.append(gevent.spawn(self._read, connection))
                self._greenlets.append(gevent.spawn(self._write, connection))
                self.connected.set()

    def _write(self, connection: Any) -> None:
        self._write_with(connection.sendall, lambda: connection.shutdown(socket.SHUT_WR))

    def _read(self, connection: Any) -> None:
        with suppress(OSError):
            while data := connection.recv(1 << 16):
                self.bytes += len(data)
                *lines, self.tail = (self.tail + data).split(b"\n")
                for line in lines:
                    self.add_line(line)
                if len(self.tail) > Stream.max_line or len(self.lines) > self.max_lines:
                    break
        self.end()


class ReceivedUpdates(Received):
    """Keeps updates."""

    #: Updates that are kept.
    max_updates = 10_000

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        #: Updates that have come, undecoded.
        self.updates: list[bytes] = []
        #: Whether it has said `rm` or given its result; what it has said with `fail`; the last
        #: state that it has saved.
        self.says_rm = False
        self.failure: str | None = None
        self.saved: list[Any] = []
        self.spoke = Event()

    def on_line(self, line: bytes) -> None:
        self.lines.clear()
        if len(self.updates) < self.max_updates:
            self.updates.append(line)
        with suppress(PacketError):
            self._note(jsonsafe.decode(line))

    def _note(self, update: Any) -> None:
        cmd = update.get("cmd") if isinstance(update, dict) else None
        args = update.get("args") if cmd else None
        if cmd in ("rm", "result"):
            self.says_rm = True
        elif isinstance(args, dict) and cmd == "fail":
            text = args.get("error", args.get("text"))
            self.failure = text if isinstance(text, str) else None
        elif isinstance(args, dict) and cmd == "save" and "state" in args:
            self.saved = [args["state"]]
        if self.says_rm or self.failure is not None:
            self.spoke.set()


class UpdatePort(ReceivedUpdates, Port):
    """Acknowledges each update."""

    #: Bytes of acknowledgements that wait for a module which does not read them.
    max_unsent = 1 << 16

    def on_line(self, line: bytes) -> None:
        if len(self._unsent) < self.max_unsent:
            self.write(_GOOD)
        super().on_line(line)


class StandardStreams(Received):
    """Standard input and output of a module, whose updates go to `updates`."""

    def __init__(self) -> None:
        super().__init__()
        self.updates = ReceivedUpdates()
        self._stdio: ByteStream | None = None

    def attach(self, stdio: ByteStream) -> None:
        """Read and write these."""
        self._stdio = stdio
        stdio.read_with(self._receive)
        write = partial(self._write_with, stdio.write_all, stdio.end_writing)
        self._greenlets.append(gevent.spawn(write))
        self.connected.set()
        self.updates.connected.set()

    def close(self) -> None:
        super().close()
        if self._stdio is not None:
            self._stdio.close()
        self.end()
        self.updates.end()

    def _receive(self, data: bytes) -> None:
        if not data:
            self.end()
            self.updates.end()
        *lines, self.tail = (self.tail + data).split(b"\n")
        for line in lines:
            is_update = _is_update(line)
            self.bytes += 0 if is_update else len(line)
            (self.updates if is_update else self).add_line(line)
        is_too_much = len(self.tail) > Stream.max_line or len(self.lines) > self.max_lines
        if is_too_much and self._stdio is not None:
            self._stdio.stop_reading()
            self.end()


def _is_update(line: bytes) -> bool:
    """Whether a line of standard output is an update; anything else counts as an answer."""
    try:
        value = jsonsafe.decode(line)
    except PacketError:
        return False
    return isinstance(value, dict) and "cmd" in value and "success" not in value
