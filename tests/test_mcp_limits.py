"""What many clients, or one server, cost an MCP module at the most. No process is started."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from fakes import FakeClock, run_until_idle
from msgspec import Raw

from shmooze.adapters.mcp.calls import Reply
from shmooze.adapters.mcp.connection import Connection
from shmooze.adapters.mcp.hub import Hub
from shmooze.adapters.mcp.outbox import Outbox
from shmooze.adapters.mcp.session import Session
from shmooze.adapters.mcp.sessions import Sessions
from shmooze.adapters.mcp.stream import HEARTBEAT, EventStream
from shmooze.adapters.mcp.toolbox import Toolbox
from shmooze.adapters.mcp.tools import Tool
from shmooze.errors import CommandError, ModuleError
from shmooze.runtime.patience import Patience


class Pipes:
    """Standard input and output of a server in memory."""

    piece = 0

    def __init__(self) -> None:
        self.sent = b""
        #: Bytes that the server reads; None: any number.
        self.room: int | None = None
        self.receive: Callable[[bytes], None] = lambda data: None

    @property
    def messages(self) -> list[Any]:
        return [json.loads(line) for line in self.sent.splitlines()]

    def read_with(self, receive: Callable[[bytes], None]) -> None:
        self.receive = receive

    def print(self, *messages: Any) -> None:
        """What the server prints: texts as they are, other values as JSON."""
        for each in messages:
            line = each if isinstance(each, str) else json.dumps(each)
            self.receive(line.encode() + b"\n")

    def write(self, data: bytes) -> int:
        taken = data if self.room is None else data[: self.room]
        if self.room is not None:
            self.room -= len(taken)
        self.sent += taken
        return len(taken)

    def write_all(self, data: bytes) -> None:
        while data := data[self.write(data) :]:
            gevent.sleep(0.001)

    def end_writing(self) -> None:
        pass

    def stop_reading(self) -> None:
        pass

    def wait_end(self, timeout: float) -> None:
        pass

    def close(self) -> None:
        pass


class Server:
    """A connection to a server in memory, and what has become of it."""

    def __init__(self) -> None:
        self.pipes = Pipes()
        self.ends: list[tuple[str, bool]] = []
        self.notifications: list[str] = []
        self.noise: list[str] = []
        self.connection = Connection(
            lambda reason, is_breach: self.ends.append((reason, is_breach)),
            lambda method, params: self.notifications.append(method),
            self.noise.append,
        )
        self.connection.attach(self.pipes)
        self.replies: list[Reply] = []

    @property
    def outbox(self) -> Outbox:
        assert self.connection._outbox is not None
        return self.connection._outbox

    def begin(self, method: str = "ping", **keywords: Any) -> int:
        return self.connection.begin(method, None, self.replies.append, **keywords)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def hub(server: Server, clock: FakeClock) -> Hub:
    hub = Hub()
    hub.open(SimpleNamespace(connection=server.connection))  # type: ignore[arg-type]
    return hub


# The connection.


def test_answers_are_matched_by_their_numbers(server: Server) -> None:
    first, second = server.begin(), server.begin()
    server.pipes.print({"id": second, "result": 2}, {"id": first, "error": {"code": 1}})
    assert [reply.result and bytes(reply.result) for reply in server.replies] == [b"2", None]
    assert server.connection.calls == {}


@pytest.mark.parametrize("id", [99, "1", True, 1.0, None])
def test_an_answer_that_nobody_waits_for_is_dropped(server: Server, id: Any) -> None:
    server.begin()
    server.pipes.print({"id": id, "result": {}})
    assert server.replies == []
    assert server.ends == []


def test_a_late_answer_to_a_cancelled_request_is_dropped(server: Server) -> None:
    number = server.begin()
    server.connection.cancel(number, "why")
    server.pipes.print({"id": number, "result": {}})
    assert server.replies == []
    assert server.pipes.messages[-1]["params"] == {"requestId": number, "reason": "why"}


@pytest.mark.parametrize("token", ["1", True, 7, None, [1]])
def test_a_report_with_a_token_that_is_not_ours_reaches_nobody(server: Server, token: Any) -> None:
    reports: list[Any] = []
    server.begin(on_progress=reports.append)
    server.pipes.print({"method": "notifications/progress", "params": {"progressToken": token}})
    assert reports == []
    server.pipes.print({"method": "notifications/progress", "params": {"progressToken": 1}})
    assert len(reports) == 1


def test_requests_under_way_are_limited(server: Server) -> None:
    server.connection.max_calls = 2
    first = server.begin()
    server.begin()
    with pytest.raises(CommandError, match="too many requests"):
        server.begin()
    server.connection.cancel(first, "")
    server.begin()


def test_what_a_server_does_not_read_is_limited(server: Server) -> None:
    server.pipes.room, server.outbox.max_bytes = 10, 200
    server.begin()  # a part of it is written
    server.begin()
    with pytest.raises(CommandError, match="is not reading its input"):
        for _ in range(10):
            server.begin()
    server.pipes.room = None
    gevent.sleep(0.02)
    ids = [message["id"] for message in server.pipes.messages]
    assert ids == [*server.connection.calls]  # each whole, and none twice
    server.begin()
    server.connection.close()


def test_a_server_that_asks_and_does_not_read_breaks_the_protocol(server: Server) -> None:
    server.pipes.room, server.outbox.max_bytes = 0, 200
    for number in range(10):
        server.pipes.print({"id": number, "method": "ping"})
    assert server.ends == [("sends requests and does not read the answers", True)]
    server.connection.close()


def test_lines_that_are_not_messages_are_limited_until_the_first_message(server: Server) -> None:
    server.connection.max_noise = 3
    server.pipes.print("", "starting", "{", {"jsonrpc": "2.0", "method": "x"})
    assert server.noise == ["starting", "{"]
    server.pipes.print(*["more"] * 10)
    assert server.ends == []
    other = Server()
    other.connection.max_noise = 3
    other.pipes.print(*["\x1b[1mhello"] * 4)
    ((reason, is_breach),) = other.ends
    assert "is not an MCP server" in reason
    assert "\x1b" not in reason
    assert is_breach


def test_lists_of_messages_are_taken_one_by_one(server: Server) -> None:
    number = server.begin()
    server.pipes.print([{"method": "x"}, {"id": number, "result": {}}, {"method": "y"}])
    assert server.notifications == ["x", "y"]
    assert len(server.replies) == 1


def test_bytes_that_are_not_text_reach_nobody(server: Server) -> None:
    server.begin()
    server.pipes.receive(b'{"id": 1, "result": "\xff"}\n')
    assert server.replies == []
    assert len(server.noise) == 1


def test_who_waits_is_told_when_the_server_ends(server: Server, clock: FakeClock) -> None:
    waiting = gevent.spawn(server.connection.ask, "ping", None, Patience(5))
    run_until_idle()
    server.pipes.receive(b"")
    run_until_idle()
    assert isinstance(waiting.exception, ModuleError)
    with pytest.raises(ModuleError):
        server.begin()


# A stream of events.


def test_a_stream_drops_the_oldest_of_what_a_client_does_not_take() -> None:
    stream = EventStream("1")
    stream.max_events, stream.max_bytes = 3, 100
    for number in range(5):
        stream.put(b"%d" % number)
    stream.put(b"x" * 1000, is_answer=True)
    stream.end()
    assert stream.messages == [b"x" * 1000]
    assert [*stream.read(0)][1:] == [b"id: 1-6\ndata: %b\n\n" % (b"x" * 1000)]
    assert stream.has_all


def test_the_latest_reader_of_a_stream_takes_it_over() -> None:
    stream = EventStream("1")
    first = stream.read(0)
    assert next(first) == HEARTBEAT
    second = stream.read(0)
    assert next(second) == HEARTBEAT
    assert [*first] == []
    assert stream.is_read
    stream.put(b"x")
    assert b"data: x" in next(second)
    second.close()
    assert not stream.is_read


# Sessions.


def test_one_client_has_only_so_many_requests_under_way(hub: Hub, server: Server) -> None:
    session = hub.sessions.add(None, "2025-11-25")
    assert session is not None
    session.max_requests = 2
    stream = session.begin([{"id": n, "method": "ping", "params": None} for n in range(3)])
    (refusal,) = map(json.loads, stream.messages)
    assert refusal["id"] == 2
    assert "too many requests" in refusal["error"]["message"]
    other = hub.sessions.add(None, "2025-11-25")
    assert other is not None
    assert other.begin([{"id": 0, "method": "ping", "params": None}]).messages == []


def test_a_request_whose_stream_is_not_read_ends_after_a_while(
    hub: Hub, server: Server, clock: FakeClock
) -> None:
    session = hub.sessions.add(None, "2025-11-25")
    assert session is not None
    session.grace = 0.01
    stream = session.begin([{"id": 1, "method": "ping", "params": None}])
    reader = stream.read(0)
    next(reader)
    reader.close()
    session.leave(stream)
    assert session.is_busy
    gevent.sleep(0.02)
    assert not session.is_busy
    assert server.pipes.messages[-1]["method"] == "notifications/cancelled"


def test_unused_sessions_end(clock: FakeClock, hub: Hub) -> None:
    sessions = hub.sessions
    session = sessions.add("ada", "2025-11-25")
    assert session is not None
    assert sessions.find(session.id, "bob") is None
    assert sessions.find(session.id, "ada") is session
    clock.seconds += sessions.lifetime + 1
    assert sessions.find(session.id, "ada") is None
    assert len(sessions) == 0


def test_a_session_that_is_read_does_not_end(clock: FakeClock, hub: Hub) -> None:
    session = hub.sessions.add(None, "2025-11-25")
    assert session is not None
    reader = session.general.read(0)
    next(reader)
    clock.seconds += hub.sessions.lifetime + 1
    assert hub.sessions.find(session.id, None) is session
    reader.close()


def test_for_a_new_session_one_of_whoever_has_most_ends(clock: FakeClock, hub: Hub) -> None:
    ended: list[Session] = []
    sessions = Sessions(hub, ended.append)
    sessions.max_sessions = 4
    kept = sessions.add("ada", "2025-11-25")
    made = []
    for _ in range(3):
        clock.seconds += 1
        made.append(sessions.add("bob", "2025-11-25"))
    assert sessions.add("eve", "2025-11-25") is not None
    assert ended == [made[0]]
    readers = [session.general.read(0) for session in sessions]
    for reader in readers:
        next(reader)
    assert sessions.add("eve", "2025-11-25") is None
    assert kept in [*sessions]


def test_subscriptions_of_a_client_are_limited(hub: Hub, server: Server) -> None:
    session = hub.sessions.add(None, "2025-11-25")
    assert session is not None
    session.max_subscriptions = 1
    for number in (1, 2):
        params = {"uri": f"test://{number}"}
        stream = session.begin([{"id": 1, "method": "resources/subscribe", "params": params}])
        if number == 1:
            server.pipes.print({"id": server.pipes.messages[-1]["id"], "result": {}})
    message = json.loads(stream.messages[0])["error"]["message"]
    assert message == "the server has reached the subscription limit (1 per client)"


def test_the_log_of_a_call_reaches_nobody_else(hub: Hub, server: Server) -> None:
    one, other = (hub.sessions.add(None, "2025-11-25") for _ in range(2))
    assert one is not None
    assert other is not None
    hub.take_notification("notifications/message", Raw(b'{"level":"error"}'))
    assert len(one.general.messages) == len(other.general.messages) == 1
    mine = one.begin([{"id": 1, "method": "tools/call", "params": {}}])
    hub.take_notification("notifications/message", Raw(b'{"level":"error"}'))
    assert len(mine.messages) == 1
    theirs = other.begin([{"id": 1, "method": "tools/call", "params": {}}])
    hub.take_notification("notifications/message", Raw(b'{"level":"error"}'))
    assert len(mine.messages) == 1
    assert theirs.messages == []
    assert len(one.general.messages) == len(other.general.messages) == 1


# Tools.


class Lister:
    """A server with ever other tools, as a Toolbox knows it."""

    def __init__(self) -> None:
        self.lists = 0

    def list_tools(self, patience: Patience) -> list[Tool]:
        self.lists += 1
        return [Tool(f"tool{min(self.lists, 3)}")]


def test_tools_that_change_all_the_time_are_listed_now_and_then(clock: FakeClock) -> None:
    server, changes = Lister(), list[Any]()
    tools = Toolbox(server, changes.append)  # type: ignore[arg-type]
    for _ in range(10):
        tools.list_again()
        clock.advance(tools.list_pause / 4)
    clock.advance(10)
    assert server.lists == 4
    assert [[*each] for each in changes] == [["tool1"], ["tool2"], ["tool3"]]  # each set once
    tools.close()


class Piece(bytes):
    """Bytes that are not to be added to others one by one."""

    def __radd__(self, before: bytes) -> bytes:
        raise AssertionError(f"{len(before)} bytes are moved once more")


def test_a_long_line_in_small_pieces_is_joined_once(server: Server) -> None:
    """Otherwise it takes time by the square of its length: seconds for an image."""
    server.begin()
    line = json.dumps({"id": 1, "result": "x" * 5000}).encode() + b'\n{"method": "x"}\n{"met'
    for begin in range(0, len(line), 100):
        server.pipes.receive(Piece(line[begin : begin + 100]))
    server.pipes.receive(b'hod": "y"}\n')
    assert [len(reply.result or b"") for reply in server.replies] == [5002]
    assert server.notifications == ["x", "y"]


def test_a_line_over_the_limit_ends_the_connection_before_it_is_complete(server: Server) -> None:
    server.connection.max_line = 1000
    for _ in range(10):
        server.pipes.receive(b"x" * 100)
    assert server.ends == []
    server.pipes.receive(b"x\n")
    assert server.ends == [("sent a line over 0 MiB on its standard output", True)]
