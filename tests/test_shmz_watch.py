"""shmz watch, as people and scripts meet it: in a terminal and in a pipe, with real services."""

from __future__ import annotations

import json
import operator
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unicodedata import bidirectional, category

import pytest
from events import asked
from hypothesis import given, settings
from hypothesis import strategies as st
from support import CHILDREN, PATIENCE, ROOT, Client, Lender, Site, child, wait_until
from terminal import Picture

from shmooze.access.token_file import TokenFile
from shmooze.shmz.cells import width
from shmooze.shmz.service import Service
from shmooze.shmz.watch.changes import describe_changes
from shmooze.shmz.watch.events import Event
from shmooze.shmz.watch.follow import follow
from shmooze.shmz.watch.live import Live, apply_event
from shmooze.shmz.watch.screen import draw_bar, render

pytestmark = pytest.mark.slow

SHMZ = ROOT / "scripts" / "shmz"

URL_HINT = "is the application running, and is the URL right? See SHMZ_ENDPOINT and -e"
KINDS = {"well": {"process": child("well")}, "flood": {"process": child("flood")}}


def environ(**variables: str) -> dict[str, str]:
    left_out = ("SHMZ_ENDPOINT", "SHMOOZE_TOKEN", "PYTHONIOENCODING", "NO_COLOR")
    kept = {key: value for key, value in os.environ.items() if key not in left_out}
    return {**kept, "LC_ALL": "C.UTF-8", "TERM": "xterm", **variables}


@pytest.fixture(scope="module")
def sites(lender: Callable[..., Lender]) -> Lender:
    settings = {"queue": {"modules": KINDS, "backgrounds": KINDS}, "pool": {"modules": KINDS}}
    return lender(settings=settings)


@pytest.fixture
def site(sites: Lender) -> Iterator[Site]:
    with sites.lend() as site:
        yield site


@pytest.fixture
def queue(site: Site) -> Client:
    return Client(site, "queue")


@pytest.fixture
def look(site: Site) -> Iterator[Callable[..., Picture]]:
    """A function that runs `shmz watch` in a terminal."""
    opened: list[Picture] = []

    def run(*words: str, columns: int = 100, height: int = 24, **variables: str) -> Picture:
        argv = [sys.executable, SHMZ, "-e", f"{site.url}queue", "watch", *words]
        opened.append(Picture(argv, environ(**variables), columns, height))
        return opened[-1]

    yield run
    for window in opened:
        window.close()
        assert not window.strange


class Piped:
    """`shmz watch` with its output in a pipe; `lines` is what has come."""

    def __init__(self, url: str, *words: str, **variables: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            # Signals as a terminal has them, whatever the tests themselves were started with.
            ["env", "--default-signal", sys.executable, str(SHMZ), "-e", url, "watch", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ(**variables),
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.removesuffix("\n"))

    def wait_for(self, words: str) -> str:
        """Wait until a line has these words; that line without its time."""

        def line() -> str | None:
            return next((each for each in self.lines if words in each), None)

        return str(wait_until(line, f"{words!r} is printed")).partition(" ")[2]

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Signal it if it still runs; Returns its exit status and standard error."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stdout
        self.process.stdout.close()
        assert self.process.stderr
        with self.process.stderr as stderr:
            return status, stderr.read()


@pytest.fixture
def pipe() -> Iterator[Callable[..., Piped]]:
    """A function that runs `shmz watch` in a pipe, for a URL."""
    opened: list[Piped] = []

    def run(url: str, *words: str, **variables: str) -> Piped:
        opened.append(Piped(url, *words, **variables))
        return opened[-1]

    yield run
    for each in opened:
        if each.process.poll() is None:
            each.end()


# On a terminal


def test_table_shows_what_others_do_and_ctrl_c_restores_the_terminal(
    queue: Client, look: Callable[..., Picture]
) -> None:
    first = queue.add(name="first")
    window = look()
    assert window.wait_for("playing").startswith(f"▶ {first[:8]}  well  playing")
    assert (window.modes, window.echoes) == ({"1049"}, False)
    assert window.rows[0] == f"live: 1 module at {queue.site.url}queue"
    second = queue.add(name="second")
    assert window.wait_for("suspended").startswith(f"  {second[:8]}  well  suspended")
    queue.tell(first, "unset", names=["args", "pid", "playing"])
    queue.tell(first, "set", progress=0.25, title="tea time")
    row = window.wait_for("25%")
    assert "███░░░░░░░░░  25%" in row
    assert 'title="tea time"' in window.screen
    window.press(b"Z")
    queue.tell(first, "set", progress=0.5)
    assert "██████░░░░░░  50%" in window.wait_for("50%")
    assert "Z" not in window.text  # it would stand in the table
    background = queue("set_bg", type="well")["uid"]
    window.wait_for(background[:8])
    assert [row for row in window.rows if "background" in row] == [window.rows[-2]]
    assert background[:8] in window.rows[-1]
    queue("rm", uids=[first])
    gone = window.wait_for("gone:")
    assert re.fullmatch(rf"gone: \d\d:\d\d:\d\d well {first[:8]} was removed", gone)
    wait_until(lambda: window.rows[1].startswith(f"▶ {second[:8]}"), "the next one plays")
    assert window.press_ctrl_c() == 0
    assert window.modes == {"25", "7"}
    assert window.echoes
    assert [row for row in window.rows if row != "^C"] == []  # the screen from before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_restore_the_terminal_and_end_the_program(
    look: Callable[..., Picture], number: signal.Signals
) -> None:
    window = look()
    window.wait_for("live: 0 modules")
    window.send(number)
    assert window.wait() == -number
    assert window.modes == {"25", "7"}
    assert window.echoes


def test_closed_window_ends_it(look: Callable[..., Picture]) -> None:
    window = look()
    window.wait_for("live: 0 modules")
    assert window.close_window() in (-signal.SIGHUP, 0)  # what it notices first


def test_ctrl_z_restores_the_screen_until_the_program_continues(
    queue: Client, look: Callable[..., Picture]
) -> None:
    window = look()
    window.wait_for("live: 0 modules")
    # Not by the key: the system stops nobody whom no shell could let go on.
    window.send(signal.SIGTSTP)
    wait_until(lambda: window.modes == {"25", "7"} and window.echoes, "the screen is back")
    window.send(signal.SIGCONT)
    window.wait_for("live: 0 modules")
    wait_until(lambda: window.modes == {"1049"}, "it draws again")
    queue.add()
    window.wait_for("playing")


def test_small_terminal_shows_the_essentials(queue: Client, look: Callable[..., Picture]) -> None:
    uids = [queue.add() for _ in range(9)]
    queue("set_bg", type="well")
    queue.tell(uids[0], "set", progress=1)
    window = look(columns=40, height=10)
    window.wait_for("100%")
    assert window.rows[1] == f"▶ {uids[0][:4]}  well  playing    ████ 100%  nam…"
    assert window.rows[7] == "  and 3 more"
    assert window.rows[8] == "background"
    assert len(window.rows) == 10
    queue("rm", uids=uids[1:4])
    wait_until(lambda: len([row for row in window.rows if "gone:" in row]) == 2, "two have room")
    assert len(window.rows) == 10


def test_table_follows_the_size_of_the_window(queue: Client, look: Callable[..., Picture]) -> None:
    uid = queue.add()
    window = look(columns=60)
    window.wait_for(uid[:8])
    assert uid not in window.screen
    window.resize(150, 5)
    assert window.wait_for(uid).startswith(f"▶ {uid}  well  playing")


def test_lost_gateway_is_reported_and_reconnected(
    site: Site, queue: Client, look: Callable[..., Picture]
) -> None:
    first = queue.add()
    window = look()
    window.wait_for("live: 1 module")
    site.stop("wsgi")
    assert window.wait_for("connection lost").endswith("; reconnecting")
    assert window.rows[1] == f"last seen: 1 module at {site.url}queue"
    assert first[:8] in window.rows[2]
    assert window.wait_for("Connection refused")
    second = queue.add()
    site.start("wsgi")
    window.wait_for("live: 2 modules")
    assert second[:8] in window.screen
    assert "connection lost" not in window.screen


def test_restarted_service_is_reported_and_reconnected(
    site: Site, queue: Client, look: Callable[..., Picture]
) -> None:
    first = queue.add()
    window = look()
    window.wait_for("live: 1 module")
    site.stop("queue")
    window.wait_for("service 'queue' is not running")
    site.start("queue")
    window.wait_for("live: 0 modules")
    assert first[:8] not in [row[2:10] for row in window.rows]
    second = queue.add()
    window.wait_for(second[:8])


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\r\n\u202egnp.\u2028\0"


def test_values_cannot_control_the_terminal_or_break_the_table(
    queue: Client, look: Callable[..., Picture]
) -> None:
    texts = [HOSTILE, "x" * 10_000, "🍵" * 500, "字" * 500, "e\u0301" * 500, "עברית", "a\nb"]
    uids = [queue.add() for _ in texts]
    window = look()
    for uid, text in zip(uids, texts):
        queue(
            "tell_module", uid=uid, cmd="unset", args={"names": ["name", "args", "pid", "playing"]}
        )
        queue.tell(uid, "set", **{text: text, "progress": 0.5})
    last = queue.add(name="the last")
    window.wait_for(last[:8])
    window.wait_for("🍵")
    assert [row[2:10] for row in window.rows[1:9]] == [uid[:8] for uid in [*uids, last]]
    assert r"\x1b]0;owned" in window.rows[1]
    assert "\x1b]" not in window.text
    assert window.press_ctrl_c() == 0


def test_flood_is_drawn_ten_times_a_second_at_most_and_to_its_end(
    queue: Client, look: Callable[..., Picture]
) -> None:
    uid = queue.add("well")
    window = look()
    window.wait_for("playing")
    before, begin = window.text.count("\x1b[J"), time.monotonic()
    for number in range(200):
        queue.tell(uid, "set", progress=number / 199)
    window.wait_for("100%")
    took = time.monotonic() - begin
    assert window.text.count("\x1b[J") - before < 10 * took + 2


def test_no_color_turns_styles_off(queue: Client, look: Callable[..., Picture]) -> None:
    window = look(NO_COLOR="1")
    window.wait_for("live: 0 modules")
    plain = {"\x1b[?1049h", "\x1b[?25l", "\x1b[?7l", "\x1b[H", "\x1b[2K", "\x1b[J"}
    assert set(re.findall(r"\x1b\[[?0-9;]*[A-Za-z]", window.text)) == plain


def test_characters_that_the_terminal_lacks_are_replaced(
    queue: Client, look: Callable[..., Picture]
) -> None:
    uid = queue.add()
    queue.tell(uid, "set", progress=0.5, name="字")
    window = look(PYTHONIOENCODING="ascii")
    assert window.wait_for("50%").startswith(f"> {uid[:8]}  well  playing  ######------  50%")
    assert 'name="?"' in window.screen


@pytest.mark.parametrize("term", ["dumb", ""])
def test_dumb_terminal_gets_lines(queue: Client, look: Callable[..., Picture], term: str) -> None:
    window = look(TERM=term)
    window.wait_for("watching")
    uid = queue.add()
    window.wait_for(uid)
    assert "\x1b" not in window.text
    assert window.press_ctrl_c() == 0


# In a pipe


def test_in_a_pipe_each_change_is_a_line(queue: Client, pipe: Callable[..., Piped]) -> None:
    first = queue.add(name="first")
    piped = pipe(f"{queue.site.url}queue")
    assert piped.wait_for("watching") == f"watching {queue.site.url}queue: 1 module"
    assert piped.wait_for(first).startswith(f'well {first} playing, name="first" args={{}} pid=')
    second = queue.add()
    piped.wait_for(f"well {second} added")
    queue.tell(first, "set", left=29, progress=0.03)
    assert piped.wait_for("left=29") == f"well {first} left=29 progress=0.03"
    queue.tell(first, "unset", names=["left"])
    piped.wait_for(f"well {first} unset left")
    queue("mv", uids=[second])
    piped.wait_for(f"order: {second} {first}")
    background = queue("set_bg", type="well")["uid"]
    piped.wait_for(f"well {background} added, background")
    queue.tell(first, "set", x=HOSTILE + "y" * 10_000)
    assert piped.wait_for(" x=").isprintable()
    queue("rm", uids=[first])
    piped.wait_for(f"well {first} ending")
    piped.wait_for(f"well {first} gone: was removed")
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) and len(line) < 500 for line in piped.lines)
    assert piped.end() == (0, "")


def test_in_a_pipe_a_lost_connection_is_reported_once(
    site: Site, queue: Client, pipe: Callable[..., Piped]
) -> None:
    piped = pipe(f"{site.url}queue")
    piped.wait_for("watching")
    site.stop("wsgi")
    piped.wait_for("connection lost: Connection refused; reconnecting")
    uid = queue.add()
    site.start("wsgi")
    piped.wait_for("reconnected")
    piped.wait_for(f"well {uid} added")
    lost = [line.partition(" ")[2] for line in piped.lines if "connection lost" in line]
    assert len(lost) == len(set(lost))


def watched(asked: dict[str, Any]) -> dict[str, Any]:
    """What `shmz watch` knows of what commands tell."""

    def shown(module: dict[str, Any]) -> dict[str, Any]:
        return {key: module[key] for key in ("uid", "type", "state", "parameters")}

    background = asked["background"]
    return {
        "modules": [shown(module) for module in asked["modules"]],
        "background": background and shown(background),
    }


def test_json_lines_add_up_to_the_answers_of_commands(
    site: Site, queue: Client, pipe: Callable[..., Piped]
) -> None:
    first = queue.add(name="first")
    piped = pipe(f"{site.url}queue", "--json")

    def state() -> Any:
        live = Live("")
        for line in list(piped.lines):
            heard = json.loads(line)
            assert set(heard) == {"event", "id", "data"}
            event = Event(heard["event"], heard["id"], json.dumps(heard["data"]))
            live = apply_event(live, event)
        return {"modules": live.modules, "background": live.background}

    def agree() -> None:
        wait_until(lambda: state() == watched(asked(queue)), "all events have come")

    agree()
    second = queue.add()
    queue("set_bg", type="well")
    queue.tell(second, "set", a=1, text="x" * 500_000, hostile=HOSTILE)
    queue.tell(first, "unset", names=["name"])
    queue("mv", uids=[second])
    agree()
    assert all(line.isprintable() for line in piped.lines)
    site.stop("wsgi")
    queue("rm", uids=[first])
    site.start("wsgi")
    agree()
    site.stop("queue")
    site.start("queue")
    queue.add()
    agree()
    status, errors = piped.end()
    assert status == 0
    assert all(line.startswith("shmz: connection lost: ") for line in errors.splitlines())
    assert errors


def test_closed_output_ends_it_silently_even_without_events(site: Site) -> None:
    command = f"{sys.executable} {SHMZ} -e {site.url}queue watch | head -1; echo ${{PIPESTATUS[*]}}"
    ran = subprocess.run(
        ["bash", "-c", command], env=environ(), capture_output=True, text=True, timeout=PATIENCE
    )
    watching, statuses = ran.stdout.splitlines()
    assert "watching" in watching
    assert (statuses, ran.stderr) == ("0 0", "")


def test_sigterm_ends_it_in_a_pipe_too(
    strange: Callable[..., Strange], pipe: Callable[..., Piped]
) -> None:
    piped = pipe(strange(b":\n\n" + SNAPSHOT).url)
    piped.wait_for("watching")
    assert piped.end(signal.SIGTERM) == (-signal.SIGTERM, "")


# What it watches


def test_another_service_can_be_named_after_it_or_with_e(
    site: Site, pipe: Callable[..., Piped]
) -> None:
    pool = Client(site, "pool")
    uid = pool.add()
    for piped in (
        pipe(f"{site.url}queue", "pool"),
        pipe("pool", SHMZ_ENDPOINT=f"{site.url}queue"),
        pipe(f"http://127.0.0.1:{site.ports['pool']}/"),
        pipe(f"{site.url}queue", f"http://127.0.0.1:{site.ports['pool']}"),
    ):
        piped.wait_for(f"well {uid} playing")


def refused(*words: str, **variables: str) -> tuple[int, str]:
    """Exit status and the one line of a watch that must end by itself."""
    ended = subprocess.run(
        [sys.executable, str(SHMZ), *words],
        capture_output=True,
        env=environ(**variables),
        text=True,
        timeout=PATIENCE,
    )
    assert (ended.stdout, ended.stderr.count("\n")) == ("", 1), ended.stderr
    return ended.returncode, ended.stderr.removeprefix("shmz: ").removesuffix("\n")


def test_refusals_are_reported_in_the_words_of_the_server(
    make_site: Callable[..., Site],
) -> None:
    probe = [sys.executable, str(CHILDREN / "svc_probe.py"), "probe"]
    site = make_site(services=("wsgi", "probe"), programs={"probe": probe}).start()
    for name, path in (("radio", "/radio/events"), ("probe", "/events")):
        url = f"{site.url}{name}"
        line = f"no events from {url}/events: there is nothing at {path}"
        assert refused("-e", url, "watch") == (1, line)


def test_missing_server_is_reported(make_site: Callable[..., Site]) -> None:
    url = f"{make_site().url}queue"
    line = f"no answer from {url}/events: Connection refused; {URL_HINT}"
    assert refused("-e", url, "watch") == (3, line)


def test_missing_service_is_reported(make_site: Callable[..., Site]) -> None:
    site = make_site().start("wsgi")
    line = "service 'queue' is not running"
    assert refused("-e", f"{site.url}queue", "watch") == (3, line)


@pytest.mark.parametrize("words", [["a", "b"], ["x=1"], ["http://"]], ids=" ".join)
def test_wrong_usage_is_reported(words: list[str]) -> None:
    assert refused("watch", *words)[0] == 2


def test_token_is_sent(make_site: Callable[..., Site], tmp_path: Path) -> None:
    site = make_site(services=("wsgi", "queue"), settings={"queue": {"modules": KINDS}})
    tokens = TokenFile(str(site.folder / "tokens.json"))
    token = tokens.add("screen", "read")
    site.settings["tokens_path"] = str(tokens.path)
    site.settings_file.write_text(json.dumps(site.settings))
    site.start()
    url = f"{site.url}queue"
    status, line = refused("-e", url, "watch")
    assert status == 1
    assert "a token is needed" in line
    assert "--token-file" in line
    assert refused("-e", url, "watch", SHMOOZE_TOKEN="x" * len(token))[0] == 1
    file = tmp_path / "token"
    file.write_text(token)
    for piped in (
        Piped(url, SHMOOZE_TOKEN=token),
        Piped(url, "--token-file", str(file)),
    ):
        piped.wait_for("watching")
        assert piped.end() == (0, "")


# The two programs


def run_file(file: Path, *words: str) -> tuple[int, str, str]:
    """Run it directly, not as an argument of Python. Returns exit status, output, errors."""
    ended = subprocess.run(
        [file, *words], capture_output=True, env=environ(), text=True, timeout=PATIENCE
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("name", ["shmz", "shmz-watch"])
def test_without_the_package_one_line_says_what_is_missing(tmp_path: Path, name: str) -> None:
    shutil.copy(SHMZ.with_name(name), tmp_path)
    ended = subprocess.run(
        [sys.executable, "-S", tmp_path / name], capture_output=True, env=environ(), text=True
    )
    line = f"{name}: the package shmooze is not installed: pip install 'shmooze>=2'\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", line)


def test_both_programs_work_through_links_from_a_checkout(tmp_path: Path) -> None:
    for name in ("shmz", "shmz-watch"):
        (tmp_path / name).symlink_to(SHMZ.with_name(name))
    url = "http://127.0.0.1:1/pool/events"
    refused = f"shmz: no answer from {url}: Connection refused; {URL_HINT}\n"
    asked = ["-e", "http://127.0.0.1:1/queue", "pool"]
    for folder in (SHMZ.parent, tmp_path):
        assert run_file(folder / "shmz", "watch", *asked) == (3, "", refused)
        assert run_file(folder / "shmz-watch", *asked) == (3, "", refused)
    assert run_file(tmp_path / "shmz-watch", "a", "b")[0] == 2
    assert run_file(tmp_path / "shmz-watch", "--help")[1].startswith("usage: shmz ")
    assert {file.name for file in tmp_path.rglob("*")} == {"shmz", "shmz-watch"}


def test_shmz_watch_run_directly_has_the_same_exit_status(strange: Callable[..., Strange]) -> None:
    for number, status in ((signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)):
        server = strange(b":\n\n" + SNAPSHOT)
        window = Picture([SHMZ.with_name("shmz-watch"), "-e", server.url], environ())
        try:
            window.wait_for("live: 1 module")
            window.send(number)
            assert window.wait() == status
            assert window.modes == {"25", "7"}
        finally:
            window.close()


# Streams as they should not be


class Strange(ThreadingHTTPServer):
    """A server whose streams of events are given bytes, one after the other; then it waits.

    None is a refusal.
    """

    daemon_threads = True

    def __init__(self, streams: list[bytes | None]) -> None:
        super().__init__(("127.0.0.1", 0), StrangeHandler)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.streams = streams
        self.last_ids: list[str | None] = []
        self.over = threading.Event()


class StrangeHandler(BaseHTTPRequestHandler):
    server: Strange

    def do_GET(self) -> None:
        self.server.last_ids.append(self.headers["Last-Event-ID"])
        stream = self.server.streams.pop(0) if self.server.streams else b""
        if stream is None:
            self.send_response(403)
            self.end_headers()
            self.wfile.write(json.dumps({"success": False, "error": f"no{HOSTILE}"}).encode())
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        for place in range(0, len(stream), 7):
            self.wfile.write(stream[place : place + 7])
            self.wfile.flush()
        if not self.server.streams:
            self.server.over.wait(PATIENCE)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def strange() -> Iterator[Callable[..., Strange]]:
    started: list[tuple[Strange, threading.Thread]] = []

    def start(*streams: bytes | None) -> Strange:
        server = Strange(list(streams))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


SNAPSHOT = (
    b'id: 1\r\nretry: 5\nevent: snapshot\ndata: {"modules": [{"uid": "u", "type": "t",\n'
    b'data: "state": "playing", "parameters": {}, "new": 1}], "background": null, "new": {}}\n\n'
)


def test_unknown_events_and_fields_are_ignored(
    strange: Callable[..., Strange], pipe: Callable[..., Piped]
) -> None:
    news = b'id: 2\nevent: news\ndata: "!"\n\ndata: 3\n\nid:3\nevent:change\ndata:{"new": 1}\n\n'
    change = b'id: 4\nevent: change\ndata: {"modules": {"u": {"set": {"x": 1}, "new": 2}}}\n\n'
    server = strange(b":\n\n" + SNAPSHOT + news + change)
    piped = pipe(server.url)
    assert piped.wait_for("x=1") == "t u x=1"
    assert len(piped.lines) == 3


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"[]",
        b"{",
        b"NaN",
        b'{"modules": []}',
        b'{"modules": {"u": 3}}',
        b'{"modules": {"u": {"set": 3}}}',
        b'{"order": ["nobody"]}',
        b'{"order": 3}',
        b'{"background": ["u"]}',
        b'{"gone": {"u": {}}}',
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
def test_invalid_event_counts_as_a_lost_connection(
    strange: Callable[..., Strange], pipe: Callable[..., Piped], nonsense: bytes
) -> None:
    begin = b":\n\n" + SNAPSHOT
    server = strange(begin + b"id: 2\nevent: change\ndata: " + nonsense + b"\n\n", begin)
    reason = "the server has sent an invalid change" if nonsense else "closed by the server"
    piped = pipe(server.url)  # an event without data is none
    piped.wait_for(f"connection lost: {reason}; reconnecting")
    piped.wait_for("reconnected")
    assert server.last_ids == [None, None if nonsense else "1"]


def test_silent_server_counts_as_lost(strange: Callable[..., Strange]) -> None:
    server = strange(b":\n\n" + SNAPSHOT)
    service = Service(f"{server.url}events", 0.3)
    updates = follow(service, server.url)
    lost = next(live.lost for _, live in updates if live.lost)
    assert lost == "no data for 0.3 s"
    next(updates)
    assert server.last_ids == [None, "1"], "it comes back with the last id"
    updates.close()


@pytest.mark.parametrize("timeout", ["1", "15", "19.5"])
def test_timeout_below_the_silence_of_services_is_refused(
    strange: Callable[..., Strange], pipe: Callable[..., Piped], timeout: str
) -> None:
    server = strange(SNAPSHOT)
    status, error = pipe(server.url, "--timeout", timeout).wait()
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith(f"shmz: watch needs a --timeout of at least 20, not {timeout}: ")
    assert server.last_ids == []


def test_later_refusal_ends_it_and_is_reported_after_the_table(
    strange: Callable[..., Strange],
) -> None:
    server = strange(b":\n\n" + SNAPSHOT, None, b"")
    window = Picture([sys.executable, SHMZ, "-e", server.url, "watch"], environ())
    try:
        window.wait_for("live: 1 module")
        assert window.wait() == 1
        assert window.modes == {"25", "7"}
        assert window.rows[0].startswith(f"shmz: no events from {server.url}events: no\\x1b]0;")
    finally:
        window.close()


def test_server_that_closes_before_its_first_event_is_asked_again(
    strange: Callable[..., Strange], pipe: Callable[..., Piped]
) -> None:
    piped = pipe(strange(b":\n\n", SNAPSHOT).url)
    piped.wait_for("connection lost: closed by the server; reconnecting")
    piped.wait_for("watching")


@pytest.mark.parametrize(
    ("progress", "percent"),
    [(0, 0), (0.29, 29), (0.57, 57), (0.999, 99), (0.9999999, 99), (1, 100)],
)
def test_percentage_is_rounded_down(progress: float, percent: int) -> None:
    assert draw_bar(progress, 10).endswith(f" {percent:3}%")


# Pictures of anything

TEXTS = st.text() | st.sampled_from([HOSTILE, "字🍵", "\ud800", "e\u0301" * 30, "\u200d\ufe0f"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda values: st.lists(values) | st.dictionaries(TEXTS, values),
    max_leaves=5,
)
PARAMETERS = st.dictionaries(TEXTS | st.just("progress"), VALUES | st.floats(0, 1), max_size=5)
MODULES = st.fixed_dictionaries(
    {
        "uid": TEXTS,
        "type": TEXTS,
        "state": TEXTS | st.sampled_from(["playing", "suspended"]),
        "parameters": PARAMETERS,
    }
)
LIVES = st.builds(
    Live,
    url=TEXTS,
    # A few, several times: making up texts is what takes long.
    modules=st.builds(operator.mul, st.lists(MODULES, max_size=3), st.integers(1, 4)),
    background=st.none() | MODULES,
    gone=st.lists(
        st.fixed_dictionaries({"uid": TEXTS, "heading": TEXTS, "reason": TEXTS}), max_size=3
    ),
    lost=st.none() | TEXTS,
    has_begun=st.just(True),
)


#: Control characters, surrogates, ends of lines and paragraphs.
UNSAFE = {"Cc", "Cs", "Zl", "Zp"}
REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def is_plain(lines: Iterable[str]) -> bool:
    """Return True if nothing in the lines controls a terminal, or breaks or reorders a line."""
    return not any(category(c) in UNSAFE or bidirectional(c) in REORDERING for c in "".join(lines))


@settings(deadline=None, max_examples=60)
@given(live=LIVES, columns=st.integers(1, 200), height=st.integers(1, 40))
def test_table_fits_any_terminal_and_has_no_control_characters(
    live: Any, columns: int, height: int
) -> None:
    lines = render(live, columns, height)
    assert 1 <= len(lines) <= height
    assert is_plain(lines)
    assert max(map(width, lines)) <= columns


@settings(deadline=None, max_examples=30)
@given(before=LIVES, after=LIVES)
def test_lines_never_contain_control_characters(before: Any, after: Any) -> None:
    assert is_plain(describe_changes(before, after))
    assert describe_changes(after, after) == []
