"""A service: commands, refusals, queries between services, start and stop."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from support import (
    PATIENCE,
    Refusal,
    Site,
    child,
    failure,
    free_ports,
    has_ended,
    in_fresh_interpreter,
    is_listening,
    keep_alive,
    probe_site,
    refusals,
    wait_until,
)

from shmooze import settings
from shmooze.errors import Failure, PacketError, ServiceTimeout, ServiceUnreachable
from shmooze.lib import bot, packet, service
from shmooze.lib.service import JSONCommandProcessor, Service, json_query
from shmooze.runtime.program import name_of
from shmooze.settings import Settings


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One service for all tests that do not stop it."""
    site = probe_site(tmp_path_factory.mktemp("probe"))
    try:
        yield site.start()
    finally:
        site.close()


@pytest.fixture
def own_probe(tmp_path: Path) -> Iterator[Site]:
    """A service that the test may end."""
    site = probe_site(tmp_path / "probe")
    try:
        yield site.start()
    finally:
        site.close()


def send(client: HTTPConnection, cmd: str, **args: Any) -> None:
    body = json.dumps({"cmd": cmd, "args": args})
    client.request("POST", "/", body, {"Content-Type": "application/json"})


# Commands.


def test_a_command_is_answered_with_its_result(probe: Site) -> None:
    reply = probe.direct("probe", {"cmd": "echo", "args": {"value": {"ä": [1, None]}}})
    assert (reply.status, reply.json) == (200, {"success": True, "result": {"ä": [1, None]}})
    assert reply.headers["Content-Type"] == "application/json"


def test_args_may_be_left_out_and_no_result_is_null(probe: Site) -> None:
    assert probe.direct("probe", {"cmd": "nothing"}).json == {"success": True, "result": None}


def test_a_list_is_answered_in_order_and_a_failure_does_not_end_it(probe: Site) -> None:
    commands = [
        {"cmd": "echo", "args": {"value": 1}},
        {"cmd": "refuse", "args": {"words": "no"}},
        {"cmd": "crash"},
        {"cmd": "unspeakable"},
        {"cmd": "time_out"},
        "not a command",
        {"cmd": "nowhere"},
        {"cmd": "echo", "args": {"value": 2}},
    ]
    reply = probe.direct("probe", commands)
    assert reply.status == 200
    assert [answer["success"] for answer in reply.json] == [True, *[False] * 6, True]
    assert [reply.json[0]["result"], reply.json[-1]["result"]] == [1, 2]


def test_an_empty_list_is_answered_by_an_empty_list(probe: Site) -> None:
    reply = probe.direct("probe", [])
    assert (reply.status, reply.json) == (200, [])


def test_commands_of_a_list_run_in_turn_and_delay_no_other_client(probe: Site) -> None:
    client = keep_alive(probe.ports["probe"])
    wait_for = [{"cmd": "wait_for", "args": {"name": name}} for name in ("first", "second")]
    client.request("POST", "/", json.dumps(wait_for), {"Content-Type": "application/json"})
    wait_until((probe.folder / "begun-first").exists, "the first one begins")
    assert probe.ask("probe", "nothing") is None
    assert not (probe.folder / "begun-second").exists()
    (probe.folder / "first").touch()
    wait_until((probe.folder / "begun-second").exists, "the second one begins")
    (probe.folder / "second").touch()
    assert json.load(client.getresponse()) == [packet.good("done")] * 2
    client.close()


@pytest.mark.parametrize(
    ("cmd", "args", "words"),
    [
        ("nowhere", {}, "unknown command 'nowhere'; known: echo, typed, "),
        ("__init__", {}, "unknown command '__init__'"),
        ("typed", {}, "typed: argument `number` is missing"),
        ("typed", {"number": 1, "x": 2}, "typed: unknown argument `x`; known: `number`, `word`"),
        ("typed", {"number": 1, "self": 2}, "typed: unknown argument `self`"),
        ("nothing", {"x": 1}, "nothing: unknown argument `x`; known: none"),
        ("typed", {"number": "1"}, "typed: argument `number`: Expected `int`, got `str`"),
        ("typed", {"number": True}, "typed: argument `number`: Expected `int`, got `bool`"),
        ("typed", {"number": None}, "typed: argument `number`: Expected `int`, got `null`"),
        ("typed", {"number": 1, "names": [1]}, "typed: argument `names`: Expected `str`"),
        ("untyped", {"two": 1}, "untyped: argument `one` is missing"),
    ],
)
def test_an_error_names_the_command_and_the_argument(
    probe: Site, cmd: str, args: dict, words: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        probe.ask("probe", cmd, **args)
    assert words in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_defaults_and_other_arguments_reach_the_function(probe: Site) -> None:
    assert probe.ask("probe", "typed", number=1) == [1, "", []]
    assert probe.ask("probe", "typed", names=["a"], word="b", number=2) == [2, "b", ["a"]]
    assert probe.ask("probe", "untyped", one={"any": "kind"}) == [{"any": "kind"}, 2]
    assert probe.ask("probe", "anything", a=1, cmd="x") == {"a": 1, "cmd": "x"}


def test_the_message_of_a_command_error_is_the_answer(probe: Site) -> None:
    with pytest.raises(Refusal, match=r"^the device is in use$"):
        probe.ask("probe", "refuse", words="the device is in use")


@pytest.mark.parametrize(
    ("cmd", "bug"),
    [
        ("crash", "RuntimeError: a secret"),
        ("misuse", "TypeError: Probe.echo() takes 2 positional"),
        ("unspeakable", "TypeError: Encoding objects of type object"),
        ("blob", "TypeError: a packet cannot hold bytes: decode them to text first"),
        ("time_out", "Timeout: 0.01 seconds"),
    ],
)
def test_an_exception_in_a_command_is_an_internal_error_with_details_in_the_log(
    probe: Site, cmd: str, bug: str
) -> None:
    reply = probe.direct("probe", {"cmd": cmd})
    assert reply.status == 200
    assert failure(reply) == f"internal error in `{cmd}`; the log of `probe` has details"
    wait_until(lambda: bug in probe.log("probe"), "it is logged")
    assert "Traceback" in probe.log("probe")


def test_a_service_without_a_name_is_named_by_its_port_or_its_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Volume(JSONCommandProcessor, Service):
        port = 5600

    monkeypatch.setattr(settings, "_current", Settings(Path("s"), {"ports": {"vol": 5600}}))
    assert name_of(Volume()) == "vol"
    assert name_of(Volume(5601)) == "Volume"


def test_one_connection_carries_many_commands(probe: Site) -> None:
    client = keep_alive(probe.ports["probe"])
    client.connect()
    ours = client.sock.getsockname()
    for number in range(5):
        send(client, "echo", value=number)
        assert json.load(client.getresponse())["result"] == number
        assert client.sock.getsockname() == ours
    client.close()


# Services that ask each other.


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """The port of a server that answers one request with these bytes and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)


def test_json_query_returns_the_answer_even_a_failure_or_a_list(probe: Site) -> None:
    port = probe.ports["probe"]
    assert json_query("127.0.0.1", port, {"cmd": "nothing"}) == packet.good()
    assert json_query("localhost", port, {"cmd": "refuse", "args": {"words": "no"}}) == {
        "success": False,
        "error": "no",
    }
    assert json_query("127.0.0.1", port, [{"cmd": "nothing"}] * 2) == [packet.good()] * 2
    assert not json_query("127.0.0.1", port, "no packet")["success"]


def test_json_query_names_a_service_that_cannot_be_reached() -> None:
    [port] = free_ports(1)
    with pytest.raises(ServiceUnreachable, match=f"127.0.0.1:{port} cannot be reached"):
        json_query("127.0.0.1", port, {"cmd": "nothing"})


def test_json_query_names_a_service_that_does_not_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ServiceTimeout, match=rf"127.0.0.1:{port} did not .* within 0\.1 s"):
            json_query("127.0.0.1", port, {"cmd": "nothing"}, timeout=0.1)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html", PacketError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff", PacketError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", ServiceUnreachable),
        (b"220 smtp.example.org ready\r\n", ServiceUnreachable),
        (b"", ServiceUnreachable),
    ],
)
def test_json_query_distinguishes_invalid_json_from_a_broken_connection(
    answer: bytes, error: type
) -> None:
    with answering(answer) as port, pytest.raises(error, match=f"127.0.0.1:{port}"):
        json_query("127.0.0.1", port, {"cmd": "nothing"}, timeout=5)


def test_json_query_does_not_catch_a_timeout_of_its_caller() -> None:
    said = in_fresh_interpreter(
        "from gevent import monkey; monkey.patch_all()\n"
        "import gevent, socket\n"
        "from shmooze.lib.service import json_query\n"
        "silent, own = socket.create_server(('127.0.0.1', 0)), gevent.Timeout(0.1)\n"
        "try:\n"
        "    with own: json_query('127.0.0.1', silent.getsockname()[1], {'cmd': 'nothing'}, 20)\n"
        "except gevent.Timeout as late:\n"
        "    print(late is own)\n"
    )
    assert said == "True\n"


@pytest.mark.parametrize("client", ["json_query", "bot"])
def test_threads_and_forks_may_ask_and_leave_nothing_open(probe: Site, client: str) -> None:
    port = probe.ports["probe"]
    ask = {
        "json_query": f"json_query('127.0.0.1', {port}, {{'cmd': 'nothing'}}, {PATIENCE})",
        "bot": f"bot.request({{'cmd': 'nothing'}}, 'http://127.0.0.1:{port}/')",
    }[client]
    said = in_fresh_interpreter(
        "import os, threading\n"
        "from shmooze.lib import bot\n"
        "from shmooze.lib.service import json_query\n"
        f"def ask(): {ask}\n"
        "def opened(): return len(os.listdir('/proc/self/fd'))\n"
        "ask()\n"
        "before = opened()\n"
        "for _ in range(5):\n"
        "    thread = threading.Thread(target=ask); thread.start(); thread.join()\n"
        "print(opened() - before, flush=True)\n"
        "if (pid := os.fork()) == 0:\n"
        "    ask(); os._exit(0)\n"
        "print(os.waitpid(pid, 0)[1])\n"
    )
    assert said.split() == ["0", "0"]


def test_errors_of_json_query_are_subclasses_of_those_in_1_2_4() -> None:
    with pytest.raises(OSError):
        json_query("127.0.0.1", free_ports(1)[0], {"cmd": "nothing"})
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(service.TimeoutError):
        json_query("127.0.0.1", silent.getsockname()[1], {"cmd": "nothing"}, timeout=0.01)
    assert issubclass(ServiceUnreachable, ConnectionError)
    assert issubclass(ServiceTimeout, TimeoutError)


@pytest.mark.parametrize(
    "value", [b"x", bytearray(b"x"), memoryview(b"x"), [{"a": (b"x",)}], {b"x": 1}]
)
def test_json_query_refuses_bytes(value: Any) -> None:
    with pytest.raises(TypeError, match="a packet cannot hold bytes: decode them to text first"):
        json_query("127.0.0.1", 1, {"cmd": "echo", "args": {"value": value}})


@pytest.mark.parametrize("token", ["a\r\nb: c", "€"])
def test_json_query_refuses_a_malformed_token(token: str) -> None:
    with pytest.raises(ValueError, match="a token is one line"):
        json_query("127.0.0.1", 1, {"cmd": "nothing"}, token=token)


def test_json_query_refuses_a_malformed_host_name() -> None:
    with pytest.raises(ServiceUnreachable, match=r"a\.\.b:1 cannot be reached"):
        json_query("a..b", 1, {"cmd": "nothing"})


# Programs written for 1.2.4.


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("coroutine", "remove `@coroutine` and `yield`"),
        ("Return", "write `return VALUE` for `raise Return\\(VALUE\\)`"),
        ("ioloop", r"end the program with `\.serve_forever\(\)`"),
        ("Lock", "gevent.lock.Semaphore"),
    ],
)
def test_a_removed_name_of_1_2_4_says_what_to_use_instead(name: str, step: str) -> None:
    removed = rf"`shmooze\.lib\.service\.{name}` of shmooze 1\.2\.4 was removed"
    words = f"{removed}: .*{step}.*docs/how-to/migrate.md"
    with pytest.raises(ImportError, match=words):
        getattr(service, name)
    with pytest.raises(ImportError, match=words):
        exec(f"from shmooze.lib.service import {name}")


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(service, "corutine")
    with pytest.raises(ImportError, match="cannot import name 'corutine'"):
        exec("from shmooze.lib.service import corutine")


@pytest.mark.parametrize("function", ["async def f(self): pass", "def f(self): yield"])
def test_a_command_that_is_a_coroutine_is_refused_at_the_start(function: str) -> None:
    code = f"""
from gevent import monkey; monkey.patch_all()
from shmooze.lib.service import JSONCommandProcessor, Service
{function}
class Old(JSONCommandProcessor, Service):
    port = {free_ports(1)[0]}
    commands = {{"get": f}}
Old().serve_forever()"""
    [line] = refusals([sys.executable, "-c", code])
    assert line.startswith("shmooze: the function of command 'get' has `yield` or `async` in it: ")


def test_bot_works_as_in_1_2_4(probe: Site) -> None:
    url = f"http://127.0.0.1:{probe.ports['probe']}/"
    assert bot.request({"cmd": "echo", "args": {"value": "ü"}}, url) == "ü"
    with pytest.raises(Failure, match=r"^no$"):
        bot.request({"cmd": "refuse", "args": {"words": "no"}}, url)
    with pytest.raises(Failure, match="there is nothing at /nowhere"):
        bot.request({"cmd": "nothing"}, f"{url}nowhere")
    with pytest.raises(OSError):
        bot.request({"cmd": "nothing"}, f"http://127.0.0.1:{free_ports(1)[0]}/")


def test_bot_asks_over_tls_and_checks_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "localhost.crt", tmp_path / "localhost.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-out", certificate, "-keyout", key),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    lines = []

    def serve() -> None:
        for _ in range(2):
            with suppress(OSError), context.wrap_socket(listener.accept()[0], True) as connection:
                lines.append(connection.recv(1 << 16).partition(b"\r\n")[0])
                body = packet.encode(packet.good("yes"))
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}/a/queue?b"
        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(OSError, match="certificate"):
            bot.request({"cmd": "nothing"}, url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert bot.request({"cmd": "nothing"}, url) == "yes"
        thread.join(PATIENCE)
    assert lines == [b"POST /a/queue?b HTTP/1.1"]


def test_bot_quotes_a_path_and_refuses_a_malformed_token(
    probe: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{probe.ports['probe']}/"
    with pytest.raises(Failure, match="there is nothing at /ä b"):
        bot.request({"cmd": "nothing"}, f"{url}ä b")
    monkeypatch.setenv("SHMOOZE_TOKEN", "a\r\nX: b")
    with pytest.raises(ValueError, match="a token is one line"):
        bot.request({"cmd": "nothing"}, url)


@pytest.mark.parametrize("endpoint", ["localhost:8080", "ftp://localhost/", "http:///queue"])
def test_bot_asks_only_by_http(endpoint: str) -> None:
    with pytest.raises(ValueError, match="the endpoint must be a URL of http or https"):
        bot.request({"cmd": "nothing"}, endpoint)


# Start and stop.


def test_an_unpatched_program_ends_with_a_one_line_error() -> None:
    [line] = refusals(child("svc_unpatched"))
    assert line.startswith("shmooze: gevent has not patched this program: its first two lines")


@pytest.mark.slow
def test_a_port_in_use_is_a_one_line_error_and_status_2(tmp_path: Path) -> None:
    types = {"modules": {"t": {"process": ["true"]}}}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "settings.json"
        names = ("wsgi", "queue", "pool", "probe")
        for name in names:
            file.write_text(json.dumps({"ports": {name: port}, name: types}))
            program = [sys.executable, "-m", f"shmooze.{name}"]
            argv = child("svc_probe", "probe") if name == "probe" else program
            [line] = refusals(argv, settings_file=file)
            assert line == f"shmooze: cannot listen on 127.0.0.1:{port}: Address already in use"


SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stop_waits_for_an_answer_in_progress(own_probe: Site, number: signal.Signals) -> None:
    client = keep_alive(own_probe.ports["probe"])
    send(client, "wait_for", name="release")
    wait_until((own_probe.folder / "begun-release").exists, "the command begins")
    process = own_probe.processes.pop("probe")
    process.send_signal(number)
    wait_until(lambda: not is_listening(own_probe.ports["probe"]), "it has stopped listening")
    process.send_signal(number)  # an impatient second one changes nothing
    (own_probe.folder / "release").touch()
    answer = client.getresponse()
    assert (answer.status, json.load(answer)) == (200, packet.good("done"))
    assert process.wait(PATIENCE) == 0
    client.close()


@pytest.mark.parametrize("number", SIGNALS)
def test_idle_connections_do_not_delay_a_stop(own_probe: Site, number: signal.Signals) -> None:
    used, unused = keep_alive(own_probe.ports["probe"]), keep_alive(own_probe.ports["probe"])
    send(used, "nothing")
    assert json.load(used.getresponse())["success"]
    unused.connect()
    assert own_probe.stop(signal_number=number) == {"probe": 0}
    for client in (used, unused):
        assert has_ended(client.sock)
        client.close()
