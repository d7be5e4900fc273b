"""The parent's side of a command stream: whose answer it is, and what is sent when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import socket

from shmooze.errors import ModuleError
from shmooze.modules.channel.command_stream import Answer, CommandStream, Superseded, Withdrawn
from shmooze.modules.channel.stream import StreamEnded
from shmooze.modules.channel.tcp import Listener
from shmooze.runtime.patience import Patience

#: Seconds that nothing here takes, unless it hangs.
LONG = 20.0


class Peer:
    """The child's end of a command stream, and what the parent has been told of the stream."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, bool]] = []
        self.stream = CommandStream(lambda *end: self.ends.append(end))
        listener = Listener("127.0.0.1", self.stream)
        listener.accept(lambda connection: True)
        self.socket = socket.create_connection(("127.0.0.1", listener.port))
        self.stream.connected.get(timeout=LONG)
        self._lines = self.socket.makefile("rb")

    def close(self) -> None:
        self._lines.close()
        self.socket.close()

    def hear(self) -> str:
        """The next command; empty at the end of the stream."""
        with gevent.Timeout(LONG):
            line = self._lines.readline()
        return json.loads(line)["cmd"] if line else ""

    def answer(self, result: Any) -> None:
        self.socket.sendall(json.dumps({"success": True, "result": result}).encode() + b"\n")

    def ask(self, cmd: str, args: dict[str, Any] | None = None) -> gevent.Greenlet:
        """Make a request in a greenlet; its value is the answer, or what was raised."""
        return gevent.spawn(outcome, self.stream.request, cmd, args, Patience(LONG))


def outcome(request: Callable[..., Answer], *args: Any) -> Any:
    try:
        return request(*args).result
    except ModuleError as bad:
        return bad


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.stream.close()
    peer.close()


def test_answers_reach_those_who_asked_one_after_the_other(peer: Peer) -> None:
    first, second = peer.ask("one"), peer.ask("two")
    assert peer.hear() == "one"
    peer.answer(1)
    assert peer.hear() == "two"
    peer.answer(2)
    assert (first.get(timeout=LONG), second.get(timeout=LONG)) == (1, 2)


@pytest.mark.parametrize("how", ["a timeout of the caller's own", "a kill", "the patience"])
def test_request_that_is_given_up_ends_the_stream(peer: Peer, how: str) -> None:
    def give_up() -> None:
        if how == "the patience":
            outcome(peer.stream.request, "one", None, Patience(0.05))
        with gevent.Timeout(0.05 if "timeout" in how else LONG, False):
            peer.stream.request("one", None, Patience(LONG))

    first = gevent.spawn(give_up)
    assert peer.hear() == "one"
    second = peer.ask("two")
    if how == "a kill":
        first.kill()
    first.join(LONG)
    peer.answer("late")
    assert isinstance(second.get(timeout=LONG), StreamEnded)
    reason = "within 0.05 s" if how == "the patience" else "before its caller gave up"
    assert peer.ends[0] == (f"did not answer `one` {reason}", True)


def test_request_that_is_given_up_before_its_turn_disturbs_nobody(peer: Peer) -> None:
    first, second = peer.ask("one"), peer.ask("two")
    assert peer.hear() == "one"
    second.kill()
    peer.answer(1)
    assert first.get(timeout=LONG) == 1
    assert peer.ends == []


def test_command_that_is_not_wanted_any_more_at_its_turn_is_not_sent(peer: Peer) -> None:
    wanted = True

    def ask() -> Any:
        try:
            request = peer.stream.request_in_line
            return request("two", None, Patience(LONG), lambda: not wanted)
        except Withdrawn as withdrawn:
            return withdrawn

    first = peer.ask("one")
    assert peer.hear() == "one"
    second, third = gevent.spawn(ask), peer.ask("three")
    gevent.idle()
    wanted = False
    peer.answer(1)
    assert peer.hear() == "three"
    peer.answer(3)
    assert first.get(timeout=LONG) == 1
    assert isinstance(second.get(timeout=LONG), Withdrawn)
    assert third.get(timeout=LONG) == 3


# the last command


def test_last_command_is_sent_at_once_and_gets_its_own_answer(peer: Peer) -> None:
    first, second = peer.ask("one"), peer.ask("two")
    assert peer.hear() == "one"
    last = gevent.spawn(outcome, peer.stream.request_final, "rm", None, Patience(LONG))
    assert peer.hear() == "rm"
    assert isinstance(first.get(timeout=LONG), Superseded)
    assert isinstance(second.get(timeout=LONG), Superseded)
    peer.answer("late")
    peer.answer("gone")
    assert last.get(timeout=LONG) == "gone"
    assert peer.ends == []


def test_after_the_last_command_nothing_is_sent(peer: Peer) -> None:
    last = gevent.spawn(outcome, peer.stream.request_final, "rm", None, Patience(LONG))
    assert peer.hear() == "rm"
    assert isinstance(peer.ask("two").get(timeout=LONG), Superseded)
    assert peer.stream.hang_up("rm")
    assert peer.hear() == ""
    peer.answer("gone")
    assert last.get(timeout=LONG) == "gone"


def test_last_command_is_said_once_to_a_child_that_is_late(peer: Peer) -> None:
    late = outcome(peer.stream.request_final, "rm", None, Patience(0))
    assert str(late) == "did not answer `rm` in time"
    peer.stream.hang_up("rm")
    assert [peer.hear(), peer.hear()] == ["rm", ""]


# a child that does not read


@pytest.mark.parametrize("given_up", [False, True])
def test_command_that_is_half_sent_is_never_cut_by_the_last_one(peer: Peer, given_up: bool) -> None:
    first = peer.ask("long", {"text": "x" * (8 << 20)})
    gevent.idle()
    if given_up:
        first.kill()
    assert peer.stream.hang_up("rm")
    assert [peer.hear(), peer.hear(), peer.hear()] == ["long", "rm", ""]


def test_child_that_never_reads_keeps_nobody_who_gives_up(peer: Peer) -> None:
    args = {"text": "x" * (8 << 20)}
    late = outcome(peer.stream.request, "long", args, Patience(0.05))
    assert str(late) == "did not answer `long` within 0.05 s"
