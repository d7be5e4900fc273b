"""A stream of packets between a module and its child: a line each, as JSON.

There are two, over whatever connection the channel makes:

- `CommandStream`: commands go down, the child answers.
- `UpdateStream`: updates come up, the parent acknowledges.

A stream ends once, for one reason, and tells its owner: `on_end(reason, breach)`, where `breach`
says whether the child broke the protocol or just hung up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
from gevent.event import AsyncResult

from shmooze.errors import ModuleError
from shmooze.processes.contract import ByteStream

log = logging.getLogger(__name__)

encode = msgspec.json.encode

OnEnd = Callable[[str, bool], None]


class StreamEnded(ModuleError):
    """The child has hung up, most often because it ends."""


class Breach(Exception):
    """The child sent something that ends the stream."""


class Stream:
    """One end of a connection from one child, before and after it is made."""

    #: Longest line that a child may send, in bytes.
    max_line = 1 << 20
    #: Bytes that are read at once: more is not faster, and too much work for one time slice.
    piece = 1 << 14

    name = "stream"

    def __init__(self, on_end: OnEnd) -> None:
        self._on_end = on_end
        self.connection: ByteStream | None = None
        #: The beginning of a line whose end has not come yet. Joined once: to add each piece to it
        #: would take time by the square of its length.
        self._begun: list[bytes] = []
        self._begun_length = 0
        self._ended: str | None = None
        self.connected: AsyncResult[None] = AsyncResult()

    def hand_over(self, on_end: OnEnd) -> None:
        """Let another owner have it."""
        self._on_end = on_end

    @property
    def is_quiet(self) -> bool:
        """Whether it is connected, has not ended, and the beginning of no line has come."""
        return self.connection is not None and self._ended is None and not self._begun

    @property
    def is_taken(self) -> bool:
        """Whether no further connection is wanted: there is one, or the stream has ended."""
        return self.connection is not None or self._ended is not None

    def attach(self, connection: ByteStream) -> None:
        """Use this connection, which is the child's."""
        self.connection = connection
        connection.piece = self.piece
        connection.read_with(self._receive)
        self.connected.set(None)

    def give_up(self, reason: str) -> None:
        """Let nobody wait for a connection or an answer any more.

        A connection that is there stays open. The first reason stays.
        """
        self._set_ended(reason)

    def wait_end(self, timeout: float) -> None:
        """Wait until all has been read that came before its end, for at most `timeout` seconds."""
        if self.connection is not None:
            self.connection.wait_end(timeout)

    def close(self, reason: str = "was closed") -> None:
        """Give it up and hang up. May be called twice."""
        self.give_up(reason)
        if self.connection is not None:
            self.connection.close()

    def _receive(self, data: bytes) -> None:
        reason, is_breach = f"closed its {self.name}", False
        if data:
            try:
                self._take_lines_of(data)
                return
            except Breach as breach:
                reason, is_breach = str(breach), True
            except Exception:  # a bug, which must not leave the child with nobody who listens
                log.exception("%s: a packet was not processed", self.name)
                reason, is_breach = f"sent something on its {self.name}: internal error", True
            assert self.connection is not None
            self.connection.stop_reading()
        self._set_ended(reason)
        self._on_end(reason, is_breach)

    def _take_lines_of(self, data: bytes) -> None:
        end = data.find(b"\n")
        first = self._begun_length + (len(data) if end < 0 else end)
        if first > self.max_line:  # the others fit in a read
            raise Breach(f"sent a line over {self.max_line >> 20} MiB on its {self.name}")
        block, newline, tail = data.rpartition(b"\n")
        if not newline:
            self._begun.append(data)
            self._begun_length = first
            return
        if self._begun:
            block = b"".join([*self._begun, block])
        self._begun, self._begun_length = [tail] if tail else [], len(tail)
        self._take(block)

    def _take(self, block: bytes) -> None:
        """Take whole lines, without the last newline. Raises Breach."""
        raise NotImplementedError

    def _set_ended(self, reason: str) -> None:
        if self._ended is None:
            self._ended = reason
            if not self.connected.ready():
                self.connected.set_exception(StreamEnded(reason))
