"""The client: commands, items and events, with services made of bytes and with real ones."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from conftest import EXAMPLES, JOBS
from hypothesis import given
from hypothesis import strategies as st
from raw_service import RawService, ok
from support import PATIENCE, Site, connections_to, free_ports, in_fresh_interpreter, wait_until

from shmooze.client import (
    Client,
    CommandRefused,
    EventStream,
    InvalidArgument,
    Item,
    ItemChanges,
    PacketError,
    Service,
    ServiceTimeout,
    ShmoozeError,
    UnknownItem,
    Unreachable,
    WaitTimeout,
)
from shmooze.client.events import read_events
from shmooze.client.state import apply

OBJECT = {"type": "object"}
#: What a queue with a state file says of itself, as far as the client looks.
KEEPS_STATE: dict[str, Any] = {
    "add": {"changes": True, "args": {**OBJECT, "properties": {"type": {}, "key": {}}}},
    "rm": {"changes": True, "args": OBJECT},
    "queue": {"changes": False, "args": OBJECT},
    "history": {"changes": False, "args": OBJECT},
}
FORGETS = {cmd: each for cmd, each in KEEPS_STATE.items() if cmd != "history"}
WITHOUT_KEY = {**KEEPS_STATE, "add": {"changes": True, "args": {**OBJECT, "properties": {}}}}


def packet(result: Any) -> bytes:
    return ok(json.dumps({"success": True, "result": result}).encode())


def refusal(error: str) -> bytes:
    return ok(json.dumps({"success": False, "error": error}).encode())


def with_status(status: str, body: bytes = b"", head: str = "") -> bytes:
    lines = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n"
    return lines.encode() + body


Answer = Callable[[dict[str, Any]], "bytes | None"]


@contextmanager
def raw_service(answer: Answer) -> Iterator[tuple[Service, RawService]]:
    """A service behind a gateway, both made of bytes. `answer` gets each packet."""
    (port,) = free_ports(1)
    raw = RawService(port, lambda body: answer(json.loads(body)) if body else packet(None))
    with Client(f"http://127.0.0.1:{port}/") as client, raw:
        service = client.service("queue")
        service.retry_pauses = (0.0, 0.0)
        yield service, raw


def sent(raw: RawService) -> list[dict[str, Any]]:
    return [json.loads(body) for body in raw.bodies]


# Commands


def test_keywords_are_arguments_of_the_module_and_beside_a_dict_those_of_add() -> None:
    with raw_service(lambda _: packet({"uid": "u"})) as (queue, raw):
        queue.add("door", key=5, type="oak", seconds=3)
        queue.add("door", {"key": 5}, key="mine")
        queue.set_bg("door", {})
    first, second, third = (each["args"] for each in sent(raw))
    assert first.pop("key") != third.pop("key")
    assert first == {"type": "door", "args": {"key": 5, "type": "oak", "seconds": 3}}
    assert second == {"type": "door", "args": {"key": 5}, "key": "mine"}
    assert third == {"type": "door", "args": {}}


def test_every_command_is_a_method_and_any_name_can_be_sent() -> None:
    with raw_service(lambda asked: packet(asked)) as (queue, _):
        assert queue.set_vol(vol=3) == {"cmd": "set_vol", "args": {"vol": 3}}
        assert queue.set_vol({"vol": 3}) == {"cmd": "set_vol", "args": {"vol": 3}}
        assert queue.command("add", cmd=1) == {"cmd": "add", "args": {"cmd": 1}}
        with pytest.raises(InvalidArgument, match="not both"):
            queue.set_vol({"vol": 3}, vol=3)
        with pytest.raises(InvalidArgument, match="cannot be sent as JSON"):
            queue.set_vol(vol={1, 2})
        with pytest.raises(AttributeError):
            _ = queue._private


def test_service_is_an_attribute_or_an_item() -> None:
    client = Client("http://127.0.0.1:1/api")
    assert client.queue is client["queue"] is client.service("queue")
    assert client["a/b"].url == "http://127.0.0.1:1/api/a%2Fb"
    assert repr(client) == "<Client http://127.0.0.1:1/api>"


def test_refusal_has_the_words_of_the_service() -> None:
    with (
        raw_service(lambda _: refusal("no such \x1b thing")) as (queue, _),
        pytest.raises(CommandRefused, match=r"^no such \\x1b thing$") as refused,
    ):
        queue.queue()
    assert refused.value.status == 200
    assert isinstance(refused.value, ShmoozeError)


FAILURE = b'{"success": false, "error": "no"}'


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        ("401 x", FAILURE, CommandRefused, "no; see SHMOOZE_TOKEN and `token`"),
        ("404 x", FAILURE, CommandRefused, "no"),
        ("413 x", FAILURE, CommandRefused, "no"),
        ("429 x", FAILURE, CommandRefused, "no"),
        ("502 x", FAILURE, Unreachable, "URL: no"),
        ("503 x", FAILURE, Unreachable, "URL: no"),
        ("504 x", FAILURE, ServiceTimeout, "URL: no"),
        ("502 x", b"<html>", Unreachable, "URL: the answer is not a packet (HTTP status 502)"),
        ("200 x", b"<html>", PacketError, "URL: the answer is not a packet (HTTP status 200)"),
        ("200 x", b"[]", PacketError, "URL: the answer is not a packet (HTTP status 200)"),
        ("200 x", b'{"success": 1}', PacketError, "URL: the answer is not a packet"),
    ],
)
def test_status_decides_on_the_exception(
    status: str, body: bytes, kind: type[ShmoozeError], words: str
) -> None:
    answer = with_status(status, body, "Retry-After: 7\r\n")
    with raw_service(lambda _: answer) as (queue, _), pytest.raises(kind) as raised:
        queue.rm(uids=[])
    assert str(raised.value).startswith(words.replace("URL", queue.url))
    if isinstance(raised.value, CommandRefused):
        assert (raised.value.status, raised.value.retry_after) == (int(status[:3]), 7)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8080", "is not a URL such as"),
        ("ftp://localhost/", "is not a URL such as"),
        ("http://localhost:0/", "is not a URL such as"),
        ("http://localhost:http/", "invalid URL"),
        ("http://ada:secret@localhost/", "neither a user name nor a query"),
        ("http://localhost/?x=1", "neither a user name nor a query"),
    ],
)
def test_invalid_url_is_refused(url: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as refused:
        Client(url)
    assert "secret" not in str(refused.value)


def test_token_comes_from_the_argument_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def header(token: str | None) -> dict[str, str]:
        return Client("http://localhost/", token)._connections._headers

    monkeypatch.setenv("SHMOOZE_TOKEN", "env\n")
    assert header(None) == {"Authorization": "Bearer env"}
    assert header("own") == {"Authorization": "Bearer own"}
    assert header("") == {}
    with pytest.raises(InvalidArgument, match="the token contains something other than"):
        header("two words")


# Connections that break


def answers(*each: bytes | None, described: dict[str, Any] | None) -> Answer:
    """Answer commands in turn, None by hanging up; `describe` is answered any time."""
    waiting = list(each)

    def answer(asked: dict[str, Any]) -> bytes | None:
        if asked["cmd"] == "describe":
            return refusal("unknown") if described is None else packet({"commands": described})
        return waiting.pop(0)

    return answer


def commands(raw: RawService) -> list[str]:
    return [each["cmd"] for each in sent(raw) if each["cmd"] != "describe"]


def test_command_that_changes_nothing_is_sent_again() -> None:
    answer = answers(None, None, packet(["x"]), described=KEEPS_STATE)
    with raw_service(answer) as (queue, raw):
        assert queue.queue() == ["x"]
    assert commands(raw) == ["queue"] * 3


@pytest.mark.parametrize("described", [KEEPS_STATE, None])
def test_command_that_may_change_something_is_sent_once(described: dict[str, Any] | None) -> None:
    with (
        raw_service(answers(None, described=described)) as (queue, raw),
        pytest.raises(Unreachable, match=r"^no answer from http://127\.0\.0\.1:") as broken,
    ):
        queue.rm(uids=[])
    assert commands(raw) == ["rm"]
    assert broken.value.may_have_run


def test_add_is_sent_again_with_its_key_if_the_service_keeps_state() -> None:
    answer = answers(None, packet({"uid": "u"}), described=KEEPS_STATE)
    with raw_service(answer) as (queue, raw):
        assert queue.add("door").uid == "u"
    first, second = (each for each in sent(raw) if each["cmd"] == "add")
    assert first == second
    assert len(first["args"]["key"]) == 32


def test_add_is_sent_once_if_the_service_forgets_keys() -> None:
    with raw_service(answers(None, described=FORGETS)) as (queue, raw), pytest.raises(Unreachable):
        queue.add("door")
    assert commands(raw) == ["add"]


def test_add_of_a_service_without_keys_gets_none() -> None:
    def answer(asked: dict[str, Any]) -> bytes:
        if asked["cmd"] == "describe":
            return packet({"commands": WITHOUT_KEY})
        unknown = "add: unknown argument `key`; known: `type`"
        return refusal(unknown) if "key" in asked["args"] else packet({"uid": "u"})

    with raw_service(answer) as (queue, raw):
        assert [queue.add("door").uid, queue.add("door").uid] == ["u", "u"]
        with pytest.raises(CommandRefused, match="unknown argument"):
            queue.add("door", {}, key="mine")
    assert commands(raw) == ["add"] * 4


def test_attempts_end_soon_if_the_connection_breaks_each_time() -> None:
    with raw_service(lambda _: None) as (queue, raw), pytest.raises(Unreachable):
        queue.queue()
    assert 1 < len(raw.bodies) < 10


def test_server_that_is_not_there_is_unreachable_at_once() -> None:
    (port,) = free_ports(1)
    with pytest.raises(Unreachable, match=r":\d+/queue: Connection refused$") as refused:
        Client(f"http://127.0.0.1:{port}/").queue.add("door")
    assert not refused.value.may_have_run


def test_answer_that_does_not_come_is_a_timeout() -> None:
    over = threading.Event()
    (port,) = free_ports(1)
    with (
        RawService(port, lambda _: over.wait(PATIENCE) and None),
        Client(f"http://127.0.0.1:{port}/", timeout=0.05) as client,
    ):
        with pytest.raises(ServiceTimeout, match=r"^no answer from http.* within 0.05 s$"):
            client.queue.queue()
        over.set()


def test_connections_are_used_again_and_closed_ones_replaced() -> None:
    with raw_service(lambda _: packet(1)) as (queue, raw):
        assert [queue.queue() for _ in range(3)] == [1, 1, 1]
        assert raw.accepted == 1
        raw._connections[-1].shutdown(2)
        wait_until(lambda: not connections_to(raw.port), "the client sees that it is closed")
        assert queue.rm(uids=[]) == 1
        assert (raw.accepted, len(raw.bodies)) == (2, 4)
        wait_until(lambda: connections_to(raw.port), "it is kept")
    assert not connections_to(raw.port)


def test_threads_share_a_client() -> None:
    with raw_service(lambda asked: packet(asked["args"]["n"])) as (queue, raw):
        results: dict[int, list[Any]] = {}

        def ask(n: int) -> None:
            results[n] = [queue.queue(n=n) for _ in range(20)]

        threads = [threading.Thread(target=ask, args=[n]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {n: [n] * 20 for n in range(4)}
    assert raw.accepted <= 4


# Events

SNAPSHOT: dict[str, Any] = {
    "modules": [
        {"uid": "a", "type": "x", "state": "playing", "parameters": {"left": 1, "of": 2}},
        {"uid": "b", "type": "x", "state": "held", "held": "why", "parameters": {}},
    ],
    "background": None,
}


def test_changes_add_up() -> None:
    state = apply({}, "snapshot", SNAPSHOT)
    set_and_unset = {"set": {"left": 0}, "unset": ["of", "nothing"]}
    changes = {"a": set_and_unset, "b": {"held": None, "state": "waiting"}}
    after = apply(state, "change", {"modules": changes})
    assert after["modules"] == [
        {"uid": "a", "type": "x", "state": "playing", "parameters": {"left": 0}},
        {"uid": "b", "type": "x", "state": "waiting", "parameters": {}},
    ]
    assert state == SNAPSHOT, "earlier states stay as they were"
    new = {"c": {"type": "y", "state": "starting", "label": "c!"}}
    after = apply(after, "change", {"modules": new, "order": ["b"], "background": "c"})
    assert [each["uid"] for each in after["modules"]] == ["b"]
    assert after["background"] == {"uid": "c", "parameters": {}, **new["c"]}
    assert apply(after, "change", {"background": None})["background"] is None


def test_terms_and_what_concerns_the_whole_service_add_up() -> None:
    state = apply({}, "snapshot", {**SNAPSHOT, "paused": {"suspend": False}})
    changes = {"a": {"waits": "needs gpu 1", "ups": 1}, "b": {"by": None}}
    state = apply(state, "change", {"modules": changes, "repeat": "all"})
    assert (state["modules"][0]["waits"], state["modules"][0]["ups"]) == ("needs gpu 1", 1)
    assert (state["paused"], state["repeat"]) == ({"suspend": False}, "all")
    gone = {"c": {"reason": "was removed"}}
    changes = {"a": {"waits": None, "ups": None}}
    state = apply(state, "change", {"modules": changes, "paused": None, "gone": gone})
    assert state == {
        "modules": [SNAPSHOT["modules"][0], {**SNAPSHOT["modules"][1], "by": None}],
        "background": None,
        "repeat": "all",
    }


STREAM = (
    b":\n\nid: i-1\nevent: snapshot\ndata: {}\n\n:\nretry: 5\n\nid: i-2\r\nevent: change\r\n"
    b"data: 1\r\ndata: 2\r\n\r\ndata: \xc3\xa4\n\nid: i-3\nevent: change\ndata: lost"
)


@given(st.lists(st.integers(0, len(STREAM))))
def test_events_are_the_same_however_the_bytes_arrive(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = (STREAM[begin:end] for begin, end in pairwise(places))
    assert list(read_events(pieces)) == [
        ("snapshot", "i-1", "{}"),
        ("change", "i-2", "1\n2"),
        ("message", "i-2", "ä"),
    ]


def event(number: int, kind: str, data: Any) -> bytes:
    return f"id: i-{number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class StreamingService(RawService):
    """A service of event streams: each request gets the next of these answers, and then its end
    unless it is only HEAD, or hears nothing. `requests` are the heads of all requests.
    """

    def __init__(self, port: int, *streams: bytes) -> None:
        super().__init__(port)
        self.requests: list[str] = []
        self._streams = list(streams)

    def _serve(self, connection: Any) -> None:
        with suppress(OSError):  # the client has hung up
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                if not (piece := connection.recv(1000)):
                    return
                head += piece
            self.requests.append(head.decode())
            if self._streams:
                connection.sendall(answer := self._streams.pop(0))
                if answer != HEAD:
                    connection.shutdown(2)


@contextmanager
def streaming(*streams: bytes) -> Iterator[tuple[EventStream, StreamingService]]:
    (port,) = free_ports(1)
    with (
        StreamingService(port, *streams) as raw,
        Client(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as client,
        client.queue.events() as events,
    ):
        events.first_pause = events._pause = 0.0
        yield events, raw


def test_stream_goes_on_after_the_last_event_when_its_connection_is_lost() -> None:
    first = HEAD + event(1, "snapshot", SNAPSHOT) + b"id: i-2\nevent: change\nda"
    second = HEAD + event(2, "change", {"order": ["b"]})
    third = with_status("502 x", FAILURE)
    with streaming(first, second, third, HEAD + event(9, "snapshot", SNAPSHOT)) as (events, raw):
        assert next(events) == {"event": "snapshot", "id": "i-1", "data": SNAPSHOT}
        assert next(events)["data"] == {"order": ["b"]}
        assert events.state == {"modules": SNAPSHOT["modules"][1:], "background": None}
        assert next(events)["id"] == "i-9"
        assert events.state == SNAPSHOT
        assert events.lost is None
    ids = [request.partition("Last-Event-ID: ")[2][:3] for request in raw.requests]
    assert ids == ["", "i-1", "i-2", "i-2"]


def test_stream_starts_over_after_an_invalid_event() -> None:
    bad = HEAD + event(1, "snapshot", SNAPSHOT) + event(2, "change", {"order": ["nobody"]})
    with streaming(bad, HEAD + event(3, "snapshot", SNAPSHOT)) as (events, raw):
        assert [next(events)["id"], next(events)["id"]] == ["i-1", "i-3"]
    assert "Last-Event-ID" not in raw.requests[1]


def test_silent_connection_is_replaced() -> None:
    with streaming(HEAD + event(1, "snapshot", SNAPSHOT), HEAD, HEAD) as (events, raw):
        next(events)
        events.silence = 0.5  # in which an answer comes on a busy machine, too
        reader = threading.Thread(target=lambda: list(events))
        reader.start()
        wait_until(lambda: len(raw.requests) > 2, "it connects again")
        assert events.lost == "no data for 0.5 s"
        events.close()
        reader.join(PATIENCE)
        assert not reader.is_alive()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (with_status("502 x", FAILURE), Unreachable, "queue: no$"),
        (with_status("401 x", FAILURE), CommandRefused, "^no; see SHMOOZE_TOKEN"),
        (ok(b"[]"), PacketError, "the answer is not a stream of events"),
        (b"", Unreachable, "^no answer from .*/queue/events: "),
    ],
)
def test_first_connection_of_a_stream_must_succeed(
    answer: bytes, kind: type[ShmoozeError], words: str
) -> None:
    with streaming(answer) as (events, _), pytest.raises(kind, match=words):
        next(events)


def test_stream_is_closed_by_another_thread_and_with_its_client() -> None:
    for end in ("stream", "client"):
        with streaming() as (events, raw):
            raw._streams = []
            begun = threading.Event()

            def read(events: EventStream = events, begun: threading.Event = begun) -> None:
                begun.set()
                assert list(events) == []

            reader = threading.Thread(target=read)
            reader.start()
            wait_until(lambda raw=raw: raw.requests, "it waits for an answer")
            raw.send(HEAD)
            if end == "stream":
                events.close()
            else:
                events._endpoint.connections.close()
            reader.join(PATIENCE)
            assert not reader.is_alive()
        assert list(events) == []


# Items


class FakeService:
    """Answers the batches of an item with the packets of a table, by command."""

    name = "queue"
    item: Any = "item needs `state_path` in the settings"
    output: Any = "no module with uid 'u' in queue"
    gone: Any = []

    def batch(self, *packets: dict[str, Any]) -> list[dict[str, Any]]:
        results = [getattr(self, each["cmd"], "unknown command") for each in packets]
        return [
            {"success": False, "error": result}
            if isinstance(result, str)
            else {"success": True, "result": result}
            for result in results
        ]


GONE = {"uid": "u", "type": "x", "state": "failed", "reason": "exited with status 3"}
KEPT = {"uid": "u", "state": "lost", "ended": "2026-11-24T13:37:00.123Z", "reason": "crashed"}
UNKNOWN = "no item with uid 'u' in queue or its history"


@pytest.mark.parametrize(
    ("output", "gone", "item", "expected"),
    [
        ([], [], None, (None, False)),  # it lives
        (None, [GONE], None, (GONE, True)),  # no history
        (None, [], KEPT, ({"state": "lost", **KEPT}, True)),  # `gone` has forgotten it
        (None, [GONE], KEPT, ({**GONE, **KEPT}, True)),
        (None, [GONE], {"uid": "u", "state": "starting"}, (None, False)),  # it comes back
        (None, [GONE], UNKNOWN, (GONE, False)),  # the service has not decided yet
    ],
)
def test_end_of_an_item_is_pieced_together(
    output: Any, gone: Any, item: Any, expected: tuple[Any, bool]
) -> None:
    service = FakeService()
    service.gone = gone
    service.output = FakeService.output if output is None else output
    service.item = FakeService.item if item is None else item
    assert Item(service, "u").look_for_end() == expected  # type: ignore[arg-type]


def test_item_that_the_service_does_not_know_is_an_error() -> None:
    for item in (FakeService.item, UNKNOWN):
        service = FakeService()
        service.item = item
        for question in (Item.wait, Item.show):
            with pytest.raises(UnknownItem, match=r"^queue knows no item u, or has forgotten it$"):
                question(Item(service, "u"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "at_first",
    [
        {"item": UNKNOWN},
        {"item": {"uid": "u", "state": "ending"}},  # it is being written
        {"item": UNKNOWN, "output": []},  # its last process has just ended
    ],
)
def test_end_is_asked_for_until_the_service_has_decided(at_first: dict[str, Any]) -> None:
    service = FakeService()
    service.gone = [GONE]
    vars(service).update(at_first)
    waits: list[float] = []

    class Events:
        state = {"modules": [], "background": None}

        def __iter__(self) -> Iterator[dict[str, Any]]:
            yield {"event": "change", "data": {"gone": {"u": {}}}}

        def sleep(self, seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                service.item, service.output = KEPT, FakeService.output

        def close(self) -> None:
            pass

    changes = ItemChanges(Item(service, "u"), Events())  # type: ignore[arg-type]
    assert list(changes) == [changes.end] == [{**GONE, **KEPT}]
    assert len(waits) == 3

    class Late(Events):
        def sleep(self, seconds: float) -> None:
            if seconds:
                raise WaitTimeout("the time to wait is over")

    service.item = UNKNOWN
    assert list(ItemChanges(Item(service, "u"), Late())) == [GONE]  # type: ignore[arg-type]


# A running application


@pytest.fixture(scope="module")
def application(make_shared_site: Callable[..., Site]) -> Site:
    site = make_shared_site(
        settings={"app_jobs": JOBS}, programs=EXAMPLES, services=("wsgi", "queue", "pool", "vol")
    )
    site.settings["state_path"] = str(site.folder / "state.db")
    site.settings_file.write_text(json.dumps(site.settings))
    return site.start()


@pytest.fixture
def client(application: Site) -> Iterator[Client]:
    with Client(application.url) as client:
        yield client


def test_item_is_told_watched_and_waited_for(client: Client) -> None:
    item = client.queue.add("countdown", seconds=1.1)
    assert item.tell("add", seconds=-1) == pytest.approx(0.1)
    shown = list(item.watch(PATIENCE))
    assert [each["state"] for each in shown[:1] + shown[-1:]] == ["playing", "done"]
    end = item.wait()
    assert (end["uid"], end["type"], end["state"]) == (item.uid, "countdown", "done")
    assert end["reason"] == "left by itself"
    assert item.wait() == item.show() == end
    assert item.parameters == {}


def test_item_is_removed_while_others_wait_for_it(client: Client) -> None:
    item = client.pool.add("job", name="forever")
    with pytest.raises(WaitTimeout, match=rf"^item {item.uid} has not ended within 0.1 s$"):
        item.wait(0.1)
    ends: list[Any] = []
    threads = [threading.Thread(target=lambda: ends.append(item.wait(PATIENCE))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert client.pool[item.uid].type == "job"
    assert (item.state, item.output()) == ("playing", [])
    client.pool[item.uid].remove()
    for thread in threads:
        thread.join(PATIENCE)
    assert [end["state"] for end in ends] == ["removed"] * 2


def test_key_gives_the_same_item_and_a_background_is_told_too(client: Client) -> None:
    first = client.queue.add("countdown", {"seconds": 60}, key="tea")
    assert client.queue.add("countdown", {"seconds": 60}, key="tea") == first
    background = client.queue.set_bg("clock")
    assert background.show()["type"] == "clock"
    for item in (background, client.queue[background.uid]):
        with pytest.raises(CommandRefused, match="unknown command `stop`"):
            item.tell("stop")
    for item in (first, background):
        item.remove()
        assert item.wait(PATIENCE)["state"] == "removed"


def test_events_continue_after_a_restart_of_the_gateway(application: Site, client: Client) -> None:
    with client.queue.events() as events:
        assert next(events)["event"] == "snapshot"
        application.stop("wsgi")
        application.start("wsgi")
        item = client.queue.add("countdown", seconds=60)
        assert next(events)["event"] == "change", "it has resumed"
        assert [each["uid"] for each in events.state["modules"]] == [item.uid]
    item.remove()


def test_services_of_the_application(application: Site, client: Client) -> None:
    assert client.services() == ["pool", "queue", "vol"]
    client.vol.set_vol(vol=3)
    assert client.vol.get_vol() == 3
    with pytest.raises(CommandRefused, match="no service 'nix'"):
        client.nix.queue()
    with pytest.raises(CommandRefused, match=r"set_vol: argument `vol`: .xpected `int`, got `str`"):
        client.vol.set_vol(vol="loud")


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "{gateway}queue"])
def test_url_of_a_single_service_works_too(application: Site, url: str) -> None:
    url = url.format(port=application.ports["queue"], gateway=application.url)
    with Client(url) as client:
        assert next(client.queue.events())["event"] == "snapshot"
        assert client.queue.url.rstrip("/") == url
    with Client(url) as client:
        assert client.queue.queue() == []
        assert client.services() == ["queue"]
        with pytest.raises(CommandRefused, match="is 'queue' and not 'pool'"):
            client.pool.pool()


@pytest.mark.slow
def test_client_is_light_and_works_where_gevent_has_patched(application: Site) -> None:
    loaded = set(in_fresh_interpreter("import shmooze.client, sys; print(*sys.modules)").split())
    foreign = {"gevent", "bottle", "msgspec", "argparse", "shmooze.client.generate"}
    assert not loaded & foreign
    said = in_fresh_interpreter(f"""
from gevent import monkey
monkey.patch_all()
import gevent
from shmooze.client import Client
with Client({application.url!r}) as client:
    item = client.queue.add("countdown", seconds=60)
    waiting = gevent.spawn(item.wait)
    gevent.spawn(item.remove)
    print(waiting.get()["state"])
    events = client.queue.events()
    reading = gevent.spawn(list, events)
    gevent.sleep(0)
    events.close()
    print(isinstance(reading.get(), list))
""")
    assert said.split() == ["removed", "True"]
