"""Services that are elsewhere: `ports` names their hosts, TLS and a secret are between them."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from certificates import certificate
from events import Watcher
from raw_service import RawService, ok
from support import CHILDREN, PATIENCE, Site, failure, free_ports, http, refusals, wait_until

from shmooze import settings
from shmooze.access.gate import CLIENT, AccessGate
from shmooze.access.services import listening, routes_of
from shmooze.errors import SettingsError
from shmooze.lib.service import json_query
from shmooze.runtime import declared
from shmooze.runtime.listeners import own_address
from shmooze.settings import Settings
from shmooze.web import connect
from shmooze.web.answers import Refused
from shmooze.web.backend import Backend
from shmooze.web.route import Route

SECRET = "0123456789abcdef" * 2

WELL = {"process": [sys.executable, "-S", str(CHILDREN / "well.py")]}
WEB = {
    "process": [sys.executable, "-S", str(CHILDREN / "web_module.py"), "{port}"],
    "adapter": "command",
    "http": {},
}


def tls_settings(folder: Path) -> dict[str, Any]:
    """What services and gateway have in common."""
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    made = certificate()
    return {
        "service_tls": True,
        "service_certificate_path": made.certificate,
        "service_key_path": made.key,
        "service_ca_path": made.certificate,
        "service_secret_path": str(secret),
    }


# The settings.


def source_of(tmp_path: Path, **values: Any) -> Settings:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(values))
    return Settings.load({"SHMOOZE_SETTINGS": str(file)})


def test_ports_may_name_hosts(tmp_path: Path) -> None:
    ports = {"wsgi": 8080, "near": 5580, "far": "alpha:5580", "six": "[2001:db8::1]:5581"}
    source = declared.check(source_of(tmp_path, ports=ports, public=["ports"]))
    assert source.address("near") == (None, 5580)
    assert source.address("far") == ("alpha", 5580)
    assert source.address("six") == ("2001:db8::1", 5581)
    assert source.services == {"near": 5580, "far": 5580, "six": 5581}
    assert source.port("wsgi") == 8080


def test_pages_see_ports_without_hosts(tmp_path: Path) -> None:
    source = source_of(tmp_path, ports={"far": "alpha:5580"}, public=["ports"])
    assert source.public_settings == {"ports": {"far": 5580}}


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        (
            {"a": "alpha"},
            '`ports.a` must be a port number (1 to 65535) or "host:port", not "al',
        ),
        ({"a": "5580"}, '`ports.a` must be a port number (1 to 65535) or "host:port", not "5580"'),
        (
            {"a": ":5580"},
            '`ports.a` must be a port number (1 to 65535) or "host:port", not ":',
        ),
        ({"a": "http://alpha:5580"}, '`ports.a` must be a port number (1 to 65535) or "host:port"'),
        ({"a": "alpha:0"}, "`ports.a` must have a port from 1 to 65535, not 0"),
        ({"a": "alpha:65536"}, "`ports.a` must have a port from 1 to 65535, not 65536"),
        ({"a": "::1:80"}, 'not "::1:80"; an IPv6 address stands in brackets'),
        ({"a": "0.0.0.0:80"}, "`ports.a` must name a host at which others reach the service"),
        ({"a": "[::]:80"}, "`ports.a` must name a host at which others reach the service"),
        ({"a": 0}, '`ports.a` must be a port number (1 to 65535) or "host:port", not 0'),
        ({"a": None}, '`ports.a` must be a port number (1 to 65535) or "host:port", not null'),
        ({"wsgi": "alpha:80"}, "`ports.wsgi` must be a port: `wsgi_host` is for its address"),
        ({"a": "alpha:80", "b": "ALPHA:80"}, "`ports.b` is ALPHA:80, which `ports.a` has too"),
        ({"a": 80, "b": "127.0.0.1:80"}, "`ports.b` is 127.0.0.1:80, which `ports.a` has too"),
    ],
)
def test_ports_that_cannot_be_used_are_refused(
    tmp_path: Path, ports: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        declared.check(source_of(tmp_path, ports=ports))
    assert words in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_one_port_may_be_used_on_each_machine(tmp_path: Path) -> None:
    declared.check(source_of(tmp_path, ports={"a": "alpha:80", "b": "beta:80", "c": 80}))


# How services are reached.


def test_the_gateway_reaches_services_of_other_machines_over_tls(tmp_path: Path) -> None:
    ports = {"near": 5580, "here": "127.0.0.1:5581", "far": "192.0.2.1:5582"}
    routes = routes_of(source_of(tmp_path, ports=ports))
    assert routes["near"] == Route("127.0.0.1", 5580)
    assert routes["here"] == Route("127.0.0.1", 5581)
    assert routes["far"].tls is not None
    assert routes["far"].tls.verify_mode == ssl.CERT_REQUIRED
    assert routes["far"].tls.check_hostname


@pytest.mark.parametrize(("tls", "speaks"), [(True, True), (False, False)])
def test_tls_can_be_chosen(tmp_path: Path, tls: bool, speaks: bool) -> None:
    ports = {"here": "127.0.0.1:5581", "far": "192.0.2.1:5582"}
    routes = routes_of(source_of(tmp_path, ports=ports, service_tls=tls))
    assert {name: route.tls is not None for name, route in routes.items()} == {
        "here": speaks,
        "far": speaks,
    }


def test_a_service_that_listens_everywhere_is_asked_on_loopback(tmp_path: Path) -> None:
    source = source_of(tmp_path, ports={"a": 80}, service_host="::")
    assert routes_of(source) == {"a": Route("::1", 80)}
    assert routes_of(source)["a"].authority == "[::1]:80"


def test_the_secret_is_sent_only_where_ports_names_a_host(tmp_path: Path) -> None:
    ports = {"near": 5580, "far": "127.0.0.2:5582"}
    routes = routes_of(source_of(tmp_path, ports=ports, **tls_settings(tmp_path)))
    assert routes["near"].headers == {}
    assert routes["far"].headers == {"Shmooze-Secret": SECRET}


def test_own_addresses_are_known() -> None:
    assert own_address("127.0.0.2") == "127.0.0.2"
    assert own_address("192.0.2.1") is None
    assert own_address("nowhere.invalid") is None


def test_a_service_listens_on_its_host(tmp_path: Path) -> None:
    source = source_of(
        tmp_path, ports={"near": 80, "far": "127.0.0.2:81"}, **tls_settings(tmp_path)
    )
    near, far = listening(source, "near"), listening(source, "far")
    assert (near.host, near.port, near.tls, near.secret) == ("127.0.0.1", 80, None, None)
    assert (far.host, far.port, far.secret) == ("127.0.0.2", 81, SECRET)
    assert far.tls is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"service_certificate_path": None}, "`service_certificate_path` is missing: `ports.far`"),
        ({"service_key_path": "/nowhere"}, "names /nowhere, which cannot be read: No such file"),
        ({"service_key_path": "CERTIFICATE"}, "which does not fit the key in"),
        ({"service_certificate_path": "SECRET"}, "or is not in PEM form"),
        ({"service_key_path": "OPEN"}, "which is open to other users: `chmod 600` it"),
        ({"service_secret_path": "OPEN"}, "which is open to other users: `chmod 600` it"),
        ({"service_secret_path": "SHORT"}, "which must have at least 32 characters"),
        ({"service_secret_path": "LINES"}, "which must have one line without spaces"),
        ({"service_tls": 1}, "`service_tls` must be true or false, or null, not 1"),
        (
            {"ports": {"far": "192.0.2.1:81"}},
            "`ports.far` is on 192.0.2.1, which is not an address",
        ),
    ],
)
def test_what_a_service_cannot_use_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    values = {"ports": {"far": "127.0.0.2:81"}, **tls_settings(tmp_path)}
    files = {"OPEN": "x" * 32, "SHORT": "x" * 31, "LINES": "x" * 32 + "\nx"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644 if name == "OPEN" else 0o600)
        files[name] = str(tmp_path / name)
    (tmp_path / "copy").write_text(Path(values["service_certificate_path"]).read_text())
    (tmp_path / "copy").chmod(0o600)
    files |= {"CERTIFICATE": str(tmp_path / "copy"), "SECRET": values["service_secret_path"]}
    for key, value in changes.items():
        values[key] = files.get(str(value), value)
    source = source_of(tmp_path, **{key: each for key, each in values.items() if each is not None})
    with pytest.raises(SettingsError) as refused:
        listening(source, "far")
    assert words in str(refused.value)


def test_a_ca_file_without_certificates_is_refused(tmp_path: Path) -> None:
    values = {**tls_settings(tmp_path), "service_ca_path": str(tmp_path / "secret")}
    with pytest.raises(SettingsError, match="which has no certificate in PEM form"):
        routes_of(source_of(tmp_path, ports={"far": "127.0.0.2:81"}, **values))


@pytest.mark.slow
def test_a_service_of_another_machine_does_not_start_here(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    queue = {"modules": {"well": WELL}}
    file.write_text(json.dumps({"ports": {"queue": "192.0.2.1:5580"}, "queue": queue}))
    (line,) = refusals([sys.executable, "-m", "shmooze.queue"], settings_file=file)
    assert line.endswith(
        "`ports.queue` is on 192.0.2.1, which is not an address of this machine: start it there"
    )


# Services that cannot be reached.


def refusal_of(route: Route, timeout: float = PATIENCE) -> tuple[int, str]:
    with pytest.raises(Refused) as refused:
        Backend("far", route, timeout, connections=1).ask(b"1", {})
    return refused.value.status_code, json.loads(refused.value.body)["error"]


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "service 'far' is not running"),
        (TimeoutError("timed out"), "service 'far' cannot be reached"),
        (OSError(113, "No route to host"), "service 'far' cannot be reached"),
        (OSError(-2, "Name or service not known"), "service 'far' cannot be reached"),
    ],
)
def test_a_service_that_is_away_is_502(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    problem: OSError,
    words: str,
) -> None:
    def create_connection(*_: Any) -> None:
        raise problem

    monkeypatch.setattr(connect.socket, "create_connection", create_connection)
    monkeypatch.setattr("gevent.monkey.is_module_patched", lambda name: True)
    assert refusal_of(Route("192.0.2.1", 80)) == (502, words)
    assert words.endswith("not running") or str(problem.args[-1]) in caplog.text


# An application on several machines, each with an address of loopback.


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("several")
    site = Site(
        folder,
        ("wsgi", "pool", "away"),
        {**tls_settings(folder), "pool": {"modules": {"well": WELL, "web": WEB}}},
        hosts={"pool": "127.0.0.2", "away": "127.0.0.3"},
    )
    try:
        yield site.start("wsgi", "pool")
    finally:
        site.close()


def ask(site: Site, cmd: str, /, **args: Any) -> Any:
    answer = site.post("pool", {"cmd": cmd, "args": args}).json
    assert answer["success"], answer
    return answer["result"]


@pytest.fixture
def uid(site: Site) -> Iterator[str]:
    """A module that shows a page."""
    uid = ask(site, "add", type="web")["uid"]
    yield uid
    ask(site, "rm", uids=[uid])


def direct(site: Site, headers: dict[str, str]) -> tuple[int, Any]:
    """The answer of the service itself."""
    trust = ssl.create_default_context(cafile=certificate().certificate)
    connection = HTTPSConnection("127.0.0.2", site.ports["pool"], context=trust, timeout=PATIENCE)
    sent = {"Content-Type": "application/json", **headers}
    connection.request("POST", "/", json.dumps({"cmd": "pool"}), sent)
    answer = connection.getresponse()
    status, body = answer.status, json.loads(answer.read())
    connection.close()
    return status, body


def test_commands_reach_a_service_over_tls_again_and_again(site: Site) -> None:
    for number in range(20):
        reply = site.post("pool", {"cmd": "pool", "args": {"parameters": {}}})
        assert (reply.status, reply.json) == (200, {"success": True, "result": []}), number


def test_large_commands_and_answers_pass(site: Site) -> None:
    uid = ask(site, "add", type="well")["uid"]
    value = "x" * 900_000
    ask(site, "tell_module", uid=uid, cmd="set", args={"value": value})
    parameters = {"well": ["value"]}
    wait_until(
        lambda: ask(site, "pool", parameters=parameters)[0]["parameters"] == {"value": value},
        "its update has arrived",
    )
    ask(site, "rm", uids=[uid])


def test_events_come_over_tls(site: Site) -> None:
    watcher = Watcher(site.ports["wsgi"], "/pool/events")
    try:
        uid = ask(site, "add", type="well")["uid"]
        while uid not in str(watcher.state):
            assert not watcher.ended.wait(0.01)
        ask(site, "rm", uids=[uid])
    finally:
        watcher.close()


def test_pages_of_modules_come_over_tls(site: Site, uid: str) -> None:
    shown = http(f"{site.url}pool/at/{uid}/own")
    assert (shown.status, shown.body) == (200, b"own")
    large = http(f"{site.url}pool/at/{uid}/large/4")
    assert large.body == bytes(4 << 20)


def test_modules_see_no_secret(site: Site, uid: str) -> None:
    seen = http(f"{site.url}pool/at/{uid}/", headers={"Shmooze-Secret": "x" * 32}).json
    names = dict(seen["headers"])
    assert "shmooze-secret" not in names
    assert names["x-forwarded-for"] == "127.0.0.1"
    assert names["x-forwarded-host"] == f"127.0.0.1:{site.ports['wsgi']}"


def test_the_application_describes_itself(site: Site) -> None:
    described = http(f"{site.url}openapi.json").json
    assert "/pool" in described["paths"]
    assert "- `away` is not running" in described["info"]["description"]


def test_a_service_that_is_not_running_is_502(site: Site) -> None:
    reply = site.post("away", {"cmd": "pool"})
    assert (reply.status, failure(reply)) == (502, "service 'away' is not running")
    assert http(f"{site.url}away/events").status == 502
    assert http(f"{site.url}away/at/x/").status == 502


def test_the_service_answers_only_who_knows_the_secret(site: Site) -> None:
    assert direct(site, {"Shmooze-Secret": SECRET})[0] == 200
    for headers in ({}, {"Shmooze-Secret": SECRET[1:]}, {"Shmooze-Secret": "é"}):
        status, answer = direct(site, headers)
        assert status == 403
        assert "only the gateway may use this service" in answer["error"]


def test_the_service_does_not_answer_without_tls(site: Site) -> None:
    with pytest.raises(OSError):
        http(f"http://127.0.0.2:{site.ports['pool']}/", {"cmd": "pool"})
    assert ask(site, "pool", parameters={}) == []


def test_a_program_asks_it_by_its_entry_in_the_settings(site: Site) -> None:
    code = (
        "import shmooze.settings\n"
        "from shmooze.lib.service import json_query\n"
        "port = shmooze.settings.ports['pool']\n"
        "print(json_query('127.0.0.1', port, {'cmd': 'pool'}))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=site.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "{'success': True, 'result': []}\n"


def test_a_certificate_of_somebody_else_is_not_trusted(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    trust = ssl.create_default_context(cafile=certificate("other").certificate)
    route = Route("127.0.0.2", site.ports["pool"], trust)
    assert refusal_of(route) == (502, "service 'far' cannot be reached")
    assert "the server's TLS certificate is not trusted: self-signed" in caplog.text
    assert "; `service_ca_path` can name a file with the certificate of its issuer" in caplog.text
    wrong = Route("127.0.0.20", site.ports["pool"], trust)  # nobody listens there
    assert refusal_of(wrong) == (502, "service 'far' is not running")


# The secret, at the gate.


def gate(tmp_path: Path, **values: Any) -> Callable[..., tuple[str, str | None]]:
    """A function that sends a request of another machine: the status, and the client."""
    source = source_of(tmp_path, **values)
    settings.use(None)

    def send(**headers: str) -> tuple[str, str | None]:
        seen: list[str] = []

        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            assert "HTTP_SHMOOZE_SECRET" not in environ
            start_response("200 OK", [])
            return seen.append(environ[CLIENT]) or []

        found = AccessGate(application, "192.0.2.9", source, named="alpha", secret=SECRET)
        environ = {"REQUEST_METHOD": "POST", "HTTP_HOST": "alpha:80", "REMOTE_ADDR": "192.0.2.1"}
        environ["PATH_INFO"] = "/"
        statuses: list[str] = []
        found(
            {**environ, **headers}, lambda status, headers, exc_info=None: statuses.append(status)
        )
        return statuses[0], seen[0] if seen else None

    return send


def test_who_knows_the_secret_is_believed_the_address_of_the_client(tmp_path: Path) -> None:
    send = gate(tmp_path)
    known = {"HTTP_SHMOOZE_SECRET": SECRET}
    said = {"HTTP_X_FORWARDED_FOR": "203.0.113.7"}
    assert send(**known, **said) == ("200 OK", "203.0.113.7")
    assert send(**known) == ("200 OK", "192.0.2.1")
    forged = {"HTTP_X_FORWARDED_FOR": "203.0.113.6, 203.0.113.7"}
    assert send(**known, **forged) == ("200 OK", "203.0.113.7")
    assert send(**said) == ("403 Forbidden", None)


def test_with_tokens_others_may_come_with_a_token_alone(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    tokens.write_text("{}")
    tokens.chmod(0o600)
    send = gate(tmp_path, tokens_path=str(tokens))
    assert send()[0] == "401 Unauthorized"
    assert send(HTTP_SHMOOZE_SECRET=SECRET)[0] == "401 Unauthorized"
    assert send(HTTP_SHMOOZE_SECRET="x" * 32)[0] == "403 Forbidden"


def test_json_query_still_takes_a_port_in_digits() -> None:
    (port,) = free_ports(1)
    with RawService(port, lambda body: ok(b"1")):
        assert json_query("127.0.0.1", f"{port}", {}) == 1
