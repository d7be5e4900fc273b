"""A real nginx in front of the gateway, configured as docs/how-to/nginx.md shows it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from typing import Any

import pytest
from events import Watcher
from hops import Peer
from howto import Guide
from support import CHILDREN, PATIENCE, ROOT, Site, free_ports, http, is_listening, wait_until

from shmooze.client import Client, Unreachable
from shmooze.shmz.ending import Stop
from shmooze.shmz.service import Service

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="there is no nginx"),
]

PAGE = Guide("nginx")
QUICK = {"process": ["bash", str(CHILDREN / "quick.sh")]}
WEB = {
    "adapter": "command",
    "process": [sys.executable, str(CHILDREN / "web_module.py"), "{port}"],
    "http": {},
}


class Proxy:
    """nginx on its own port, and a client that trusts its certificate."""

    def __init__(self, site: Site, token: str) -> None:
        self.site, self.token = site, token
        (self.port,) = free_ports(1)
        folder = site.folder
        certificate, key = folder / "jukebox.crt", folder / "jukebox.key"
        self.certificate = certificate
        names = "subjectAltName=DNS:jukebox.example,DNS:localhost"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=jukebox.example", "-addext", names),
                *("-out", certificate, "-keyout", key),
            ],
            check=True,
            capture_output=True,
        )
        (self.plain_port, self.path_port) = free_ports(2)
        server = PAGE.files["/etc/nginx/conf.d/jukebox.conf"]
        server = server.replace("127.0.0.1:8080", f"127.0.0.1:{site.ports['wsgi']}")
        server = server.replace("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")
        server = server.replace("listen 80", f"listen 127.0.0.1:{self.plain_port}")
        server = server.replace("/etc/nginx/jukebox", str(folder / "jukebox"))
        below = PAGE.block("nginx", "location /myapp/")
        server += f"server {{ listen 127.0.0.1:{self.path_port};\n{below}}}\n"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        user = "user root;" if os.getuid() == 0 else ""
        conf = folder / "nginx.conf"
        conf.write_text(
            f"daemon off; {user} pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n"
            f"events {{}}\nhttp {{ access_log off; {temporary}\n{server}\n}}\n"
        )
        assert NGINX is not None
        self.process = subprocess.Popen(
            [NGINX, "-p", folder, "-c", conf, "-e", folder / "nginx.log"], env=site.environ
        )
        self.trust = ssl.create_default_context(cafile=certificate)
        wait_until(lambda: is_listening(self.port), "nginx listens")

    def connect(self) -> HTTPSConnection:
        """A connection to jukebox.example, as a browser's."""
        client = HTTPSConnection("jukebox.example", context=self.trust, timeout=PATIENCE)
        address = ("127.0.0.1", self.port)
        client._create_connection = lambda _name, *more: socket.create_connection(address, *more)
        return client

    def close(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        assert self.process.wait(PATIENCE) == 0


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    shown = json.loads(PAGE.block("json"))
    settings = {
        **shown,
        "tokens_path": str(folder / "tokens.json"),
        "max_adds_per_minute": 2,
        "pool": {"modules": {"quick": QUICK, "web": WEB}},
    }
    site = Site(folder, ("wsgi", "pool"), settings)
    made = subprocess.run(
        [sys.executable, "-m", "shmooze.tokens", "add", "ada"],
        env=site.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    proxy = Proxy(site.start(), made.stdout.strip())
    yield proxy
    proxy.close()
    site.close()


def ask(proxy: Proxy, client: HTTPSConnection, cmd: str, **headers: str) -> tuple[int, Any]:
    packet = {"cmd": cmd, "args": {"type": "quick"}} if cmd == "add" else {"cmd": cmd}
    headers = {"Content-Type": "application/json", **headers}
    headers.setdefault("Authorization", f"Bearer {proxy.token}")
    client.request("POST", "/pool", json.dumps(packet), headers)
    answer = client.getresponse()
    return answer.status, json.loads(answer.read())


def test_commands_pass_with_tls_on_a_kept_connection(proxy: Proxy) -> None:
    client = proxy.connect()
    for _ in range(20):
        status, answer = ask(proxy, client, "pool")
        assert (status, answer["success"]) == (200, True)
        assert client.sock is not None, "the connection is kept"
    client.close()


def test_python_client_works_over_tls_with_a_ca_of_ones_own(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://localhost:{proxy.port}/"
    client = Client(url, proxy.token, ssl_context=proxy.trust)
    with client, client.pool.events() as events:
        assert next(iter(events))["event"] == "snapshot"
    monkeypatch.setenv("SSL_CERT_FILE", str(proxy.certificate))
    with Client(url, proxy.token) as client:
        assert client.services() == ["pool"]
        assert client.pool.modules_available() == ["quick", "web"]


def test_untrusted_certificate_is_explained_in_one_line(proxy: Proxy) -> None:
    words = (
        "the server's TLS certificate is not trusted: self-signed certificate;"
        " SSL_CERT_FILE can name a file with the certificate of its issuer"
    )
    client = Client(f"https://localhost:{proxy.port}/", proxy.token)
    with client, pytest.raises(Unreachable) as refusal:
        client.pool.modules_available()
    assert str(refusal.value) == f"no answer from {client.url}pool: {words}"
    assert not refusal.value.may_have_run
    with pytest.raises(Stop, match=words):
        Service(f"{client.url}pool", PATIENCE, proxy.token).send({"cmd": "pool"})
    wrong = Client(f"https://127.0.0.1:{proxy.port}/", proxy.token, ssl_context=proxy.trust)
    with wrong, pytest.raises(Unreachable, match="certificate is not trusted: IP address mismatch"):
        wrong.pool.modules_available()
    plain = Client(f"https://127.0.0.1:{proxy.site.ports['wsgi']}/")
    with plain, pytest.raises(Unreachable, match="/pool: TLS failed: wrong version"):
        plain.pool.modules_available()


def test_only_our_own_origin_behind_tls_is_accepted(proxy: Proxy) -> None:
    client = proxy.connect()
    assert ask(proxy, client, "pool", Origin="https://jukebox.example")[0] == 200
    assert ask(proxy, client, "pool", Origin="http://jukebox.example")[0] == 403
    assert ask(proxy, client, "pool", Origin="https://evil.example")[0] == 403
    assert ask(proxy, client, "pool", Host="evil.example")[0] == 403
    client.close()


def test_a_browser_gets_a_secure_cookie(proxy: Proxy) -> None:
    client = proxy.connect()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    client.request("POST", "/login", f"token={proxy.token}", form)
    answer = client.getresponse()
    answer.read()
    assert answer.status == 303
    assert "Secure" in answer.headers["Set-Cookie"]
    client.close()


def test_the_clients_address_is_the_one_that_nginx_reports(
    proxy: Proxy,
) -> None:
    client = proxy.connect()
    added = [ask(proxy, client, "add", **{"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(3)]
    assert [status for status, _ in added] == [200, 200, 429]
    client.close()


def test_events_are_not_delayed(proxy: Proxy) -> None:
    bearer = {"Authorization": f"Bearer {proxy.token}"}
    connection = proxy.connect()
    connection.connect()
    watcher = Watcher(0, "/pool/events", connection=connection, **bearer)
    wait_until(lambda: watcher.events, "the snapshot comes")
    token = {"X-Forwarded-For": "192.0.2.1", **bearer}
    packet = {"cmd": "add", "args": {"type": "quick"}}
    uid = proxy.site.direct("pool", packet, headers=token).json["result"]["uid"]
    wait_until(
        lambda: uid in [each["uid"] for each in watcher.state["modules"]], "the change comes", 5
    )
    watcher.close()


def test_a_static_file_is_served_and_a_large_body_refused(proxy: Proxy) -> None:
    client = proxy.connect()
    bearer = {"Authorization": f"Bearer {proxy.token}"}
    client.request("GET", "/static/shmooze.js", headers=bearer)
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (200, (ROOT / "static/shmooze.js").read_bytes())
    client.request("POST", "/pool", b"x" * ((1 << 20) + 1), bearer)
    assert client.getresponse().status == 413
    client.close()


def test_plain_http_leads_to_https(proxy: Proxy) -> None:
    client = HTTPConnection("127.0.0.1", proxy.plain_port, timeout=PATIENCE)
    client.request("GET", "/console/?q=1", headers={"Host": "jukebox.example"})
    answer = client.getresponse()
    assert answer.status == 301
    assert answer.headers["Location"] == "https://jukebox.example/console/?q=1"
    client.close()


def test_health_is_told_without_a_token(proxy: Proxy) -> None:
    (command,) = PAGE.commands("curl")
    assert command.endswith("https://jukebox.example/health")
    (said,) = (line for line in PAGE.text.splitlines() if line.startswith('{"status"'))
    client = proxy.connect()
    client.request("GET", "/health")
    assert client.getresponse().read().decode().strip() == said
    client.close()


def test_application_is_offered_below_a_path(proxy: Proxy) -> None:
    bearer = {"Authorization": f"Bearer {proxy.token}", "Host": "jukebox.example"}
    url = f"http://127.0.0.1:{proxy.path_port}/myapp/"
    assert http(f"{url}pool", {"cmd": "pool"}, headers=bearer).json["success"]
    assert b"<html" in http(f"{url}console/", headers=bearer).body
    assert http(f"{url}shmooze.js", headers=bearer).status == 200
    form = http(url, headers={**bearer, "Authorization": "", "Accept": "text/html"})
    assert form.status == 200 and b"<form" in form.body, "the redirection stays below the path"


def test_a_websocket_of_a_module_passes(proxy: Proxy) -> None:
    other = {"X-Forwarded-For": "192.0.2.7", "Authorization": f"Bearer {proxy.token}"}
    added = proxy.site.direct("pool", {"cmd": "add", "args": {"type": "web"}}, headers=other)
    path = f"/pool/at/{added.json['result']['uid']}/socket"
    client = proxy.connect()
    client.connect()
    peer = Peer(client.sock)
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: jukebox.example",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: aWtuNXRkZzRqcDhiNWN4ZA==",
        f"Authorization: Bearer {proxy.token}",
        "",
    )
    peer.send("".join(f"{line}\r\n" for line in lines).encode())
    assert peer.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    peer.read_until(b"\n")
    peer.send(b"there and back")
    assert peer.read(14) == b"there and back"
    peer.close()
