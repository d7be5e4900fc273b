"""What the tests stand on: whole applications of real processes, and ways to watch them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHILDREN = ROOT / "tests" / "children"

#: The longest that anything here waits for something that must happen, in seconds.
PATIENCE = 30.0


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """The first true value of `condition`, asked again and again; fails the test after a while."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {patience:g} s in vain: {what}")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def child(name: str, *arguments: str) -> list[str]:
    """The argv of one of the programs in tests/children."""
    return [sys.executable, str(CHILDREN / f"{name}.py"), *arguments]


class Reply:
    """An HTTP answer: status, headers, body; `json` decoded."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http(
    url: str, body: Any = None, method: str | None = None, headers: dict[str, str] | None = None
) -> Reply:
    """One request. `body` is sent as it is if bytes, and as JSON otherwise; None means GET."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with _opener.open(request, timeout=PATIENCE) as answer:
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())


class Refusal(Exception):
    """A failure packet, in the words of the service."""


class Site:
    """A whole application on free ports: settings in `folder`, each service a real process.

    `settings` are added to what is made here: `ports` for the names in `services`, and
    `log_database_path`. `programs` maps a service to the argv that runs it; `wsgi`, `queue` and
    `pool` have `python -m shmooze.NAME` without it.
    """

    def __init__(
        self,
        folder: Path,
        services: tuple[str, ...] = ("wsgi", "queue", "pool"),
        settings: dict[str, Any] | None = None,
        programs: dict[str, list[str]] | None = None,
        environ: dict[str, str] | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True, parents=True)
        self.folder = folder
        self.ports = dict(zip(services, free_ports(len(services)), strict=True))
        self.settings = {
            "ports": self.ports,
            "public": ["name", "ports"],
            "log_database_path": str(folder / "log.db"),
            **(settings or {}),
        }
        self.settings_file = folder / "settings.json"
        self.settings_file.write_text(json.dumps(self.settings))
        self.programs = programs or {}
        #: Everything that this application starts inherits it: so survivors are found.
        self.badge = f"SHMOOZE_TEST_SITE={uuid.uuid4()}"
        name, _, value = self.badge.partition("=")
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SHMOOZE_SETTINGS": str(self.settings_file),
            "HERE": str(folder),
            name: value,
            **(environ or {}),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Where the gateway is, with a slash at the end."""
        prefix = self.settings.get("wsgi_prefix", "/")
        return f"http://127.0.0.1:{self.ports['wsgi']}{prefix}"

    def start(self, *names: str) -> Site:
        """Start services (all that `ports` names, without arguments); returns when they listen."""
        names = names or tuple(self.ports)
        for name in names:
            argv = self.programs.get(name, [sys.executable, "-m", f"shmooze.{name}"])
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    argv,
                    env=self.environ,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        for name in names:
            process = self.processes[name]
            wait_until(
                lambda n=name, p=process: p.poll() is not None or is_listening(self.ports[n]),
                f"{name} listens",
            )
            assert process.poll() is None, f"{name} ended at its start:\n{self.log(name)}"
        return self

    def stop(self, *names: str, signal_number: int = signal.SIGTERM) -> dict[str, int]:
        """Signal services (all that run) and wait for their ends; their exit statuses."""
        stopped = {name: self.processes.pop(name) for name in names or tuple(self.processes)}
        for process in stopped.values():
            process.send_signal(signal_number)
        return {name: process.wait(PATIENCE) for name, process in stopped.items()}

    def log(self, name: str) -> str:
        """What a service has written to its standard output and error."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def post(self, service: str, packet: Any, **keywords: Any) -> Reply:
        """Send a packet to a service through the gateway."""
        return http(f"{self.url}{service}", packet, **keywords)

    def direct(self, service: str, packet: Any, **keywords: Any) -> Reply:
        """Send a packet to a service at its own port."""
        return http(f"http://127.0.0.1:{self.ports[service]}/", packet, **keywords)

    def ask(self, service: str, command: str, /, **args: Any) -> Any:
        """The result of one command, sent to the service itself. Raises Refusal."""
        answer = self.direct(service, {"cmd": command, "args": args}).json
        if not answer["success"]:
            raise Refusal(answer["error"])
        return answer["result"]

    def survivors(self) -> list[int]:
        """Pids of all living processes that this application has started, however deep."""
        badge = self.badge.encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or not is_alive(int(entry.name)):
                continue
            try:
                if badge in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass  # it has just ended
        return found

    def close(self) -> None:
        """Stop everything; every service must end with status 0 and leave nothing behind."""
        statuses = self.stop()
        left = self.survivors()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"left behind: {left}"
        assert set(statuses.values()) <= {0}, f"exit statuses: {statuses}"
