"""What guards and services say to each other: frames, links that break, leases, the door."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import gevent
import msgspec
import pytest
from fakes import FakeClock, fake_clock
from gevent import socket as gevent_socket
from gevent import ssl
from hypothesis import given, settings
from hypothesis import strategies as st
from support import PATIENCE

from shmooze.cluster.certificates import context_of, make_certificates
from shmooze.cluster.door import UNKNOWN, Door
from shmooze.cluster.lease import Fence, Lease, SharedDeadline, Timing, node_clock
from shmooze.cluster.link import Link
from shmooze.cluster.protocol import (
    MAX_HELLO,
    VERSION,
    Content,
    Credit,
    EndOfStream,
    FrameReader,
    Hello,
    Numbered,
    Piece,
    ProtocolError,
    Received,
    Refused,
    Welcome,
    encode,
)
from shmooze.cluster.session import Session
from shmooze.cluster.streams import CarriedStream
from shmooze.cluster.ticket import Ticket, read, write
from shmooze.errors import ShmoozeError

TIMING = Timing(lease=30.0)


# Frames.


@given(st.lists(st.binary(max_size=50)), st.integers(min_value=1, max_value=20))
def test_frames_are_whole_however_they_come(contents: list[bytes], size: int) -> None:
    sent = [Numbered(number, Piece(3, data)) for number, data in enumerate(contents)]
    stream = b"".join(map(encode, sent))
    reader, got = FrameReader(), []
    for begin in range(0, len(stream), size):
        got += reader.take(stream[begin : begin + size])
    assert got == sent


@pytest.mark.parametrize(
    "data",
    [b"\0\0\0\1\xc1", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\2\x91\1", b"GET / HTTP/1.1\r\n"],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(FrameReader().take(data))


def test_a_stranger_can_send_no_long_frame() -> None:
    with pytest.raises(ProtocolError, match="too long"):
        list(FrameReader(MAX_HELLO).take((MAX_HELLO + 1).to_bytes(4, "big")))


def test_a_ticket_shows_no_secret_and_cannot_be_guessed_from_errors() -> None:
    ticket = Ticket(["127.0.0.1:1"], "session", "a-secret", TIMING)
    assert "a-secret" not in repr(ticket)
    assert read(write(ticket)) == ticket
    with pytest.raises(ShmoozeError) as bad:
        read('{"secret": "a-secret"}')
    assert "a-secret" not in str(bad.value)


# Links.


class Wire:
    """A connection in memory: what is written is taken by the other side, until it is cut."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        if not self.is_closed:
            self.frames.append(data)

    def close(self) -> None:
        self.is_closed = True


class Pair:
    """Two ends of a link."""

    def __init__(self) -> None:
        self.got: tuple[list[Content], list[Content]] = ([], [])
        self.links = (Link(self.got[0].append), Link(self.got[1].append))
        self.wires = (Wire(), Wire())
        self.connect()

    def connect(self) -> None:
        self.wires = (Wire(), Wire())
        received = [link.received for link in self.links]
        for number in (0, 1):
            self.links[number].attach(self.wires[number], received[1 - number])

    def carry(self, side: int, count: int) -> None:
        """Let the first frames that one side has written arrive."""
        other, frames = self.links[1 - side], self.wires[side].frames
        for data in frames[:count]:
            (frame,) = FrameReader().take(data)
            if isinstance(frame, Numbered):
                other.take(frame)
            elif isinstance(frame, Received):
                other.acknowledge(frame.received)
        del frames[:count]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(0, 1), st.integers(1, 40)),
            st.tuples(st.just("carry"), st.integers(0, 1), st.integers(1, 40)),
            st.just(("cut", 0, 0)),
        ),
        max_size=40,
    )
)
@settings(max_examples=200, deadline=None)
def test_every_message_arrives_once_and_in_order(steps: list[tuple[str, int, int]]) -> None:
    pair, sent = Pair(), ([], [])
    for action, side, count in steps:
        if action == "cut":
            pair.connect()
        elif action == "carry":
            pair.carry(side, count)
        else:
            for _ in range(count):
                message = Credit(3, len(sent[side]))
                sent[side].append(message)
                pair.links[side].send(message)
    pair.connect()
    for side in (0, 1):
        pair.carry(side, 1 << 20)
    assert pair.got == (sent[1], sent[0])
    pair.connect()
    assert [link.unacknowledged for link in pair.links] == [0, 0]


def test_a_missing_message_is_noticed() -> None:
    link = Link(lambda message: None)
    with pytest.raises(ProtocolError):
        link.take(Numbered(2, Credit(3, 1)))


def test_a_stream_is_written_no_faster_than_it_is_read() -> None:
    sent: list[Content] = []
    stream = CarriedStream(3, sent.append)
    assert stream.write(b"x" * (1 << 20)) == CarriedStream.window
    writing = gevent.spawn(stream.write_all, b"y")
    gevent.idle()
    assert not writing.ready()
    assert stream.has_unread()
    stream.take(Credit(3, CarriedStream.window))
    writing.join(PATIENCE)
    assert sent[-1] == Piece(3, b"y")
    stream.lose()
    with pytest.raises(BrokenPipeError):
        stream.write(b"z")


def test_the_end_of_a_stream_is_read_after_its_bytes() -> None:
    got: list[bytes] = []
    stream = CarriedStream(3, lambda message: None)
    stream.take(Piece(3, b"a"))
    stream.take(EndOfStream(3))
    stream.read_with(got.append)
    stream.wait_end(PATIENCE)
    assert got == [b"a", b""]


# Leases.


def test_a_lease_counts_from_the_moment_when_its_beat_was_sent() -> None:
    now = [0.0]
    lease = Lease(TIMING, lambda: now[0])
    beat = lease.beat()
    now[0] = 20.0  # the answer comes late
    lease.answered(beat)
    assert lease.left == 10.0
    lease.answered(beat + 1)  # which was never sent
    assert lease.left == 10.0


@given(
    st.floats(0, 29),
    st.floats(0, 100),
    st.floats(0.995, 1.005),
    st.floats(0.995, 1.005),
)
def test_a_module_counts_as_lost_only_when_its_lease_is_over(
    there: float, back: float, node_speed: float, service_speed: float
) -> None:
    """Whatever the network delays, and though both clocks run at speeds of their own."""
    sent, answered = 0.0, there  # in true time; the answer arrives `back` later, or not at all
    lease_ends = sent + TIMING.lease / node_speed
    with fake_clock() as clock:
        clock.advance(answered * service_speed)
        fence = Fence(TIMING)
        fence.answered()
        believed = clock.now() + fence.left
    assert believed / service_speed >= lease_ends + TIMING.ending / 2


def test_a_deadline_is_seen_by_a_forked_process_too() -> None:
    deadline = SharedDeadline()
    assert not deadline.is_over()
    deadline.set(node_clock() - 1)
    assert deadline.is_over()


# The door.


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door("127.0.0.1", 0, TIMING, None)
    door.open()
    yield door
    door.close()


def expect(door: Door) -> Session:
    return door.expect("test", lambda message: None, lambda: None)


def hello(of: Session, **changes: object) -> Hello:
    own = Hello(VERSION, of.number, of.secret, "guard", "node", 0)
    return msgspec.structs.replace(own, **changes)


def knock(door: Door, first: Hello, wrap: Callable = lambda connected: connected) -> object:
    """The answer of the door to a first frame."""
    plain = gevent_socket.create_connection(("127.0.0.1", door.port))
    with closing(plain), closing(wrap(plain)) as connected:
        connected.sendall(encode(first))
        for frame in FrameReader().take(connected.recv(1 << 16)):
            return frame
    return None


def test_the_door_lets_in_who_has_the_secret_and_nobody_after_him(door: Door) -> None:
    session = expect(door)
    assert knock(door, hello(session, secret="guessed")) == Refused(UNKNOWN)
    assert knock(door, hello(session, session="another")) == Refused(UNKNOWN)
    assert knock(door, hello(session, version=0)) == Refused(
        f"the node has version 0 of the protocol, its service {VERSION}"
    )
    assert knock(door, hello(session)) == Welcome(0)
    assert session.joined.get() == "node"
    assert knock(door, hello(session, guard="second")) == Refused(
        "another guard has this ticket already"
    )
    assert knock(door, hello(session)) == Welcome(0)  # the first one comes back
    door.forget(session)
    assert knock(door, hello(session)) == Refused(UNKNOWN)


def test_a_guard_that_was_never_let_in_counts_for_nothing(door: Door, clock: FakeClock) -> None:
    lost: list[bool] = []
    session = door.expect("test", lambda message: None, lambda: lost.append(True))
    clock.advance(TIMING.bound * 2)
    session.check()
    assert lost == []


def test_a_session_is_lost_once_and_lets_nobody_in_then(door: Door, clock: FakeClock) -> None:
    lost: list[bool] = []
    session = door.expect("test", lambda message: None, lambda: lost.append(True))
    assert knock(door, hello(session)) == Welcome(0)
    clock.advance(TIMING.bound - 1)
    session.check()
    assert lost == []
    clock.advance(2)
    session.check()
    session.check()
    assert lost == [True]
    assert knock(door, hello(session)) == Refused("this ticket is not valid any more")


def test_off_loopback_both_sides_must_show_a_certificate_of_the_service() -> None:
    service, guard = make_certificates(["service.example.org", "127.0.0.1"])
    _, of_another = make_certificates(["127.0.0.1"])
    door = Door("127.0.0.1", 0, TIMING, context_of(service, is_server=True))
    door.open()
    try:
        session = expect(door)
        shown = context_of(guard, is_server=False)
        assert knock(door, hello(session), shown.wrap_socket) == Welcome(0)
        strangers = [context_of(of_another, is_server=False), anonymous(), None]
        for context in strangers:
            with pytest.raises((OSError, StopIteration, AssertionError)):
                wrap = (lambda plain: plain) if context is None else context.wrap_socket
                assert knock(door, hello(session), wrap) is not None
        # Guards cannot pass for the door: their certificates are for clients only.
        impostor = Door("127.0.0.1", 0, TIMING, context_of(guard, is_server=True))
        impostor.open()
        with pytest.raises(OSError, match="purpose"):
            knock(impostor, hello(session), shown.wrap_socket)
        impostor.close()
    finally:
        door.close()


def anonymous() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
