"""The web servers of modules behind a real gateway and a real pool."""

from __future__ import annotations

import copy
import hashlib
import json
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import PATIENCE, Reply, Site, child, failure, http, raw_http, wait_until

from shmooze.access.token_file import TokenFile

pytestmark = pytest.mark.slow

WEB = {"adapter": "command", "process": child("web_module", "{port}"), "http": {"timeout": 30}}
#: Another one of the same kind, for which not every token is good.
MODULES = {
    "web": WEB,
    "other": {**WEB, "http": {"max_requests": 1}},
    "whole": {
        **WEB,
        "process": child("web_module", "{port}", "{path}"),
        "http": {"keep_path": True},
    },
}


class Web:
    """An application with tokens, and one module that is a web server."""

    def __init__(self, site: Site, tokens: TokenFile) -> None:
        self.site, self.tokens = site, tokens
        self.token = tokens.add("ada", "control")
        site.start()
        self.uid: str = self.command("add", type="web")["result"]["uid"]
        self.at = f"/pool/at/{self.uid}"
        assert self.ask("/").status == 200  # it is ready

    def another(self, type: str = "web") -> Web:
        """The same application with another module of its own."""
        other = copy.copy(self)
        other.uid = self.command("add", type=type)["result"]["uid"]
        other.at = f"/pool/at/{other.uid}"
        return other

    def command(self, cmd: str, **args: Any) -> Any:
        packet = {"cmd": cmd, "args": args}
        return self.site.post("pool", packet, headers=self.bearer(self.token)).json

    @staticmethod
    def bearer(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        token: str | None = None,
        method: str | None = None,
        **headers: str,
    ) -> Reply:
        """Ask the module through the gateway; `token`: not with everybody's."""
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        if "Authorization" not in lines and "Cookie" not in lines:
            lines |= self.bearer(token or self.token)
        url = self.site.url.rstrip("/") + self.at + path
        return http(url, body, method, lines)

    def seen(self, path: str = "/", **more: Any) -> dict[str, Any]:
        """What the module has seen of a request."""
        return self.ask(path, **more).json

    def open(self, path: str, *lines: str, token: str | None = None) -> socket.socket:
        """A connection on which a GET with these headers was sent."""
        connection = socket.create_connection(("127.0.0.1", self.site.ports["wsgi"]), PATIENCE)
        lines = ("Host: localhost", f"Authorization: Bearer {token or self.token}", *lines)
        head = "".join(f"{line}\r\n" for line in lines)
        connection.sendall(f"GET {self.at}{path} HTTP/1.1\r\n{head}\r\n".encode())
        return connection

    def socket(self, *lines: str, token: str | None = None) -> tuple[socket.socket, Any]:
        """A WebSocket to the module, and the stream of what comes from it, after the head."""
        upgrade = ("Connection: Upgrade", "Upgrade: websocket")
        connection = self.open("/socket", *upgrade, *lines, token=token)
        stream = connection.makefile("rb")
        assert b" 101 " in stream.readline()
        while stream.readline().strip():
            pass
        return connection, stream

    @property
    def ended(self) -> list[str]:
        """What requests have ended early at the module, and those that wait."""
        file = self.site.folder / "ended"
        return file.read_text().split() if file.exists() else []


@pytest.fixture(scope="module")
def web(make_shared_site: Callable[..., Site]) -> Web:
    site = make_shared_site(services=("wsgi", "pool"))
    tokens = TokenFile(str(site.folder / "tokens.json"))
    site.settings |= {
        "tokens_path": str(tokens.path),
        "trusted_proxies": ["127.0.0.8"],
        "pool": {"modules": MODULES},
    }
    site.settings_file.write_text(json.dumps(site.settings))
    return Web(site, tokens)


def all_of(seen: dict[str, Any], name: str) -> list[str]:
    return [value for each, value in seen["headers"] if each == name]


def header_of(seen: dict[str, Any], name: str) -> str:
    (value,) = all_of(seen, name)
    return value


def test_a_module_sees_its_own_path_and_who_asks(web: Web) -> None:
    seen = web.seen("/root/b%20c?d=%2F")
    gateway = f"127.0.0.1:{web.site.ports['wsgi']}"
    assert (seen["method"], seen["target"]) == ("GET", "/root/b%20c?d=%2F")
    for name, value in {
        "host": gateway,
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": gateway,
        "x-forwarded-proto": "http",
        "x-forwarded-prefix": web.at,
    }.items():
        assert header_of(seen, name) == value


def test_a_module_that_keeps_the_path_is_told_of_no_prefix(web: Web) -> None:
    whole = web.another("whole")
    seen = whole.seen("/")
    assert (seen["target"], all_of(seen, "x-forwarded-prefix")) == (f"{whole.at}/", [])


def test_what_a_client_says_of_proxies_is_dropped(web: Web) -> None:
    seen = web.seen(
        X_Forwarded_For="6.6.6.6",
        X_Forwarded_Host="evil.example",
        X_Forwarded_Proto="https",
        X_Forwarded_Prefix="/evil",
        X_Forwarded_User="root",
        X_Real_IP="6.6.6.6",
        Forwarded="for=6.6.6.6",
        Shmooze_Origin="http://evil.example",
        Shmooze_Authorization="Basic evil",
    )
    said = json.dumps(seen)
    assert "6.6.6.6" not in said and "evil" not in said and "root" not in said.replace("/root", "")
    assert header_of(seen, "x-forwarded-proto") == "http"


def test_a_trusted_proxy_is_believed(web: Web) -> None:
    port = web.site.ports["wsgi"]
    source = ("127.0.0.8", 0)
    with closing(socket.create_connection(("127.0.0.1", port), PATIENCE, source)) as connection:
        connection.sendall(
            f"GET {web.at}/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {web.token}\r\n"
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n"
            "Origin: https://localhost\r\nConnection: close\r\n\r\n".encode()
        )
        seen = json.loads(connection.makefile("rb").read().partition(b"\r\n\r\n")[2])
    assert header_of(seen, "x-forwarded-for") == "6.6.6.6"
    assert header_of(seen, "x-forwarded-proto") == "https"
    assert header_of(seen, "origin") == "https://localhost"


def test_our_tokens_stay_with_us_and_a_module_s_own_pass(web: Web) -> None:
    port = web.site.ports["wsgi"]
    assert "authorization" not in json.dumps(web.seen())
    mine = f"theme=dark; shmooze_{port}={web.token}; shmooze_1={web.token}; session=5"
    seen = web.seen(Cookie=mine, Authorization="token of-the-module")
    assert header_of(seen, "authorization") == "token of-the-module"
    assert header_of(seen, "cookie") == "theme=dark; session=5"
    assert web.token not in json.dumps(seen)


@pytest.mark.parametrize("place", ["wsgi", "pool"])
def test_cookies_with_tokens_pass_nowhere(web: Web, place: str) -> None:
    """Browsers send them to the port of a service as well."""
    path = web.at if place == "wsgi" else f"/at/{web.uid}"
    headers = {**web.bearer(web.token), "Cookie": f"shmooze_8080={web.token}; a=b"}
    seen = http(f"http://127.0.0.1:{web.site.ports[place]}{path}/", headers=headers).json
    assert all_of(seen, "cookie") == ["a=b"]
    assert web.token not in json.dumps(seen)


def test_each_header_of_ours_is_there_once_in_an_answer(web: Web) -> None:
    headers = web.ask("/own").headers
    assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
    policies = headers.get_all("Content-Security-Policy")
    assert sorted(policies) == ["default-src 'self'", "frame-ancestors 'self'"]
    assert headers.get_all("Set-Cookie") == ["a=b", "c=d"]
    assert len(headers.get_all("Date")) == 1


def test_tokens_are_good_for_what_their_scopes_say(web: Web) -> None:
    def ask(name: str, *scopes: str, path: str = "/") -> Reply:
        token = web.tokens.add(name, None, scopes)
        return web.ask(path, token=token)

    assert ask("guest", "read").status == 403
    assert ask("owner", "own").status == 403, "it is not the owner's"
    assert ask("admin", "control").status == 200
    assert ask("elsewhere", "control", "service:queue").status == 403
    assert ask("typed", "control", "type:other").status == 403
    assert ask("right", "control", "type:web").status == 200
    refused = ask("reader", "read")
    assert failure(refused) == "at: this token may only read"
    assert http(f"{web.site.url}pool/at/{web.uid}/").status == 401


@pytest.mark.parametrize("name", ["pool%2Fat", "pool/at%2F", "pool/%61t"])
def test_a_path_that_could_be_read_in_two_ways_is_not_passed_on(web: Web, name: str) -> None:
    sent = (
        f"POST /{name}/{web.uid}/ HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {web.token}\r\nContent-Length: 0\r\n\r\n"
    )
    reply, _ = raw_http(web.site.ports["wsgi"], sent.encode())
    assert reply.status == 404


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
@pytest.mark.parametrize("place", ["wsgi", "pool"])
def test_a_websocket_of_another_site_is_refused(web: Web, origin: str, place: str) -> None:
    path = web.at if place == "wsgi" else f"/at/{web.uid}"
    sent = (
        f"GET {path}/socket HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n"
        f"Authorization: Bearer {web.token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    reply, _ = raw_http(web.site.ports[place], sent.encode())
    assert reply.status == 403
    assert "is not allowed" in failure(reply)


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        ("cross-site no-cors image", 403),
        ("same-site no-cors script", 403),
        ("cross-site navigate iframe", 403),
        ("cross-site navigate document", 403),
        ("cross-site navigate document ?1", 200),
        ("same-origin cors empty", 200),
        ("none navigate document ?1", 200),
    ],
)
def test_pages_of_other_sites_may_only_have_links_to_a_module(
    web: Web, mode: str, status: int
) -> None:
    names = ("Sec_Fetch_Site", "Sec_Fetch_Mode", "Sec_Fetch_Dest", "Sec_Fetch_User")
    assert web.ask("/", **dict(zip(names, mode.split()))).status == status


def test_a_websocket_passes_in_both_directions(web: Web) -> None:
    connection, stream = web.socket("Sec-WebSocket-Key: abc", "Origin: http://localhost")
    seen = {"headers": json.loads(stream.readline())}
    assert header_of(seen, "sec-websocket-key") == "abc"
    assert header_of(seen, "origin") == "http://localhost"
    message = bytes(range(256)) * 1000
    connection.sendall(message)
    assert stream.read(len(message)) == message
    connection.shutdown(socket.SHUT_WR)
    assert stream.read() == b""
    wait_until(lambda: "socket" in web.ended, "the module's end is closed too")
    connection.close()


def test_a_revoked_token_ends_its_websockets_and_its_streams(web: Web) -> None:
    token = web.tokens.add("visitor", "control")
    connection, stream = web.socket(token=token)
    stream.readline()
    web.tokens.revoke("visitor")
    connection.sendall(b"too late")
    assert stream.read() == b""
    connection.close()


@pytest.mark.parametrize("path", ["wait", "events"])
def test_a_client_that_leaves_ends_its_request_at_the_module(web: Web, path: str) -> None:
    before, waiting = web.ended.count(path), web.ended.count("waiting")
    connection = web.open(f"/{path}")
    if path == "wait":
        wait_until(lambda: web.ended.count("waiting") > waiting, "the module has the request")
    if path == "events":
        stream = connection.makefile("rb")
        wait_until(lambda: b"first" in stream.readline(), "the first event comes at once")
        stream.close()
    connection.close()
    wait_until(lambda: web.ended.count(path) > before, "the request has ended")


def peaks(site: Site) -> dict[int, int]:
    """The most memory that each process has had so far, in KiB."""
    found = {}
    for pid in site.survivors():
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                found[pid] = int(line.split()[1])
    return found


def test_neither_an_upload_nor_a_download_is_kept_in_memory(web: Web) -> None:
    size = 300 << 20
    before = peaks(web.site)
    port = web.site.ports["wsgi"]
    piece, digest = bytes(range(256)) * 4096, hashlib.sha256()
    with closing(socket.create_connection(("127.0.0.1", port), PATIENCE)) as connection:
        connection.sendall(
            f"POST {web.at}/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {web.token}\r\n"
            f"Content-Length: {size}\r\nConnection: close\r\n\r\n".encode()
        )
        for _ in range(size // len(piece)):
            connection.sendall(piece)
            digest.update(piece)
        seen = json.loads(connection.makefile("rb").read().partition(b"\r\n\r\n")[2])
    assert (seen["size"], seen["sha256"]) == (size, digest.hexdigest())
    with closing(web.open("/large/300", "Connection: close")) as connection:
        left = 0
        while data := connection.recv(1 << 20):
            left += len(data)
    assert left > size
    after = peaks(web.site)
    grown = {pid: (after[pid] - before[pid]) >> 10 for pid in before}
    assert max(grown.values()) < 10, f"MiB by which processes have grown: {grown}"


def test_a_module_that_dies_within_its_answer_leaves_half_an_answer(web: Web) -> None:
    other = web.another()
    assert other.ask("/").status == 200
    with closing(other.open("/die")) as connection:
        received = connection.makefile("rb").read()
    assert b"Content-Length: 10\r\n" in received
    assert received.endswith(b"\r\n\r\nhalf")


def test_a_module_that_dies_before_its_answer_is_reported_with_the_reason(web: Web) -> None:
    other = web.another()
    refused = other.ask("/perish")
    assert (refused.status, failure(refused)) == (
        502,
        f"web {other.uid} closed the connection without answering:"
        " it exited with status 3; last output: out of memory",
    )


def test_a_request_under_way_waits_while_its_program_is_stopped(web: Web) -> None:
    other = web.another()
    with closing(other.open("/later")) as connection:
        wait_until(lambda: "later" in web.ended, "the program works on it")
        web.command("hold", uids=[other.uid])
        (held,) = [each for each in web.command("pool")["result"] if each["uid"] == other.uid]
        assert "web" not in held, "its program is stopped"
        (web.site.folder / "go").touch()
        web.command("release", uids=[other.uid])
        answer = connection.makefile("rb")
        assert b" 200 " in answer.readline()


def test_a_request_beyond_the_line_is_503_with_a_time_to_try_again(
    make_site: Callable[..., Site],
) -> None:
    limited = {**WEB, "http": {"max_requests": 1, "max_wait": 0.1}}
    site = make_site(services=("wsgi", "pool"), settings={"pool": {"modules": {"web": limited}}})
    site.start()
    uid = site.ask("pool", "add", type="web")["uid"]
    url = f"{site.url}pool/at/{uid}"
    assert http(f"{url}/").status == 200
    connection = socket.create_connection(("127.0.0.1", site.ports["wsgi"]), PATIENCE)
    connection.sendall(f"GET /pool/at/{uid}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert connection.recv(1)
    refused = http(f"{url}/")
    assert refused.status == 503
    assert "place 1 in line" in failure(refused)
    assert int(refused.headers["Retry-After"]) > 0
    # A client that leaves while it waits in line has left the line, with its body unread.
    connection.close()
    wait_until(lambda: http(f"{url}/").status == 200, "its place is free")
    site.stop("pool")
    gone = http(f"{url}/")
    assert (gone.status, failure(gone)) == (502, "service 'pool' is not running")


@pytest.mark.parametrize("server", ["waitress", "wsgiref", "gevent"])
def test_requests_pass_under_another_server_but_no_websockets(
    make_site: Callable[..., Site], server: str
) -> None:
    site = make_site(
        services=("wsgi", "pool"),
        settings={"pool": {"modules": {"web": WEB}}},
        programs={"wsgi": child("svc_foreign", server)},
    ).start()
    uid = site.ask("pool", "add", type="web")["uid"]
    url = f"{site.url}pool/at/{uid}"
    body = bytes(range(256)) * 4000
    for _ in range(3):
        seen = http(f"{url}/root/a%20b?c", body, headers={"Cookie": "a=b"}).json
        assert (seen["target"], seen["size"]) == ("/root/a%20b?c", len(body))
        assert seen["sha256"] == hashlib.sha256(body).hexdigest()
        assert header_of(seen, "cookie") == "a=b"
    assert len(http(f"{url}/large/3").body) == 3 << 20
    sent = (
        f"GET /pool/at/{uid}/socket HTTP/1.1\r\nHost: localhost\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    refused, _ = raw_http(site.ports["wsgi"], sent.encode())
    assert (refused.status, failure(refused)) == (
        501,
        "this WSGI server does not support WebSockets",
    )
