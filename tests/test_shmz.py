"""shmz as people and scripts meet it, and a real HTTP server that records."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import runpy
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple
from unittest import mock

import pytest
from conftest import EXAMPLES, JOBS
from support import PATIENCE, Site

from shmooze import __version__

SHMZ = Path(__file__).resolve().parent.parent / "scripts" / "shmz"

UID = "3f2a5a0e-0c55-4d3c-9a53-0d6cf3ab6f70"
OTHER_UID = "81b1f7b4-57f5-46c2-8e0e-2f8a0a1d2c11"
ROSTER: list[dict[str, Any]] = [
    {"uid": UID, "type": "countdown", "state": "playing", "parameters": {"left": 12}},
    {"uid": OTHER_UID, "type": "ticker", "state": "suspended"},
]


#: What shmz asks to find out which uid is meant.
_QUESTIONS: list[dict[str, Any]] = [{"cmd": cmd} for cmd in ("queue", "pool", "bg", "gone")]
LOOK_UP = json.dumps(_QUESTIONS).encode()
#: How it begins to ask for the type or the parameters of an item.
FIND_ITEM = b'[{"cmd": "queue"'
LOOK_UP_ENDED = json.dumps([*_QUESTIONS, {"cmd": "history", "args": {"limit": 1000}}]).encode()


def good(result: Any = None) -> dict[str, Any]:
    return {"success": True, "result": result}


def bad(error: str) -> dict[str, Any]:
    return {"success": False, "error": error}


class Request(NamedTuple):
    path: str
    content_type: str | None
    body: bytes


class Peer(ThreadingHTTPServer):
    """A server that gives every request the same answer and remembers the requests.

    But what shmz asks before it sends a uid is answered by `known`, and `describe` by `described`.
    Neither is remembered.
    """

    daemon_threads = False
    block_on_close = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PeerHandler)
        self.base = f"http://127.0.0.1:{self.server_port}/"
        self.requests: list[Request] = []
        self.status = 200
        self.reply: Any = good()
        self.known: Any = [bad("unknown command"), good(ROSTER), bad("unknown command"), good([])]
        #: Answers to `describe` by type; that of the service itself is that of None.
        self.described: dict[str | None, Any] = {}
        self.look_ups = 0
        #: Set when a request is here; no request is answered unless `may_answer` is set.
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def packet(self) -> Any:
        """What the one request said."""
        (request,) = self.requests
        return json.loads(request.body)


class PeerHandler(BaseHTTPRequestHandler):
    server: Peer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_look_up = body in (LOOK_UP, LOOK_UP_ENDED)
        question = json.loads(body) if body.startswith(b'{"cmd": "describe"') else None
        if is_look_up:
            self.server.look_ups += 1
        elif question is None and not body.startswith(FIND_ITEM):
            self.server.requests.append(Request(self.path, self.headers["Content-Type"], body))
        self.server.asked.set()
        if not self.server.may_answer.wait(PATIENCE):
            return
        reply = self.server.known if is_look_up else self.server.reply
        if body.startswith(FIND_ITEM) and not is_look_up:
            reply = self.server.known[:3]
        elif question:
            described = self.server.described.get(question.get("args", {}).get("type"))
            reply = bad("unknown command 'describe'") if described is None else good(described)
        reply = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.may_answer.set()
        server.shutdown()
        thread.join()


class Ended(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Ended]


def environ(**variables: str) -> dict[str, str]:
    """The environment, without what would change what shmz does."""
    left_out = ("SHMZ_ENDPOINT", "COLUMNS", "PYTHONIOENCODING")
    kept = {key: value for key, value in os.environ.items() if key not in left_out}
    return {**kept, "LC_ALL": "C.UTF-8", **variables}


def run_shmz(*words: str, stdin: bytes = b"", **variables: str) -> Ended:
    """Run shmz with its output piped."""
    ended = subprocess.run(
        [sys.executable, str(SHMZ), *words],
        input=stdin,
        capture_output=True,
        env=environ(**variables),
        timeout=PATIENCE,
        check=False,
    )
    assert b"Traceback" not in ended.stderr, ended.stderr.decode()
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


#: shmz as a module.
shmz_main: Callable[[], int] = runpy.run_path(str(SHMZ))["main"]


@contextmanager
def standard_input(stdin: bytes) -> Iterator[None]:
    """These bytes are what can be read from descriptor 0."""
    before = os.dup(0)
    with TemporaryFile() as file:
        file.write(stdin)
        file.seek(0)
        os.dup2(file.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def call_shmz(*words: str, stdin: bytes = b"", **variables: str) -> Ended:
    """What `run_shmz` does, within this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    with (
        standard_input(stdin),
        mock.patch.dict(os.environ, environ(**variables), clear=True),
        mock.patch.multiple(
            sys,
            argv=[str(SHMZ), *words],
            stdout=out,
            stderr=err,
        ),
    ):
        status = shmz_main()
        for stream in (out, err):
            stream.flush()
    return Ended(status, *(stream.buffer.getvalue().decode() for stream in (out, err)))


@pytest.fixture
def shmz(peer: Peer) -> Run:
    """Call shmz with its output piped, the peer's /queue being its endpoint."""

    def run(*words: str, **keywords: Any) -> Ended:
        return call_shmz(*words, **{"SHMZ_ENDPOINT": f"{peer.base}queue", **keywords})

    return run


@pytest.fixture
def shmz_on_terminal(peer: Peer) -> Run:
    """Run shmz with its standard output on a terminal; `out` has the terminal's lines."""

    def run(*words: str, columns: int = 100, **variables: str) -> Ended:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, str(SHMZ), *words],
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=subprocess.PIPE,
            env=environ(SHMZ_ENDPOINT=f"{peer.base}queue", **variables),
        )
        os.close(slave)
        shown = read_terminal(master)
        _, err = process.communicate(timeout=PATIENCE)
        assert b"Traceback" not in err, err.decode()
        return Ended(process.returncode, shown.decode().replace("\r\n", "\n"), err.decode())

    return run


def read_terminal(master: int) -> bytes:
    """All that is written to a terminal, until nobody has it open any more."""
    shown = b""
    with open(master, "rb", buffering=0) as terminal:
        while True:
            try:
                shown += terminal.read(4096) or b""
            except OSError:  # how Linux says that the other end is closed
                return shown


# What is sent


@pytest.mark.parametrize(
    ("words", "packet"),
    [
        (["queue"], {"cmd": "queue", "args": {"parameters": True}}),
        (["bg"], {"cmd": "bg", "args": {"parameters": True}}),
        (["queue", "parameters={}"], {"cmd": "queue", "args": {"parameters": {}}}),
        (["modules_available"], {"cmd": "modules_available"}),
        (["add", "clock"], {"cmd": "add", "args": {"type": "clock"}}),
        (
            ["add", "countdown", "seconds=30", "name=tea time"],
            {
                "cmd": "add",
                "args": {"type": "countdown", "args": {"seconds": 30, "name": "tea time"}},
            },
        ),
        (
            ["set_bg", "clock", "format=%H"],
            {"cmd": "set_bg", "args": {"type": "clock", "args": {"format": "%H"}}},
        ),
        (["rm", UID, OTHER_UID], {"cmd": "rm", "args": {"uids": [UID, OTHER_UID]}}),
        (["mv", UID], {"cmd": "mv", "args": {"uids": [UID]}}),
        (["hold", UID], {"cmd": "hold", "args": {"uids": [UID]}}),
        (["release", UID], {"cmd": "release", "args": {"uids": [UID]}}),
        (
            ["tell", UID, "add", "seconds=5"],
            {"cmd": "tell_module", "args": {"uid": UID, "cmd": "add", "args": {"seconds": 5}}},
        ),
        (
            ["tell_module", UID, "again"],
            {"cmd": "tell_module", "args": {"uid": UID, "cmd": "again"}},
        ),
        (
            ["tell_background", UID, "again"],
            {"cmd": "tell_background", "args": {"uid": UID, "cmd": "again"}},
        ),
        (
            ["ask", UID, "left", "name"],
            {"cmd": "ask_module", "args": {"uid": UID, "parameters": ["left", "name"]}},
        ),
        (
            ["ask_background", UID, "time"],
            {"cmd": "ask_background", "args": {"uid": UID, "parameters": ["time"]}},
        ),
        (["set_vol", "vol=3"], {"cmd": "set_vol", "args": {"vol": 3}}),
        (["output", UID], {"cmd": "output", "args": {"uid": UID}}),
        (["output", f"uid={UID}"], {"cmd": "output", "args": {"uid": UID}}),
        (["rm", 'uids=["3f2a", "81b1f7b4"]'], {"cmd": "rm", "args": {"uids": [UID, OTHER_UID]}}),
        (["rm", "uids=3"], {"cmd": "rm", "args": {"uids": 3}}),
        (["mv", "81b1", UID], {"cmd": "mv", "args": {"uids": [OTHER_UID, UID]}}),
        (
            ["tell", "3f2a5a0e", "add"],
            {"cmd": "tell_module", "args": {"uid": UID, "cmd": "add"}},
        ),
        (["ask_module", "uid=3f2a"], {"cmd": "ask_module", "args": {"uid": UID}}),
        (
            ["ask", "uid=3f2a", 'parameters=["left"]'],
            {"cmd": "ask_module", "args": {"uid": UID, "parameters": ["left"]}},
        ),
        (
            ["tell", f"uid={UID}", "cmd=add", 'args={"seconds": 5}'],
            {"cmd": "tell_module", "args": {"uid": UID, "cmd": "add", "args": {"seconds": 5}}},
        ),
        (
            ["set_bg", "type=clock", 'args={"format": "%H"}'],
            {"cmd": "set_bg", "args": {"type": "clock", "args": {"format": "%H"}}},
        ),
        (["add", "a=1", "b=2"], {"cmd": "add", "args": {"a": 1, "b": 2}}),
        (["item", UID], {"cmd": "item", "args": {"uid": UID}}),
        (["requeue", UID, OTHER_UID], {"cmd": "requeue", "args": {"uids": [UID, OTHER_UID]}}),
        (["forget", UID], {"cmd": "forget", "args": {"uids": [UID]}}),
        (["history"], {"cmd": "history"}),
        (
            ["history", "text=tea time", "limit=5"],
            {"cmd": "history", "args": {"text": "tea time", "limit": 5}},
        ),
        (["history", "count=args.title"], {"cmd": "history", "args": {"count": "args.title"}}),
        (["add", "--", "-x"], {"cmd": "add", "args": {"type": "-x"}}),
        (["schedules"], {"cmd": "schedules"}),
        (["unschedule", "news"], {"cmd": "unschedule", "args": {"id": "news"}}),
        (
            ["schedule", "news", "--every", "90", "--id", "7", "--label", "8"],
            {"cmd": "schedule", "args": {"type": "news", "every": 90, "id": "7", "label": "8"}},
        ),
        (
            ["schedule", "cron=0 8 * * *", "type=news", "--at", "2027-03-01T08:00Z"],
            {
                "cmd": "schedule",
                "args": {"cron": "0 8 * * *", "type": "news", "at": "2027-03-01T08:00Z"},
            },
        ),
    ],
    ids=" ".join,
)  # fmt: skip
def test_words_become_a_packet(
    shmz: Run, peer: Peer, words: list[str], packet: dict[str, Any]
) -> None:
    assert shmz(*words) == (0, "null\n", "")
    assert peer.packet == packet
    assert peer.requests[0].content_type == "application/json"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("3f2", "'3f2' is too short for a uid: at least 4 characters are needed"),
        ("", "'' is too short for a uid: at least 4 characters are needed"),
        ("abcd", f"'abcd' is ambiguous: abcd{UID[4:]}, abcd{OTHER_UID[4:]}"),
        ("5d01", f"movie 5d01{UID[4:]} is gone: it was removed"),
        ("nobody", "there is no module with the uid 'nobody'"),
        (f"{UID}-", f"there is no module with the uid '{UID}-'"),
    ],
)
@pytest.mark.parametrize("words", [["rm", UID], ["tell", "again"], ["output"]], ids=" ".join)
def test_unknown_or_ambiguous_uid_is_reported_and_nothing_is_sent(
    shmz: Run, peer: Peer, words: list[str], text: str, line: str
) -> None:
    there = [*ROSTER, *({**each, "uid": f"abcd{each['uid'][4:]}"} for each in ROSTER)]
    gone = [{"uid": f"5d01{UID[4:]}", "type": "movie", "reason": "was removed"}]
    peer.known = [good(there), bad("unknown command"), good(), good(gone)]
    command, *others = words
    assert shmz(command, text, *others) == (1, "", f"shmz: {line}\n")
    assert peer.requests == []


def test_removing_a_complete_uid_that_is_gone_succeeds_with_a_warning(
    shmz: Run, peer: Peer
) -> None:
    gone = f"5d01{UID[4:]}"
    ended = shmz("rm", UID, gone)
    line = f"shmz: there is no module with the uid '{gone}'\n"
    assert ended == (0, "null\n", line)
    assert peer.packet == {"cmd": "rm", "args": {"uids": [UID, gone]}}


def test_beginning_of_a_uid_is_looked_up_in_the_history(shmz: Run, peer: Peer) -> None:
    old = f"5d01{UID[4:]}"
    page = {"items": [{"uid": old, "type": "movie"}], "next": None}
    peer.known = [good(ROSTER), bad("unknown command"), good(), good([]), good(page)]
    assert shmz("requeue", "3f2a").err == "shmz: there is no module with the uid '3f2a'\n"
    assert shmz("requeue", "5d01", OTHER_UID).status == 0
    assert peer.packet == {"cmd": "requeue", "args": {"uids": [old, OTHER_UID]}}


def test_item_may_be_in_the_queue_or_in_the_history(shmz: Run, peer: Peer) -> None:
    old = f"5d01{UID[4:]}"
    page = {"items": [{"uid": old, "type": "movie"}], "next": None}
    peer.known = [good(ROSTER), bad("unknown command"), good(), good([]), good(page)]
    for beginning in ("3f2a", "5d01"):
        assert shmz("item", beginning).status == 0
    sent = [json.loads(request.body)["args"]["uid"] for request in peer.requests]
    assert sent == [UID, old]


def test_complete_uid_is_sent_without_a_lookup(shmz: Run, peer: Peer) -> None:
    peer.reply = bad("no module with this uid")
    assert shmz("tell", UID, "add").status == 1
    assert (peer.look_ups, len(peer.requests)) == (0, 1)


@pytest.mark.parametrize(
    "known",
    [[bad("unknown command")] * 4, bad("no lists"), [good({}), good([3, {}]), good([]), good(7)]],
    ids=json.dumps,
)
def test_uid_is_sent_unchanged_to_a_service_that_is_not_a_queue(
    shmz: Run, peer: Peer, known: Any
) -> None:
    peer.known = known
    is_queue = isinstance(known, list) and known[0]["success"]
    assert shmz("greet", "uid=ada lovelace").status == (1 if is_queue else 0)
    assert len(peer.requests) == (0 if is_queue else 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("hello", "hello"),
        ("30", 30),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ('["a", {"b": 1}]', ["a", {"b": 1}]),
        ('"30"', "30"),
        ("", ""),
        ("a=b", "a=b"),
        ("01234", "01234"),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("-Infinity", "-Infinity"),
        ("grüße\n", "grüße\n"),
        pytest.param("[" * 100_000, "[" * 100_000, id="deep"),
    ],
)
def test_value_is_json_if_possible_and_text_otherwise(
    shmz: Run, peer: Peer, text: str, value: Any
) -> None:
    shmz("say", f"it={text}")
    assert peer.packet == {"cmd": "say", "args": {"it": value}}


@pytest.mark.parametrize(
    "body", [b'{"cmd":"a", "args":{"x":1.10}}', b'{"cmd": "\xc3\xbc"}\n', b"3"]
)
def test_packet_from_standard_input_is_sent_unchanged(shmz: Run, peer: Peer, body: bytes) -> None:
    assert shmz("-", stdin=body).status == 0
    assert peer.requests[0].body == body


def test_byte_order_mark_before_a_packet_is_removed(shmz: Run, peer: Peer) -> None:
    assert shmz("-", stdin=b"\xef\xbb\xbf3").status == 0
    assert peer.requests[0].body == b"3"


# Where it is sent


def test_option_overrides_the_environment(shmz: Run, peer: Peer) -> None:
    shmz("-e", f"{peer.base}deep/vol?x=1", "get_vol", SHMZ_ENDPOINT="http://127.0.0.1:1/")
    assert peer.requests[0].path == "/deep/vol?x=1"


def test_name_of_a_service_replaces_the_last_part_of_the_endpoint(shmz: Run, peer: Peer) -> None:
    shmz("-e", "vol", "get_vol", SHMZ_ENDPOINT=f"{peer.base}app/queue")
    shmz("-e", "vol", "get_vol", SHMZ_ENDPOINT=peer.base.rstrip("/"))
    assert [request.path for request in peer.requests] == ["/app/vol", "/vol"]


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["history", "pool", "limit=3"], "/pool"),
        (["requeue", "pool", UID], "/pool"),
        (["requeue", UID], "/queue"),
        (["-e", "video", "history"], "/video"),
        (["-e", "http://127.0.0.1:1/a/video", "history"], None),
    ],
    ids=lambda value: " ".join(value or ["none"]) if isinstance(value, list) else value,
)
def test_first_word_of_history_and_requeue_may_name_the_service(
    shmz: Run, peer: Peer, words: list[str], path: str | None
) -> None:
    assert shmz(*words).status == (3 if path is None else 0)
    assert [request.path for request in peer.requests] == ([] if path is None else [path])


def test_command_pool_goes_to_the_pool_and_queue_to_the_queue(shmz: Run, peer: Peer) -> None:
    shmz("pool")
    shmz("queue", SHMZ_ENDPOINT=f"{peer.base}app/pool")
    shmz("pool", SHMZ_ENDPOINT=f"{peer.base}jobs")
    shmz("-e", "queue", "pool")
    paths = [request.path for request in peer.requests]
    assert paths == ["/pool", "/app/queue", "/jobs", "/queue"]


def test_proxies_of_the_environment_are_not_used(shmz: Run, peer: Peer) -> None:
    proxy = "http://127.0.0.1:1/"
    assert shmz("queue", http_proxy=proxy, HTTP_PROXY=proxy, all_proxy=proxy).status == 0
    assert len(peer.requests) == 1


def test_path_with_non_ascii_characters_is_quoted(shmz: Run, peer: Peer) -> None:
    shmz("-e", f"{peer.base}lautstärke", "get")
    shmz("-e", "lautstärke", "get")
    assert {request.path for request in peer.requests} == {"/lautst%C3%A4rke"}


# What is printed when piped


@pytest.mark.parametrize("result", [None, 3, "grüße", [], ROSTER, {"uid": UID}])
def test_piped_result_is_one_line_of_json(shmz: Run, peer: Peer, result: Any) -> None:
    peer.reply = good(result)
    ended = shmz("queue")
    assert (ended.status, ended.err, ended.out.count("\n")) == (0, "", 1)
    assert json.loads(ended.out) == result


def test_list_prints_all_packets_and_fails_if_one_fails(shmz: Run, peer: Peer) -> None:
    peer.reply = [good(1), bad("unknown command 'x'"), good()]
    ended = shmz("-", stdin=b'[{"cmd": "a"}, {"cmd": "x"}, {"cmd": "b"}]')
    assert (ended.status, ended.err) == (1, "shmz: 2 of 3: unknown command 'x'\n")
    assert json.loads(ended.out) == peer.reply


def test_list_without_failure_is_success(shmz: Run, peer: Peer) -> None:
    peer.reply = [good(1), good()]
    assert shmz("-", stdin=b'[{"cmd": "a"}, {"cmd": "b"}]').status == 0


def test_version_is_that_of_the_package_and_needs_no_server() -> None:
    assert run_shmz("--version") == (0, f"shmz {__version__}\n", "")


def test_help_needs_no_server() -> None:
    ended = run_shmz("--help", SHMZ_ENDPOINT="http://127.0.0.1:1/")
    assert (ended.status, ended.err) == (0, "")
    for taught in (
        "shmz add countdown seconds=30",
        "shmz rm",
        "shmz tell",
        "http://localhost:8080/queue",
    ):
        assert taught in ended.out
    assert max(map(len, ended.out.splitlines())) <= 100


# What is shown on a terminal


def test_roster_is_a_table_on_a_terminal(shmz_on_terminal: Run, peer: Peer) -> None:
    peer.reply = good(ROSTER)
    ended = shmz_on_terminal("queue")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "uid                                   type       state      parameters",
        f"{UID}  countdown  playing    left=12",
        f"{OTHER_UID}  ticker     suspended",
    ]


def test_background_is_a_table_of_one_row(shmz_on_terminal: Run, peer: Peer) -> None:
    peer.reply = good(ROSTER[0])
    title, row = shmz_on_terminal("bg").out.splitlines()
    assert title.split() == ["uid", "type", "state", "parameters"]
    assert row.split() == [UID, "countdown", "playing", "left=12"]


def test_history_is_a_table_with_local_times_and_titles(shmz_on_terminal: Run, peer: Peer) -> None:
    item = {
        "number": 7,
        "uid": UID,
        "type": "movie",
        "state": "failed",
        "args": {"speed": 2, "title": "Metropolis"},
        "by": "ada",
        "added": "2026-11-24T13:00:00.000Z",
        "ended": "2026-11-24T13:37:00.123Z",
        "seconds": 0.688,
        "reason": "exited with status 3",
    }
    peer.reply = good({"items": [item, {**item, "args": {}, "by": None}], "next": 7})
    head, first, second, hint = shmz_on_terminal("history", TZ="UTC-2").out.splitlines()
    assert head.split() == ["ended", "uid", "type", "title", "by", "seconds", "state", "reason"]
    assert first.split(None, 2)[:2] == ["2026-11-24", "15:37:00"]
    assert "3f2a5a0e  movie  Metropolis  ada  0.688" in first
    assert first.endswith("failed  exited with status 3")
    assert "Metropolis" not in second
    assert hint == "(older ones: before=7)"
    peer.reply = good({"items": [], "next": None})
    assert shmz_on_terminal("history").out == "(none)\n"


def test_schedules_are_a_table_with_their_next_times(shmz_on_terminal: Run, peer: Peer) -> None:
    schedule = {"id": "news", "type": "movie", "label": "News", "overlap": "skip"}
    times = ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]
    morning = {"cron": "30 2 * * *", "tz": "Europe/Berlin", "last": {"uid": UID, "time": "…"}}
    peer.reply = good(
        [
            {**schedule, **morning, "next": times},
            {**schedule, "every": 90, "next": times[:1], "last": {"reason": "it was full"}},
            {**schedule, "at": times[0], "next": [], "problem": "there is no type 'movie'"},
        ]
    )
    lines = shmz_on_terminal("schedules", COLUMNS="150").out.splitlines()
    assert [line.split() for line in lines[:1]] == [["id", "type", "when", "next", "last"]]
    assert "news  News (movie)  30 2 * * * Europe/Berlin  2027-03-28 03:00:00 +02:00" in lines[1]
    assert lines[1].endswith("added 3f2a5a0e")
    assert lines[2].split() == ["2027-03-29", "02:30:00", "+02:00"]
    assert "every 90 s" in lines[3] and lines[3].endswith("it was full")
    assert "there is no type 'movie'" in lines[4]


def test_table_is_no_wider_than_the_terminal(shmz_on_terminal: Run, peer: Peer) -> None:
    latin_parameters, chinese_parameters = {"name": "x" * 500}, {"名": "字" * 99}
    peer.reply = good(
        [
            {**ROSTER[0], "parameters": latin_parameters},
            {**ROSTER[1], "parameters": chinese_parameters},
        ]
    )
    _, latin, chinese = shmz_on_terminal("queue", columns=80).out.splitlines()
    assert latin == f'{UID}  countdown  playing    name="{"x" * 13}…'
    assert len(latin) == 80
    # Each of these letters takes two cells, so that one cell is left over.
    assert chinese == f'{OTHER_UID}  ticker     suspended  名="{"字" * 7}…'
    narrow = shmz_on_terminal("queue", columns=10).out.splitlines()
    assert [len(line) for line in narrow] == [10, 10, 10]


#: A wide space, an emoji of several persons, a private letter, Persian with a joiner.
SCRIPTS = "日本　語 👩\u200d👩\u200d👧 ❤\ufe0f \ue0b0 \u0645\u06cc\u200c\u062e e\u0301"


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (None, ""),
        (["countdown", "ticker"], "countdown\nticker\n"),
        ({"uid": UID}, f"uid: {UID}\n"),
        ({"left": 3, "names": ["a", "ü"]}, 'left: 3\nnames: ["a", "ü"]\n'),
        ([], "(none)\n"),
        ({}, "(none)\n"),
        ("done", "done\n"),
        (30, "30\n"),
        ([1, {"a": 1}], "1\na=1\n"),
        ([{"a": 1}, {}], "a\n1\n\n"),
        (SCRIPTS, f"{SCRIPTS}\n"),
    ],
    ids=json.dumps,
)
def test_other_results_are_lines_on_a_terminal(
    shmz_on_terminal: Run, peer: Peer, result: Any, shown: str
) -> None:
    peer.reply = good(result)
    assert shmz_on_terminal("what") == (0, shown, "")


def test_option_json_prints_json_on_a_terminal(shmz_on_terminal: Run, peer: Peer) -> None:
    assert shmz_on_terminal("queue", "--json").out == "null\n"
    assert peer.packet == {"cmd": "queue", "args": {"parameters": True}}


HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\x7f\r\n\u202egnp.\u2028\ud800\0"


@pytest.mark.parametrize(
    "result",
    [
        HOSTILE,
        [HOSTILE],
        {HOSTILE: HOSTILE},
        [
            {
                "uid": HOSTILE,
                HOSTILE: HOSTILE,
                "parameters": {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]},
            }
        ],
    ],
    ids=["text", "list", "dict", "table"],
)
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_values_cannot_control_the_terminal(
    shmz_on_terminal: Run, peer: Peer, options: list[str], result: Any
) -> None:
    peer.reply = good(result)
    ended = shmz_on_terminal("queue", *options, columns=5000)
    assert ended.status == 0
    assert "owned" in ended.out
    assert all(line.isprintable() for line in ended.out.split("\n"))


def test_error_is_one_line_without_control_characters(shmz: Run, peer: Peer) -> None:
    peer.reply = bad(f"no{HOSTILE}way")
    ended = shmz("queue")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert ended.err.rstrip("\n").isprintable()


def test_characters_that_the_locale_lacks_are_escaped(shmz_on_terminal: Run, peer: Peer) -> None:
    peer.reply = good("grüße")
    variables = {"PYTHONIOENCODING": "ascii"}
    assert shmz_on_terminal("what", **variables) == (0, "gr\\xfc\\xdfe\n", "")


# How it ends


@pytest.mark.parametrize(
    ("http_status", "status"),
    [(200, 1), (400, 1), (404, 1), (405, 1), (413, 1), (415, 1), (502, 3), (504, 3)],
)
def test_failure_packet_is_one_line_and_the_status_tells_whose_fault_it_was(
    shmz: Run, peer: Peer, http_status: int, status: int
) -> None:
    peer.status, peer.reply = http_status, bad("no such thing")
    assert shmz("queue") == (status, "", "shmz: no such thing\n")
    assert shmz("-", stdin=b"[{}]") == (status, "", "shmz: no such thing\n")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"<html>404</html>",
        b"\xff",
        b"3",
        b"{}",
        b'{"success": 1}',
        b'{"success": false}',
        b'{"success": true, "result": NaN}',
        b'[{"success": true}]',
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
@pytest.mark.parametrize("http_status", [200, 301, 404, 502])
def test_answer_that_is_not_a_packet_counts_as_no_answer(
    shmz: Run, peer: Peer, http_status: int, reply: bytes
) -> None:
    peer.status, peer.reply = http_status, reply
    ended = shmz("queue")
    assert (ended.status, ended.out) == (3, "")
    assert ended.err.startswith(f"shmz: {peer.base}queue: the answer is not a packet")
    assert len(peer.requests) == 1


@pytest.mark.parametrize("reply", [good(), [], [good()], [good(), 3]], ids=json.dumps)
def test_list_of_two_is_answered_by_two_packets_or_not_at_all(
    shmz: Run, peer: Peer, reply: Any
) -> None:
    peer.reply = reply
    assert shmz("-", stdin=b"[{}, {}]").status == 3


def test_missing_server_is_reported() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # bound, so that nobody else listens there
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/queue"
        ended = run_shmz("-e", url, "queue")
    hint = "is the application running, and is the URL right? See SHMZ_ENDPOINT and -e"
    assert ended == (3, "", f"shmz: no answer from {url}: Connection refused; {hint}\n")


def test_server_that_does_not_answer_in_time_is_reported(shmz: Run, peer: Peer) -> None:
    peer.may_answer.clear()
    ended = shmz("queue", "--timeout", "0.2")
    assert ended == (3, "", f"shmz: no answer from {peer.base}queue: timed out\n")


@pytest.mark.parametrize(
    "reply", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"]
)
def test_broken_or_non_http_answer_is_reported(reply: bytes) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(reply)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        ended = run_shmz("-e", url, "queue")
        thread.join(PATIENCE)
    assert (ended.status, ended.out, ended.err.count("\n")) == (3, "", 1)
    assert ended.err.startswith(f"shmz: no answer from {url}: ")


@pytest.mark.parametrize(
    "words",
    [
        ["--no-such-option", "queue"],
        ["--cron", "* * * * *", "add", "countdown"],
        ["schedule"],
        ["unschedule"],
        ["-e"],
        ["queue", "surplus"],
        ["set_vol", "vol"],
        ["set_vol", "=3"],
        ["set_vol", "vol=1", "vol=2"],
        ["add"],
        ["rm"],
        ["tell", UID],
        ["tell", UID, "seconds=5"],
        ["ask", UID],
        ["-", "queue"],
        ["--timeout", "soon", "queue"],
        ["--timeout", "0", "queue"],
        ["--timeout", "nan", "queue"],
        ["-e", "", "queue"],
        ["-e", "localhost:8080/queue", "queue"],
        ["-e", "ftp://localhost/queue", "queue"],
        ["-e", "http:///queue", "queue"],
        ["-e", "http://localhost:http/queue", "queue"],
        ["-e", "http://[::1/queue", "queue"],
        ["-e", "http://local host/queue", "queue"],
        ["-e", "http://local..host/queue", "queue"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_nothing_is_sent(
    shmz: Run, peer: Peer, words: list[str]
) -> None:
    ended = shmz(*words)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("shmz: ")
    assert peer.requests == []


@pytest.mark.parametrize(
    "body", [b"", b"queue", b"[NaN]", b"\xff", b'{"cmd": "queue"', b"[" * 100_000]
)
def test_standard_input_that_is_not_json_is_wrong_usage(shmz: Run, peer: Peer, body: bytes) -> None:
    ended = shmz("-", stdin=body)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("shmz: standard input is not JSON: ")
    assert peer.requests == []


def test_no_command_shows_the_usage(shmz: Run) -> None:
    ended = shmz()
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("usage: shmz [-e ENDPOINT]")


def test_ctrl_c_ends_it_quietly(peer: Peer) -> None:
    peer.may_answer.clear()
    with subprocess.Popen(
        [sys.executable, str(SHMZ), "-e", f"{peer.base}queue", "queue"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(),
        # As a terminal starts it; a test run in the background hands on that it is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert peer.asked.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == (b"", b"")
        assert process.returncode == 130


@pytest.mark.parametrize("words", [["queue"], ["--help"]], ids=" ".join)
def test_closed_output_is_not_a_failure(peer: Peer, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stdout:
        argv = [sys.executable, str(SHMZ), "-e", f"{peer.base}queue", *words]
        ended = subprocess.run(
            argv,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environ(),
            timeout=PATIENCE,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_full_disk_is_reported(peer: Peer) -> None:
    with open("/dev/full", "wb") as stdout:
        argv = [sys.executable, str(SHMZ), "-e", f"{peer.base}queue", "queue"]
        ended = subprocess.run(
            argv,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environ(),
            timeout=PATIENCE,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, b"shmz: cannot write: No space left on device\n")


# With the real services


def test_a_person_can_use_queue_pool_and_their_own_service(
    make_site: Callable[..., Site],
) -> None:
    services = ("wsgi", "queue", "pool", "vol")
    settings = {"app_jobs": JOBS, "state_path": "$HERE/state.db"}
    site = make_site(services=services, settings=settings, programs=EXAMPLES).start()

    def shmz(*words: str) -> Any:
        ended = run_shmz(*words, SHMZ_ENDPOINT=f"{site.url}queue")
        assert (ended.status, ended.err) == (0, "")
        return json.loads(ended.out)

    assert "countdown" in shmz("modules_available")
    types = shmz("types")
    assert set(types) == {"queue", "pool"}
    assert types["queue"]["modules"]["countdown"]["title"]
    assert set(types["queue"]["backgrounds"]) == {"clock"}
    first = shmz("add", "countdown", "seconds=1000")["uid"]
    second = shmz("add", "countdown", "seconds=1000")["uid"]
    shmz("mv", second[:8], first[:4])
    roster = shmz("queue")
    assert [(module["uid"], module["state"]) for module in roster] == [
        (second, "playing"),
        (first, "suspended"),
    ]
    assert "left" in roster[1]["parameters"]
    left = shmz("ask", first, "left")["left"]
    assert shmz("tell", first[:8], "add", "seconds=5") == left + 5
    clock = shmz("set_bg", "clock")["uid"]
    assert shmz("bg")["uid"] == clock
    assert shmz("ask_background", clock[:8], "time") == {}, "it has not played yet"
    assert shmz("output", second[:8]) == []
    shmz("rm", first, second[:8])
    assert shmz("queue") == []

    assert {item["uid"] for item in shmz("history")["items"]} == {first, second}
    [again] = shmz("requeue", first[:8])
    assert shmz("item", again[:8])["args"] == {"seconds": 1000}
    assert shmz("history", "count=type")[0]["value"] == "countdown"
    shmz("forget", first, second[:8])
    assert shmz("history", "queue") == {"items": [], "next": None}

    job = shmz("-e", "pool", "add", "job", "name=forever")["uid"]
    assert [module["uid"] for module in shmz("pool")] == [job]
    shmz("-e", "vol", "set_vol", "vol=3")
    assert shmz("-e", "vol", "get_vol") == 3

    gone = run_shmz("-e", f"{site.url}queue", "rm", first[:8])
    line = f"shmz: countdown, 1000 s (countdown) {first} is gone: it was removed\n"
    assert gone == (1, "", line)
    refused = run_shmz("-e", f"{site.url}queue", "add", "no_such_type")
    assert (refused.status, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert "no_such_type" in refused.err
