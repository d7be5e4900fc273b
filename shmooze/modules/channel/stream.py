"""The two streams between a parent and one child: packets, a line each, over TCP.

Each is a StreamServer on a free port that takes one connection, the child's, and then stops
listening. From then on an inlet takes what comes.

- `CommandStream`, see lib.command_stream: the parent asks, the child answers.
- `UpdateStream`: the child tells, the parent acknowledges. Many children never read
  acknowledgements. Those still owed are therefore only counted (equal ones together), and a
  greenlet of its own writes them as fast as the child takes them: the reader never waits for the
  writer, and memory stays flat.

A stream ends once, for one reason, and says so to its owner: `on_end(reason, breach)`, where
`breach` tells whether the child broke the protocol or just hung up.
"""

from __future__ import annotations

import json
import logging
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
import msgspec
from gevent.event import AsyncResult
from gevent.server import StreamServer

from shmooze.errors import Failure, ModuleError, PacketError
from shmooze.runtime import jsonsafe
from shmooze.runtime.fd_reader import FdReader

log = logging.getLogger(__name__)

encode = msgspec.json.encode

_GOOD = b'{"success":true,"result":null}\n'


class Parameters(msgspec.Struct, gc=False):
    parameters: dict[str, Any]


class ParameterNames(msgspec.Struct, gc=False):
    parameters: list[str]


class SetParameters(msgspec.Struct, tag_field="cmd", tag="set_parameters", gc=False):
    args: Parameters


class UnsetParameters(msgspec.Struct, tag_field="cmd", tag="unset_parameters", gc=False):
    args: ParameterNames


class Leaving(msgspec.Struct, tag_field="cmd", tag="rm"):
    args: Any = None


class FailureText(msgspec.Struct):
    text: str


class Failing(msgspec.Struct, tag_field="cmd", tag="fail"):
    args: FailureText


OnEnd = Callable[[str, bool], None]

Update = SetParameters | UnsetParameters | Leaving | Failing

OnUpdate = Callable[[Update, int, int], None]

_decode_any = msgspec.json.Decoder().decode
_decode_update = msgspec.json.Decoder(Update).decode
_decode_updates = msgspec.json.Decoder(Update).decode_lines


@dataclass(frozen=True)
class TcpEndpoint:
    """Host and ports that a child is told to connect to."""

    host: str
    ports: tuple[int, ...]

    @property
    def arguments(self) -> list[str]:
        return [self.host, *map(str, self.ports)]


class StreamEnded(ModuleError):
    """The child has hung up, most often because it ends."""


class Breach(Exception):
    """The child sent something that ends the stream."""


class _Server(StreamServer):
    """Leaves connections to those who have accepted them."""

    def do_close(self, *_args: object) -> None:
        pass


class Stream:
    """One end of a connection from one child, before and after it is made."""

    #: Longest line that a child may send, in bytes.
    max_line = 1 << 20
    #: Bytes that are read at once: more is not faster, and too much work for one turn.
    piece = 1 << 14

    name = "stream"

    def __init__(self, host: str, on_end: OnEnd) -> None:
        self._on_end = on_end
        self._host = host
        self._server: StreamServer | None = None
        self._socket: socket.socket | None = None
        self._fd_reader: FdReader | None = None
        #: The beginning of a line whose end has not come yet.
        self._tail = b""
        self._ended: str | None = None
        self.connected: AsyncResult[None] = AsyncResult()

    def listen(self) -> int:
        """Take a free port and return it. Who connects waits until `accept`."""
        self._server = _Server((self._host, 0), self._serve)
        self._server.init_socket()
        return int(self._server.server_port)

    def accept(self, is_child: Callable[[socket.socket], bool]) -> None:
        """Let the first peer in that `is_child` says yes to, and hang up on all others."""
        self._is_child = is_child
        if self._server is not None:
            self._server.start()

    @property
    def connection(self) -> socket.socket | None:
        """The connection, once there is one."""
        return self._socket

    def give_up(self, reason: str) -> None:
        """Stop listening, and have nobody wait for a connection or answer any more.

        A connection that is there stays open. The first reason stays.
        """
        self._stop_listening()
        self._set_ended(reason)

    def close(self, reason: str = "was closed") -> None:
        """Give it up and hang up. May be called twice."""
        self.give_up(reason)
        if self._fd_reader is not None:
            self._fd_reader.close()
        if self._socket is not None:
            self._socket.close()

    def _serve(self, connection: socket.socket, _address: object) -> None:
        if not self._accepts(connection):
            connection.close()
            return
        self._socket = connection
        self._stop_listening()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._fd_reader = FdReader(connection.fileno(), self._receive, self.piece)
        self.connected.set(None)

    def _accepts(self, connection: socket.socket) -> bool:
        if self._is_taken():
            return False  # too late
        try:
            is_child = self._is_child(connection)
        except OSError as bad:  # it has left already, or there is no file descriptor to look
            log.warning("%s: cannot tell who has connected: %s", self.name, bad.strerror)
            return False
        if not is_child:
            log.warning("%s: a stranger has connected and is turned away", self.name)
        return is_child and not self._is_taken()  # by another meanwhile

    def _is_taken(self) -> bool:
        return self._socket is not None or self._ended is not None

    def _receive(self, data: bytes) -> None:
        reason, breached = f"closed its {self.name}", False
        if data:
            try:
                self._take_lines_of(data)
                return
            except Breach as breach:
                reason, breached = str(breach), True
            except Exception:  # a bug, which must not leave the child with nobody who listens
                log.exception("%s: what has come was not taken", self.name)
                reason, breached = f"cannot be listened to on its {self.name}: internal error", True
            assert self._fd_reader is not None
            self._fd_reader.close()
        self._set_ended(reason)
        self._on_end(reason, breached)

    def _take_lines_of(self, data: bytes) -> None:
        block, newline, tail = (self._tail + data).rpartition(b"\n")
        if _first_length(block if newline else tail) > self.max_line:  # the others fit in a read
            raise Breach(f"sent a line over {self.max_line >> 20} MiB on its {self.name}")
        self._tail = tail
        # As much again as there is of a long line, so that each byte is moved a few times only.
        assert self._fd_reader is not None
        self._fd_reader.piece = max(self.piece, len(tail))
        if newline:
            self._take(block)

    def _take(self, block: bytes) -> None:
        """Take whole lines, without the last newline. Raises Breach."""
        raise NotImplementedError

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _set_ended(self, reason: str) -> None:
        if self._ended is None:
            self._ended = reason
            if not self.connected.ready():
                self.connected.set_exception(StreamEnded(reason))


class UpdateStream(Stream):
    """Updates come up, acknowledgements go down.

    `on_update(update, size, count)` takes each update as it comes, with the length of its line in
    bytes; it raises Failure to refuse it. `count` updates of `set_parameters` that have come
    together are one to it, with the last value of each parameter; if it refuses that, it gets them
    one by one. What is refused is answered so. A child that sends nothing else any more has ended
    its stream, and so has one that sends bytes which are no packet at all.
    """

    #: Updates in a row that may be refused.
    max_refused = 10

    #: Different acknowledgements that may wait for a child that does not read them.
    max_owed = 1000
    #: Bytes of acknowledgements written at once.
    write_size = 1 << 14

    name = "update stream"

    def __init__(self, host: str, on_update: OnUpdate, on_end: OnEnd) -> None:
        super().__init__(host, on_end)
        self._on_update = on_update
        self._refused = 0
        self._owed: deque[tuple[bytes, int]] = deque()
        self._writer: gevent.Greenlet | None = None

    def close(self, reason: str = "was closed") -> None:
        super().close(reason)
        if self._writer is not None:
            self._writer.kill(block=False)

    def _take(self, block: bytes) -> None:
        try:
            if count := self._take_together(block):
                self._refused = 0
                self._owe(_GOOD, count)
            else:
                self._take_each(block.split(b"\n"))
        finally:
            if not self._writer:
                self._writer = gevent.spawn(self._write)

    def _take_together(self, block: bytes) -> int:
        """Take lines that all set parameters as one; their number, or 0 where none was taken."""
        count = block.count(b"}\n{") + 1
        if count == 1 or jsonsafe.block_needs_check(block):
            return 0
        try:
            updates = _decode_updates(block)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return 0
        if len(updates) != count or block.count(b"\n") != count - 1:
            return 0  # a line with two of them, or something else that is no line of ours
        merged: dict[str, Any] = {}
        for update in updates:
            if type(update) is not SetParameters:
                return 0
            merged |= update.args.parameters  # a third of the time that `update` takes
        try:
            self._on_update(SetParameters(Parameters(merged)), len(block), count)
        except Failure:
            return 0
        return count

    def _take_each(self, lines: list[bytes]) -> None:
        on_update = self._on_update
        for line in lines:
            try:
                update = _decode_update(line)
                if jsonsafe.needs_check(line):
                    jsonsafe.verify(line, _decode_any(line))
                on_update(update, len(line), 1)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
                words = jsonsafe.explain(line, bad)
                self._refuse(f"bad update: {words}", hopeless=not _is_packet(line))
            except (Failure, PacketError) as refusal:
                self._refuse(str(refusal))
            else:
                self._refused = 0
                self._owe(_GOOD)

    def _refuse(self, words: str, hopeless: bool = False) -> None:
        self._owe(encode({"success": False, "error": words}) + b"\n")
        self._refused += 1
        if hopeless:
            raise Breach(f"sent bytes on its {self.name} that are no packet: {words}")
        if self._refused > self.max_refused:
            raise Breach(f"went on sending updates that cannot be used; the last: {words}")

    def _owe(self, line: bytes, count: int = 1) -> None:
        owed = self._owed
        if owed and owed[-1][0] == line:
            owed[-1] = (line, owed[-1][1] + count)
            return
        if len(owed) >= self.max_owed:
            raise Breach("sends bad updates and does not read the answers")
        owed.append((line, count))

    def _write(self) -> None:
        while self._owed and self._socket is not None:
            line, count = self._owed.popleft()
            now = min(count, max(1, self.write_size // len(line)))
            if count > now:
                self._owed.appendleft((line, count - now))
            try:
                self._socket.sendall(line * now)
            except OSError:
                return  # the reader sees the end of the stream too, and says so


def _is_packet(line: bytes) -> bool:
    """Whether a line is a packet at all, if perhaps not one that we can use."""
    try:
        value = json.loads(line)  # which takes NaN, long integers and half a surrogate pair
    except RecursionError:
        return line.lstrip().startswith(b"{")
    except ValueError:
        return False
    return isinstance(value, dict) and isinstance(value.get("cmd"), str)


def _first_length(block: bytes) -> int:
    """The length of the first of some lines."""
    end = block.find(b"\n")
    return len(block) if end < 0 else end
