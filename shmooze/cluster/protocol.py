"""The protocol between a guard and the door of its service: frames over one connection.

A frame is four bytes with its length, and a message in MessagePack. The guard begins with `Hello`,
and the door answers `Welcome` or `Refused`. After that come numbered frames in both directions,
which arrive once and in order however often the connection breaks (see link.py), and beats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

#: Counts incompatible changes: service and nodes must have the same.
VERSION = 1
#: Bytes of the longest frame.
MAX_FRAME = 1 << 20
#: Bytes of the longest frame of a guard that has not proven its secret.
MAX_HELLO = 4 << 10
_LENGTH = 4


class ProtocolError(Exception):
    """The other side sent something that is not a frame, or came out of order."""


class Message(msgspec.Struct, array_like=True, tag=True):
    """What one side tells the other."""


# How a connection begins, and how it is known to work.


class Hello(Message):
    """A guard asks to start a program, or goes on after its connection was broken."""

    version: int
    session: str
    secret: str
    #: Chosen by the guard: of several that have the same ticket, only the first is welcome.
    guard: str
    #: The name of its node.
    host: str
    #: The number of the last frame that it has received.
    received: int


class Welcome(Message):
    """The guard may start the program, or go on."""

    received: int


class Refused(Message):
    """The guard must not start the program, and must end it if it has."""

    reason: str


class Numbered(Message):
    """A message that must arrive."""

    number: int
    content: Content


class Beat(Message):
    """The guard asks to have its lease extended."""

    number: int
    received: int


class BeatAnswer(Message):
    """Its lease is extended, from the moment when it sent the beat of this number."""

    number: int
    received: int


class Received(Message):
    """All up to this number has arrived."""

    received: int


# From the service.


class Start(Message):
    """Start the program."""

    argv: list[str]
    label: str
    environ: dict[str, str]
    cwd: str | None
    #: The directory of the service, which is used if the node has it too and `cwd` is None.
    service_cwd: str
    has_stdio: bool
    #: How many streams the program connects.
    streams: int


class Call(Message):
    """Call a method of the process, see remote_calls.py."""

    number: int
    method: str
    args: list[Any]


class Forget(Message):
    """Nothing more is wanted: the guard exits, and ends whatever is left."""


# From the guard.


class Started(Message):
    """The program runs."""

    description: str


class NotStarted(Message):
    """It cannot be started; the reason is for people."""

    reason: str


class Answer(Message):
    """The result of a call, or what prevented it."""

    number: int
    result: Any
    error: str | None = None


class Connected(Message):
    """The program has connected one of its streams."""

    stream: int


class Ending(Message):
    """The guard ends the program without having been told to, and why."""

    reason: str


class Exited(Message):
    """The process itself has ended."""

    status: int


# In both directions.


class Piece(Message):
    """Bytes of a stream."""

    stream: int
    data: bytes


class EndOfStream(Message):
    """No more bytes of a stream will come in this direction."""

    stream: int


class Credit(Message):
    """Bytes of a stream have been taken, so that as many more may be sent."""

    stream: int
    size: int


class CloseStream(Message):
    """A stream is closed in both directions."""

    stream: int


Content = (
    Start
    | Call
    | Forget
    | Started
    | NotStarted
    | Answer
    | Connected
    | Ending
    | Exited
    | Piece
    | EndOfStream
    | Credit
    | CloseStream
)
Frame = Hello | Welcome | Refused | Numbered | Beat | BeatAnswer | Received

#: The streams that every process has, and the first of those that a program connects.
OUTPUT, ERRORS, STDIO, FIRST_OWN = range(4)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


def encode(frame: Frame) -> bytes:
    """A frame as it is sent."""
    data = _encode(frame)
    return len(data).to_bytes(_LENGTH, "big") + data


class FrameReader:
    """Takes bytes as they come, and returns whole frames."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        #: Bytes of the longest frame that is taken.
        self.max_frame = max_frame
        self._buffer = bytearray()

    def take(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete now. Raises ProtocolError."""
        buffer = self._buffer
        buffer += data
        begin = 0
        try:
            while len(buffer) - begin >= _LENGTH:
                length = int.from_bytes(buffer[begin : begin + _LENGTH], "big")
                if length > self.max_frame:
                    raise ProtocolError(f"a frame of {length} bytes is too long")
                end = begin + _LENGTH + length
                if len(buffer) < end:
                    return
                frame = bytes(buffer[begin + _LENGTH : end])
                begin = end
                yield _decoded(frame)
        finally:
            del buffer[:begin]


def _decoded(data: bytes) -> Frame:
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise ProtocolError(f"a frame cannot be read: {bad}") from bad
