"""Access control: tokens and roles, hosts and origins, proxies, limits for each client."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from events import Watcher
from support import (
    CHILDREN,
    PATIENCE,
    ROOT,
    Reply,
    Site,
    child,
    failure,
    http,
    probe_site,
    raw_http,
    refusals,
    wait_for_log,
    wait_until,
)

from shmooze.access import throttle
from shmooze.access.gate import CLIENT, AccessGate
from shmooze.access.scopes import EVERYTHING
from shmooze.access.throttle import Throttle
from shmooze.access.token_file import Holder, TokenFile
from shmooze.errors import SettingsError
from shmooze.settings import Settings

WELL = {"process": child("well")}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def tokens(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "shmooze.tokens", *words]
    return subprocess.run(argv, env=site.environ, capture_output=True, text=True, timeout=30)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def curl(*words: str) -> str:
    """What curl prints, headers included. Redirects are not followed."""
    argv = ["curl", "-sS", "-i", "-m", "20", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout


class Guarded:
    """An application with tokens: `control`, `read`, and `wrong`, which is not valid."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.control = tokens(site, "add", "ada").stdout.strip()
        self.read = tokens(site, "add", "screen", "--role", "read").stdout.strip()
        self.wrong = "x" * len(self.control)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    site = Site(
        folder,
        ("wsgi", "queue", "pool"),
        {
            "tokens_path": str(folder / "tokens.json"),
            "public": ["ports", "tokens_path"],
            "queue": {"modules": {"well": WELL}, "backgrounds": {"well": WELL}},
            "pool": {"modules": {"well": WELL}},
        },
    )
    guarded = Guarded(site)
    try:
        site.start()
        yield guarded
    finally:
        site.close()


PLACES = ("gateway", "service")


def send(guarded: Guarded, place: str, packet: Any, token: str | None = None) -> Reply:
    headers = bearer(token) if token else {}
    site = guarded.site
    ask = site.post if place == "gateway" else site.direct
    return ask("queue", packet, headers=headers)


@pytest.mark.parametrize("place", PLACES)
def test_a_request_without_a_token_is_unauthorized(guarded: Guarded, place: str) -> None:
    reply = send(guarded, place, {"cmd": "queue"})
    assert reply.status == 401
    assert "a token is needed" in failure(reply)
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="shmooze"'


@pytest.mark.parametrize("place", PLACES)
def test_an_invalid_token_is_refused_and_the_client_is_logged_but_not_the_token(
    guarded: Guarded, place: str
) -> None:
    reply = send(guarded, place, {"cmd": "queue"}, guarded.wrong)
    assert reply.status == 401
    assert failure(reply) == "the token is not valid"
    name = "wsgi" if place == "gateway" else "queue"
    wait_until(lambda: "127.0.0.1: invalid token" in guarded.site.log(name), "it is logged")
    assert guarded.wrong not in guarded.site.log(name)


@pytest.mark.parametrize("place", PLACES)
def test_a_control_token_allows_everything(guarded: Guarded, place: str) -> None:
    added = send(guarded, place, {"cmd": "add", "args": {"type": "well"}}, guarded.control)
    uid = added.json["result"]["uid"]
    told = {"cmd": "tell_module", "args": {"uid": uid, "cmd": "echo", "args": {"x": 1}}}
    assert send(guarded, place, told, guarded.control).json["result"] == {"x": 1}
    removed = send(guarded, place, {"cmd": "rm", "args": {"uids": [uid]}}, guarded.control)
    assert removed.json["success"]


ASKING = [
    "queue",
    "bg",
    "modules_available",
    "backgrounds_available",
    "gone",
    "usage",
    "standby_available",
]
CHANGING: list[tuple[str, dict[str, Any]]] = [
    ("add", {"type": "well"}),
    ("set_bg", {"type": "well"}),
    ("rm", {"uids": []}),
    ("mv", {"uids": []}),
    ("tell_module", {"uid": "x", "cmd": "echo"}),
    ("tell_background", {"uid": "x", "cmd": "echo"}),
]


@pytest.mark.parametrize("place", PLACES)
def test_a_read_token_allows_queries_and_no_changes(guarded: Guarded, place: str) -> None:
    uid = send(guarded, place, {"cmd": "add", "args": {"type": "well"}}, guarded.control)
    uid = uid.json["result"]["uid"]
    asking = [
        *({"cmd": cmd} for cmd in ASKING),
        {"cmd": "output", "args": {"uid": uid}},
        {"cmd": "ask_module", "args": {"uid": uid, "parameters": ["playing"]}},
    ]
    assert all(each["success"] for each in send(guarded, place, asking, guarded.read).json)
    changing = [{"cmd": cmd, "args": args} for cmd, args in CHANGING]
    answers = send(guarded, place, changing, guarded.read).json
    for (cmd, _), answer in zip(CHANGING, answers, strict=True):
        assert answer == {"success": False, "error": f"{cmd}: this token may only read"}
    send(guarded, place, {"cmd": "rm", "args": {"uids": [uid]}}, guarded.control)


def test_a_read_token_allows_watching(guarded: Guarded) -> None:
    for name, path in (("wsgi", "/queue/events"), ("queue", "/events")):
        url = f"http://127.0.0.1:{guarded.site.ports[name]}{path}"
        assert http(url).status == 401
        watcher = Watcher(guarded.site.ports[name], path, **bearer(guarded.read))
        wait_until(lambda w=watcher: w.events, "the snapshot comes")
        watcher.close()


def test_a_revoked_token_stops_working_at_once(guarded: Guarded) -> None:
    token = tokens(guarded.site, "add", "guest").stdout.strip()
    for place in PLACES:
        assert send(guarded, place, {"cmd": "queue"}, token).status == 200
    assert tokens(guarded.site, "revoke", "guest").returncode == 0
    for place in PLACES:
        assert send(guarded, place, {"cmd": "queue"}, token).status == 401


@pytest.mark.parametrize("place", PLACES)
def test_revoking_a_token_ends_its_event_streams(guarded: Guarded, place: str) -> None:
    token = tokens(guarded.site, "add", "visitor", "--role", "read").stdout.strip()
    name, path = ("wsgi", "/queue/events") if place == "gateway" else ("queue", "/events")
    watcher = Watcher(guarded.site.ports[name], path, **bearer(token))
    wait_until(lambda: watcher.events, "the snapshot comes")
    tokens(guarded.site, "revoke", "visitor")
    added = send(guarded, place, {"cmd": "add", "args": {"type": "well"}}, guarded.control)
    assert watcher.ended.wait(10)
    uid = added.json["result"]["uid"]
    assert uid not in str(watcher.events)
    watcher.close()
    send(guarded, place, {"cmd": "rm", "args": {"uids": [uid]}}, guarded.control)


@pytest.mark.slow
def test_each_invalid_token_of_a_client_is_answered_later(guarded: Guarded) -> None:
    begun = time.monotonic()
    for _ in range(3):
        wrong = ("-H", f"Authorization: Bearer {'y' * 43}", "--interface", "127.0.0.4")
        assert "401 Unauthorized" in curl(*wrong, f"{guarded.site.url}settings.json")
    assert time.monotonic() - begun > 0.25 + 0.5 + 1


def test_the_throttle_forgets_old_failures_and_more_clients_than_it_may_remember(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(throttle, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Throttle, "max_clients", 2)
    counted = Throttle()
    assert [counted.fail("a") for _ in range(7)] == [0.25, 0.5, 1, 2, 4, 8, 8]
    assert counted.fail("b") == 0.25
    now[0] += Throttle.memory + 1
    assert counted.fail("a") == 0.25, "too long ago"
    assert [counted.fail("b"), counted.fail("c")] == [0.25, 0.25]
    assert [counted.fail("b"), counted.fail("a")] == [0.5, 0.25], "only `a` is forgotten for `c`"


@pytest.mark.parametrize("path", ["", "static/shmooze.js", "settings.json", "static/index.html"])
def test_files_and_settings_need_a_token_as_well(guarded: Guarded, path: str) -> None:
    assert http(guarded.site.url + path).status == 401
    assert http(guarded.site.url + path, headers=bearer(guarded.read)).status == 200


def test_tokens_appear_in_no_answer_and_no_log(guarded: Guarded) -> None:
    site = guarded.site
    settings = http(f"{site.url}settings.json", headers=bearer(guarded.read)).body.decode()
    added = send(guarded, "gateway", {"cmd": "add", "args": {"type": "well"}}, guarded.control)
    uids = [added.json["result"]["uid"]]
    send(guarded, "service", {"cmd": "rm", "args": {"uids": uids}}, guarded.control)
    send(guarded, "gateway", {"cmd": "rm", "args": {"uids": []}}, guarded.read)
    rows = wait_until(
        lambda: [each for each in wait_for_log(site.folder / "log.db") if each[2]["cmd"] == "rm"],
        "the commands are in the log",
    )
    shown = settings + "".join(site.log(name) for name in site.ports)
    shown += json.dumps(wait_for_log(site.folder / "log.db"))
    assert rows and "queue" in shown
    for token in (guarded.control, guarded.read):
        assert token not in shown


def test_the_log_names_the_token_of_a_command_however_it_came(guarded: Guarded) -> None:
    sent = [(place, token) for place in PLACES for token in (guarded.control, guarded.read)]
    for number, (place, token) in enumerate(sent):
        send(guarded, place, {"cmd": "mv", "args": {"uids": [f"{number}"]}}, token)
    query = (
        """SELECT "by" FROM queue_log WHERE json_extract(input_json, '$.cmd') = 'mv'"""
        " AND json_extract(input_json, '$.args.uids[0]') IS NOT NULL ORDER BY pk"
    )
    names = wait_until(
        lambda: len(rows := read_log(guarded.site, query)) == len(sent) and rows,
        "all are in the log",
    )
    assert names == [("ada",), ("screen",)] * 2


def read_log(site: Site, query: str) -> list[Any]:
    with closing(sqlite3.connect(site.folder / "log.db")) as reader:
        return reader.execute(query).fetchall()


def test_a_token_for_one_service_is_denied_by_all_others(guarded: Guarded) -> None:
    token = tokens(guarded.site, "add", "guest", "--scope", "add", "--scope", "service:pool")
    headers = bearer(token.stdout.strip())
    for ask in (guarded.site.post, guarded.site.direct):
        assert ask("pool", {"cmd": "pool"}, headers=headers).json["success"]
        denied = ask("queue", {"cmd": "queue"}, headers=headers)
        assert denied.status == 403
        assert failure(denied) == "this token may not use the service 'queue'"
    for port, path in (("wsgi", "/queue/events"), ("queue", "/events")):
        url = f"http://127.0.0.1:{guarded.site.ports[port]}{path}"
        assert http(url, headers=headers).status == 403
    assert http(guarded.site.url, headers=headers).status == 200
    tokens(guarded.site, "revoke", "guest")


# A browser


def test_a_browser_is_redirected_to_the_form_and_gets_in_with_its_cookie(guarded: Guarded) -> None:
    url, html = guarded.site.url, "Accept: text/html"
    assert "303 See Other" in curl("-H", html, url)
    assert re.search("(?i)^location: login\r?$", curl("-H", html, url), re.M)
    form = http(f"{url}login")
    assert form.status == 200
    assert b'type="password"' in form.body
    answer = curl("-d", urlencode({"token": guarded.control}), f"{url}login")
    assert "303 See Other" in answer
    (cookie,) = re.findall("(?i)^set-cookie: (.*?)\r?$", answer, re.M)
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    headers = {"Cookie": cookie.partition(";")[0]}
    assert http(url, headers=headers).status == 200
    assert guarded.site.post("queue", {"cmd": "queue"}, headers=headers).json["success"]
    # Other cookies are ignored, and an invalid one redirects to the form.
    among = {"Cookie": f'a="b; c[=d; {headers["Cookie"]}; e=f'}
    assert http(url, headers=among).status == 200
    stale = headers["Cookie"][:-1] + "!"
    # From another address, which the invalid tokens of other tests have not slowed down.
    shown = ("-H", f"Cookie: {stale}", "--interface", "127.0.0.2")
    assert "303 See Other" in curl("-H", html, *shown, url)
    # Services do not read cookies.
    assert guarded.site.direct("queue", {"cmd": "queue"}, headers=headers).status == 401


def test_the_form_says_that_a_token_is_not_valid(guarded: Guarded) -> None:
    wrong = urlencode({"token": "<script>"})
    answer = curl("-d", wrong, "--interface", "127.0.0.3", f"{guarded.site.url}login")
    assert "401 Unauthorized" in answer
    assert "The token is not valid." in answer
    assert "set-cookie:" not in answer.lower()


def test_the_form_loads_nothing_and_shows_names_as_text(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(
        services=("wsgi",), settings={"name": "<i>{{title}}", "tokens_path": "$HERE/tokens.json"}
    )
    TokenFile(str(site.folder / "tokens.json")).add("ada", "control")
    form = http(f"{site.start().url}login")
    page = form.body.decode()
    assert "<title>Log in to &lt;i&gt;{{title}}</title>" in page
    assert "<h1>&lt;i&gt;{{title}}</h1>" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "url(" not in page
    assert form.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src")


def test_the_form_must_be_sent_as_a_form(guarded: Guarded) -> None:
    for kind in ("multipart/form-data; boundary=x; charset=nope", "application/json", "text/plain"):
        reply = http(f"{guarded.site.url}login", b"token=x", headers={"Content-Type": kind})
        assert reply.status == 415
        assert failure(reply) == f"Content-Type must be {FORM['Content-Type']}"


def test_pages_of_other_origins_cannot_log_a_browser_in_or_out(guarded: Guarded) -> None:
    foreign = {"Origin": "http://evil.example", **FORM}
    for path in ("login", "logout"):
        body = urlencode({"token": guarded.control}).encode()
        assert http(f"{guarded.site.url}{path}", body, headers=foreign).status == 403


# The clients


@pytest.mark.slow
def test_shmz_sends_its_token(guarded: Guarded, tmp_path: Path) -> None:
    def shmz(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, str(ROOT / "scripts" / "shmz"), "-e", f"{guarded.site.url}queue"]
        environ = {**os.environ, **environ}
        return subprocess.run(
            [*argv, *words], env=environ, capture_output=True, text=True, timeout=30
        )

    assert shmz("queue").returncode == 1
    assert "a token is needed" in shmz("queue").stderr
    assert "--token-file" in shmz("queue").stderr
    assert shmz("queue", SHMOOZE_TOKEN=guarded.read).stdout == "[]\n"
    file = tmp_path / "token"
    file.write_text(guarded.control + "\n")
    assert shmz("--token-file", str(file), "queue").stdout == "[]\n"
    missing = shmz("--token-file", str(tmp_path / "none"), "queue")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert "No such file" in missing.stderr


def test_json_query_sends_a_token(guarded: Guarded) -> None:
    code = (
        "from shmooze.lib.service import json_query\n"
        f"print(json_query('127.0.0.1', {guarded.site.ports['queue']}, {{'cmd': 'queue'}}))"
    )
    environ = {**guarded.site.environ, "SHMOOZE_TOKEN": guarded.read}
    argv = [sys.executable, "-c", code]
    ran = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=30)
    assert ran.stdout == "{'success': True, 'result': []}\n", ran.stderr


# The file


def test_tokens_are_those_of_the_settings_in_this_folder(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"tokens_path": "tokens.json"}')
    argv = [sys.executable, "-m", "shmooze.tokens", "add", "ada"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    environ.pop("SHMOOZE_SETTINGS", None)
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert TokenFile(str(tmp_path / "tokens.json")).holder_of(done.stdout.strip()) is not None


def test_tokens_are_added_listed_and_revoked(make_site: Callable[..., Site]) -> None:
    site = make_site(services=("wsgi",))
    site.settings["tokens_path"] = "$HERE/tokens.json"
    site.settings_file.write_text(json.dumps(site.settings))
    file = site.folder / "tokens.json"
    assert "; `python -m shmooze.tokens add NAME` creates it\n" in tokens(site, "list").stderr
    made = tokens(site, "add", "ada")
    assert re.fullmatch(r"[\w-]{43}\n", made.stdout)
    assert tokens(site, "add", "bob", "--role", "read").stdout != made.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    assert made.stdout.strip() not in file.read_text()
    assert tokens(site, "list").stdout == "control  ada\nread     bob\n"
    again = tokens(site, "add", "ada")
    assert (again.returncode, again.stdout) == (2, "")
    assert (
        again.stderr
        == f"shmooze: token file {file}: has a token for 'ada' already; revoke it first\n"
    )
    assert tokens(site, "revoke", "ada").returncode == 0
    assert tokens(site, "list").stdout == "read     bob\n"
    assert "no token for 'ada'; known: bob" in tokens(site, "revoke", "ada").stderr
    assert "letters, digits" in tokens(site, "add", "a b").stderr
    tokens(site, "revoke", "bob")
    none = tokens(site, "list")
    assert (none.returncode, none.stdout) == (0, "")
    assert none.stderr == f"There are no tokens in {file}.\n"


def test_the_program_says_that_tokens_path_is_not_set(make_site: Callable[..., Site]) -> None:
    told = tokens(make_site(services=("wsgi",)), "list")
    assert told.returncode == 2
    assert "`tokens_path` is not set" in told.stderr
    assert len(told.stderr.splitlines()) == 1


GOOD = {"ada": {"sha256": "0" * 64, "role": "read"}}
ADA = json.dumps(GOOD)[1:-1]


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (json.dumps(GOOD), 0o644, "is open to other users"),
        (json.dumps(GOOD), 0o620, "is open to other users"),
        (None, 0o600, "cannot be read: No such file"),
        ("{", 0o600, "broken JSON at line 1 column 2: "),
        ("[" * 100_000, 0o600, "broken JSON: nested too deeply"),
        (f"{{{ADA}, {ADA}}}", 0o600, 'duplicate key "ada" in one object'),
        ("[]", 0o600, "must hold one JSON object"),
        ('{"ada": 1}', 0o600, "`ada` must be an object"),
        ('{"ada": {"role": "read"}}', 0o600, "`ada.sha256` must be 64 hex digits"),
        (
            json.dumps(GOOD).replace("read", "root"),
            0o600,
            "`ada.role` must be one of control, read",
        ),
    ],
)
def test_an_invalid_token_file_is_refused(
    tmp_path: Path, text: str | None, mode: int, words: str
) -> None:
    file = tmp_path / "tokens.json"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    with pytest.raises(SettingsError) as bad:
        TokenFile(str(file)).load()
    assert str(bad.value).startswith(f"token file {file}: ")
    assert words in str(bad.value)


def test_no_program_starts_with_an_invalid_token_file(make_site: Callable[..., Site]) -> None:
    site = make_site(services=("wsgi", "pool"))
    file = site.folder / "tokens.json"
    site.settings |= {"tokens_path": str(file), "pool": {"modules": {"well": WELL}}}
    site.settings_file.write_text(json.dumps(site.settings))
    file.write_text(json.dumps(GOOD))
    file.chmod(0o644)
    programs = [[sys.executable, "-m", f"shmooze.{name}"] for name in ("wsgi", "pool")]
    for line in refusals(*programs, settings_file=site.settings_file):
        assert line.startswith(f"shmooze: token file {file}: ")
        assert "is open to other users" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"ada": {"role": "read", "sha256": %s}}' % ("1" * 64), "`ada.sha256` must be 64 hex"),
        ('{"a\\nb": 1}', r"`a\nb` must be an object"),
    ],
)
def test_a_mistake_in_a_token_file_is_told_in_one_line(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(SettingsError) as bad:
        TokenFile(str(file)).load()
    assert words in str(bad.value)
    assert len(str(bad.value).splitlines()) == 1


def test_a_token_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    file.chmod(0o600)
    assert TokenFile(str(file)).load() == GOOD


def test_access_is_denied_to_everyone_while_the_token_file_is_broken(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(services=("pool",))
    site.settings |= {
        "tokens_path": str(site.folder / "tokens.json"),
        "pool": {"modules": {"well": WELL}},
    }
    site.settings_file.write_text(json.dumps(site.settings))
    token = tokens(site, "add", "ada").stdout.strip()
    site.start()
    assert site.direct("pool", {"cmd": "pool"}, headers=bearer(token)).status == 200
    good = (site.folder / "tokens.json").read_text()
    (site.folder / "tokens.json").write_text("{")
    for _ in range(2):
        reply = site.direct("pool", {"cmd": "pool"}, headers=bearer(token))
        assert reply.status == 503
        assert "the token file cannot be read" in failure(reply)
    wait_until(
        lambda: "access is denied to everyone: token file" in site.log("pool"), "it is logged"
    )
    (site.folder / "tokens.json").write_text(good)
    assert site.direct("pool", {"cmd": "pool"}, headers=bearer(token)).status == 200
    assert site.log("pool").count("access is denied to everyone") == 1


def test_a_token_file_is_read_again_after_a_temporary_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = TokenFile(str(tmp_path / "tokens.json"))
    token = file.add("ada", "control")

    def fail_to_open(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fail_to_open)
        with pytest.raises(SettingsError, match="Too many open files"):
            file.holder_of(token)
    assert file.holder_of(token) == Holder("ada", EVERYTHING)


def test_tokens_added_at_the_same_time_are_all_kept(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(services=("wsgi",))
    file = site.folder / "tokens.json"
    add = [sys.executable, "-m", "shmooze.tokens", "--file", str(file), "add"]
    programs = [
        subprocess.Popen([*add, f"n{each}"], env=site.environ, stdout=subprocess.DEVNULL)
        for each in range(8)
    ]
    assert [program.wait(PATIENCE) for program in programs] == [0] * 8
    assert sorted(TokenFile(str(file)).load()) == [f"n{each}" for each in range(8)]
    assert [each.name for each in site.folder.glob("*tokens*")] == ["tokens.json"]


# Hosts, origins, proxies


@pytest.mark.parametrize("said", ["fe80::1%a\r\n b", "fe80::1%a\nX-More: 1", "192.0.2.1\r\n"])
def test_a_forwarded_address_with_line_breaks_is_ignored(said: str) -> None:
    """Another WSGI server may pass on a header of several lines."""
    seen = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        return []

    source = Settings(Path("settings.json"), {"trusted_proxies": ["127.0.0.1"]})
    environ = {"REQUEST_METHOD": "POST", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1"}
    AccessGate(application, "127.0.0.1", source)({**environ, "HTTP_X_FORWARDED_FOR": said}, None)
    assert seen[CLIENT] == "127.0.0.1"


@pytest.fixture(scope="module")
def open_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    quick = {"process": ["bash", str(CHILDREN / "quick.sh")]}
    site = Site(
        tmp_path_factory.mktemp("open"),
        ("wsgi", "pool"),
        {
            "allowed_hosts": ["Jukebox.example", "[2001:db8::1]"],
            "allowed_origins": [
                "https://page.example",
                "http://other.example:8000",
                "http://plain.example:80",
            ],
            "trusted_proxies": ["127.0.0.0/8"],
            "pool": {"modules": {"quick": quick}, "max_adds_per_minute": 3, "max_modules": 20},
        },
    )
    try:
        yield site.start()
    finally:
        site.close()


@pytest.mark.parametrize(
    "host",
    [
        "jukebox.example",
        "JUKEBOX.example:99",
        "jukebox.example.",
        "jukebox.example.:99",
        "[2001:db8::1]",
        "[2001:DB8:0:0::1]:99",
    ],
)
def test_hosts_that_the_settings_allow_are_accepted(open_site: Site, host: str) -> None:
    assert open_site.post("pool", {"cmd": "pool"}, headers={"Host": host}).status == 200
    assert open_site.direct("pool", {"cmd": "pool"}, headers={"Host": host}).status == 200


@pytest.mark.parametrize("host", ["a.jukebox.example", "jukebox.example.evil", "xjukebox.example"])
def test_hosts_that_look_similar_are_denied(open_site: Site, host: str) -> None:
    assert open_site.post("pool", {"cmd": "pool"}, headers={"Host": host}).status == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://page.example", 200),
        ("http://other.example:8000", 200),
        ("https://page.example:443", 200),
        ("https://PAGE.example.", 200),
        ("http://plain.example", 200),
        ("http://page.example", 403),
        ("https://page.example:444", 403),
        ("https://page.example.evil", 403),
        ("https://xpage.example", 403),
        ("http://other.example", 403),
        ("https://page.example/", 403),
    ],
)
def test_only_origins_that_the_settings_allow_are_accepted(
    open_site: Site, origin: str, status: int
) -> None:
    reply = open_site.post("pool", {"cmd": "pool"}, headers={"Origin": origin})
    assert reply.status == status
    assert (reply.headers["Access-Control-Allow-Origin"] == origin) == (status == 200)
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    before = http(f"{open_site.url}pool", method="OPTIONS", headers=asked)
    assert before.status == (204 if status == 200 else 403)
    if status == 200:
        assert "Content-Type" in before.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    ("proto", "host", "origin", "status"),
    [
        ("https", "jukebox.example", "https://jukebox.example", 200),
        ("https", "jukebox.example:443", "https://jukebox.example", 200),
        ("https", "jukebox.example", "https://jukebox.example:443", 200),
        ("HTTPS , http", "jukebox.example", "https://jukebox.example", 200),
        ("https, http", "jukebox.example", "http://jukebox.example", 403),
        ("https", "jukebox.example:80", "https://jukebox.example", 403),
        ("http, https", "jukebox.example", "https://jukebox.example", 403),
        ("nonsense", "jukebox.example", "http://jukebox.example", 200),
    ],
)
def test_the_scheme_of_our_own_origin_is_the_first_proxys(
    open_site: Site, proto: str, host: str, origin: str, status: int
) -> None:
    headers = {"Host": host, "Origin": origin, "X-Forwarded-Proto": proto}
    assert open_site.post("pool", {"cmd": "pool"}, headers=headers).status == status


#: Refused by the server itself, before the access gate sees them.
REFUSED = {
    400: b"POST /pool HTTP/1.1\r\n%s\r\nContent-Length: many\r\n\r\n",
    413: b"POST /pool HTTP/1.1\r\n%s\r\nContent-Length: 99999999\r\n\r\n",
    414: b"POST /" + 9000 * b"x" + b" HTTP/1.1\r\n%s\r\n\r\n",
    417: b"POST /pool HTTP/1.1\r\n%s\r\nExpect: nothing\r\n\r\n",
    431: b"POST /pool HTTP/1.1\r\n%s\r\nX: " + 40_000 * b"x",
    501: b"POST /pool HTTP/1.1\r\n%s\r\nTransfer-Encoding: gzip\r\n\r\n",
    505: b"POST /pool HTTP/3.0\r\n%s\r\n\r\n",
}


@pytest.mark.parametrize("service", ["wsgi", "pool"])
@pytest.mark.parametrize("status", REFUSED)
def test_pages_of_allowed_origins_can_read_why_a_request_was_refused(
    open_site: Site, status: int, service: str
) -> None:
    port = open_site.ports[service]
    for origin, allowed in (("https://page.example", True), ("https://evil.example", False)):
        headers = f"Host: localhost\r\nOrigin: {origin}".encode()
        reply, ends = raw_http(port, REFUSED[status] % headers)
        assert (reply.status, ends) == (status, True)
        assert reply.headers["Access-Control-Allow-Origin"] == (origin if allowed else None)
        assert reply.headers["Vary"] == "Origin"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_a_refusal_depends_on_the_origin_of_its_own_request(open_site: Site) -> None:
    good = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nOrigin: https://page.example\r\n\r\n"
    with socket.create_connection(("127.0.0.1", open_site.ports["wsgi"])) as connection:
        connection.sendall(good + b"nonsense\r\n\r\n")
        answers = b"".join(iter(partial(connection.recv, 65536), b""))
    allowed = [b"Access-Control-Allow-Origin" in each for each in answers.split(b"HTTP/1.1 ")[1:]]
    assert allowed == [True, False]


def test_pages_of_allowed_origins_can_read_that_a_request_timed_out(tmp_path: Path) -> None:
    origin = "https://page.example"
    site = probe_site(tmp_path, allowed_origins=[origin], header_timeout=0.2, body_timeout=0.2)
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n".encode()
    try:
        site.start()
        for begun in (head, head + b"Content-Length: 1\r\n\r\n"):
            reply, _ = raw_http(site.ports["probe"], begun)
            assert reply.status == 408
            assert reply.headers["Access-Control-Allow-Origin"] == origin
    finally:
        site.close()


def add(site: Site, forwarded: str | None = None, direct: bool = False) -> Reply:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    ask = site.direct if direct else site.post
    return ask("pool", {"cmd": "add", "args": {"type": "quick"}}, headers=headers)


def test_the_limit_of_adds_a_minute_counts_each_client_behind_a_trusted_proxy(
    open_site: Site,
) -> None:
    for client in ("192.0.2.1", "192.0.2.2"):
        for _ in range(3):
            assert add(open_site, client).status == 200
        refused = add(open_site, client)
        assert refused.status == 429
        assert failure(refused) == "limit reached (3 new modules a minute for one client)"
        assert 50 < int(refused.headers["Retry-After"]) <= 60
    # Addresses that the client itself has put in front of its proxy's are ignored.
    assert add(open_site, "192.0.2.99, 192.0.2.1").status == 429


def test_forwarded_addresses_of_others_than_trusted_proxies_are_ignored(
    make_site: Callable[..., Site],
) -> None:
    quick = {"process": ["bash", str(CHILDREN / "quick.sh")]}
    pool = {"modules": {"quick": quick}}
    site = make_site(
        services=("wsgi", "pool"), settings={"pool": pool, "max_adds_per_minute": 1}
    ).start()
    assert add(site, "192.0.2.1").status == 200
    assert add(site, "192.0.2.2").status == 429


def test_a_list_of_commands_is_answered_even_if_one_exceeds_the_limit(open_site: Site) -> None:
    packets = 4 * [{"cmd": "add", "args": {"type": "quick"}}]
    reply = open_site.post("pool", packets, headers={"X-Forwarded-For": "192.0.2.3"})
    assert reply.status == 200
    assert [each["success"] for each in reply.json] == [True, True, True, False]
    assert "Retry-After" in reply.headers


def test_a_pool_refuses_modules_beyond_its_limit(make_site: Callable[..., Site]) -> None:
    quick = {"process": ["bash", str(CHILDREN / "quick.sh")]}
    settings = {"pool": {"modules": {"quick": quick}, "max_modules": 2}}
    site = make_site(services=("wsgi", "pool"), settings=settings).start()
    uids = [add(site).json["result"]["uid"] for _ in range(2)]
    refused = add(site)
    assert refused.status == 429
    assert failure(refused) == "limit reached (2 modules)"
    assert refused.headers["Retry-After"] == "1"
    site.ask("pool", "rm", uids=uids[:1])
    assert add(site).status == 200


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("allowed_hosts", ["http://x"], 'needs bare host names, not "http://x"'),
        ("max_modules", "many", 'must be a whole number above 0, or null, not "many"'),
    ],
)
def test_an_invalid_setting_is_named(
    make_site: Callable[..., Site], key: str, value: Any, words: str
) -> None:
    """Others: see test_settings."""
    site = make_site(services=("pool",))
    site.settings |= {key: value, "pool": {"modules": {"well": WELL}}}
    site.settings_file.write_text(json.dumps(site.settings))
    (line,) = refusals([sys.executable, "-m", "shmooze.pool"], settings_file=site.settings_file)
    assert line.startswith(f"shmooze: settings file {site.settings_file}: `{key}` {words}")


def test_listening_beyond_loopback_without_tokens_is_warned_about(
    make_site: Callable[..., Site],
) -> None:
    settings = {
        "wsgi_host": "0.0.0.0",
        "service_host": "0.0.0.0",
        "pool": {"modules": {"well": WELL}},
    }
    site = make_site(services=("wsgi", "pool"), settings=settings).start()
    for name in ("wsgi", "pool"):
        wait_until(lambda n=name: "EVERYBODY who can reach it" in site.log(n), "it is logged")
    assert site.post("pool", {"cmd": "pool"}).json["success"], "the gateway finds the service"


def test_listening_on_loopback_is_not_warned_about(make_site: Callable[..., Site]) -> None:
    settings = {"pool": {"modules": {"well": WELL}}}
    site = make_site(services=("wsgi", "pool"), settings=settings).start()
    site.stop()  # flushes their logs
    assert "listening" in site.log("pool")
    assert "EVERYBODY" not in site.log("wsgi") + site.log("pool")


def test_no_service_can_be_named_login(make_site: Callable[..., Site]) -> None:
    site = make_site(services=("wsgi", "login"))
    file = site.folder / "tokens.json"
    TokenFile(str(file)).add("ada", "control")
    site.settings["tokens_path"] = str(file)
    site.settings_file.write_text(json.dumps(site.settings))
    (line,) = refusals([sys.executable, "-m", "shmooze.wsgi"], settings_file=site.settings_file)
    assert "`ports` has a service 'login', where the form for tokens is" in line
