"""What the tests stand on: whole applications of real processes, and ways to watch them."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
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


#: Below those that the system takes for connections, so that they are still free in a moment;
#: and far from where another run of the tests, or another part of this one, looks.
_candidates = itertools.count(os.getpid() * 7919)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has now."""
    ports: list[int] = []
    while len(ports) < count:
        port = 10_000 + next(_candidates) % 20_000
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        ports.append(port)
    return ports


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


#: States of a connection in /proc/net/tcp.
ESTABLISHED, CLOSE_WAIT = "01", "08"


def connections_to(port: int, state: str = ESTABLISHED) -> int:
    """Connections to a port of loopback, as the side has them that has made them."""
    there = f"0100007F:{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2] == there and line.split()[3] == state for line in lines)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def child(name: str, *arguments: str) -> list[str]:
    """The argv of one of the programs in tests/children.

    Modules start faster without the packages of the virtual environment, and need none.
    """
    needs_packages = name == "judge" or name.startswith("svc_") or name.endswith("_queue")
    options = [] if needs_packages else ["-S"]
    return [sys.executable, *options, str(CHILDREN / f"{name}.py"), *arguments]


#: Makes a program an ordinary user's, who may read the checkout wherever root has put it.
AS_ORDINARY_USER = [
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *(f"--{which}=-all,+dac_read_search" for which in ("inh-caps", "ambient-caps", "bounding-set")),
]


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
    `pool` have `python -m shmooze.NAME` without it. `hosts` are those that `ports` names.
    """

    def __init__(
        self,
        folder: Path,
        services: tuple[str, ...] = ("wsgi", "queue", "pool"),
        settings: dict[str, Any] | None = None,
        programs: dict[str, list[str]] | None = None,
        environ: dict[str, str] | None = None,
        hosts: dict[str, str] | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True, parents=True)
        self.hosts = hosts or {}
        self.folder = folder
        self.ports = dict(zip(services, free_ports(len(services)), strict=True))
        self.settings = {
            "ports": {
                name: f"{self.hosts[name]}:{port}" if name in self.hosts else port
                for name, port in self.ports.items()
            },
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
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
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
            # A killed process closes its sockets after it has lost its memory, by which `survivors`
            # knows it. Clients would take it for the new one.
            wait_until(lambda n=name: not self.listens(n), f"{name} has a free port")
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
                lambda n=name, p=process: p.poll() is not None or self.listens(n),
                f"{name} listens",
            )
            assert process.poll() is None, f"{name} ended at its start:\n{self.log(name)}"
        return self

    def listens(self, name: str) -> bool:
        """Whether a service can be reached."""
        return is_listening(self.ports[name], self.hosts.get(name, "127.0.0.1"))

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

    def wait_for_descriptions(self) -> None:
        """Wait until no service is still asking its programs to describe themselves."""
        for name in self.ports:
            with suppress(Refusal):  # the gateway is not a service
                self.ask(name, "describe")

    def reset(self, processes: int) -> None:
        """Make it what it was at first: every service runs, without modules.

        `processes` is how many it had then.
        """
        if missing := self.ports.keys() - self.processes.keys():
            self.start(*missing)
        for name in self.ports:
            for command in ("queue", "pool", "bg"):
                with suppress(Refusal):  # a service of another kind does not know it
                    found = self.ask(name, command) or []
                    found = found if isinstance(found, list) else [found]
                    self.ask(name, "rm", uids=[module["uid"] for module in found])
        wait_until(lambda: len(self.survivors()) == processes, "every module has ended")

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


class Lender:
    """Lends one running application to test after test; each finds it as the first one did."""

    def __init__(self, make: Callable[[], Site]) -> None:
        self._make = make
        self._site: Site | None = None
        self._processes = 0

    @contextmanager
    def lend(self) -> Iterator[Site]:
        """Start the application if it does not run, and reset it afterwards."""
        if self._site is None:
            self._site = self._make().start()
            self._site.wait_for_descriptions()
            self._processes = len(self._site.survivors())
        yield self._site
        try:
            self._site.reset(self._processes)
        except BaseException:
            self.close()  # so that the next test gets another one
            raise

    def close(self) -> None:
        site, self._site = self._site, None
        if site:
            site.close()


def parent_of(pid: int) -> int:
    """The pid of a living process' parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def suspend(pid: int) -> None:
    """Stop a process; returns when each of its threads stands still. A read that is under way still
    takes what arrives before.
    """
    os.kill(pid, signal.SIGSTOP)

    def stands_still() -> bool:
        stats = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")]
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

    wait_until(stands_still, f"process {pid} stops")


@contextmanager
def paused(*pids: int) -> Iterator[None]:
    """Processes stand still meanwhile, as in a container that is frozen."""
    for pid in pids:
        suspend(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


class Client:
    """One queue or pool of a running site, asked in few words; `clear` empties it."""

    def __init__(self, site: Site, name: str, kind: str | None = None) -> None:
        self.site, self.name, self.kind = site, name, kind or name
        self.own_processes = set(site.survivors())

    def __call__(self, command: str, /, **args: Any) -> Any:
        return self.site.ask(self.name, command, **args)

    def add(self, type: str = "well", **args: Any) -> str:
        """Add a module and return its uid; `args` are those of `init`."""
        return self("add", type=type, args=args)["uid"]

    @property
    def service(self) -> int:
        """The pid of the service itself, which is the guardian's one child."""
        guardian = self.site.processes[self.name].pid
        living = [each for each in self.own_processes if is_alive(each)]
        (pid,) = (each for each in living if parent_of(each) == guardian)
        return pid

    def add_settled(self, type: str = "well", **args: Any) -> str:
        """Add a well-behaved module, and wait for all updates that it sends by itself.

        They come by another way than the answers, so sooner or later than these.
        """
        uid = self.add(type, **args)
        wait_until(lambda: self._has_settled(uid), "the module's own updates have come")
        return uid

    def _has_settled(self, uid: str) -> bool:
        module = next(each for each in self.roster() if each["uid"] == uid)
        awaited = {"pid", "playing"} if module["state"] == "playing" else {"pid"}
        return awaited <= module["parameters"].keys()

    def roster(self) -> list[dict[str, Any]]:
        return self(self.kind, parameters=True)

    def uids(self) -> list[str]:
        return [module["uid"] for module in self.roster()]

    def parameters(self, uid: str) -> dict[str, Any]:
        """All parameters of a module of the roster."""
        return next(each["parameters"] for each in self.roster() if each["uid"] == uid)

    def tell(self, uid: str, cmd: str, **args: Any) -> Any:
        return self("tell_module", uid=uid, cmd=cmd, args=args)

    def heard(self, name: str) -> list[str]:
        """The commands that the well-behaved child of this name has heard."""
        file = self.site.folder / f"heard-{name}"
        return file.read_text().split() if file.exists() else []

    def pids(self, name: str) -> list[int]:
        """What children have written to HERE/pids-NAME."""
        file = self.site.folder / f"pids-{name}"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def clear(self) -> None:
        """Remove every module; no process but the service's own may be left after a while."""
        background = self("bg") if self.kind == "queue" else None
        self("rm", uids=[*self.uids(), *([background["uid"]] if background else [])])
        self.expect_no_children()

    def expect_no_children(self) -> None:
        """Wait until no process but the service's own is left; what stays is killed, and told."""
        try:
            wait_until(self._has_no_children, "every child is gone", patience=10)
        except AssertionError:
            left = set(self.site.survivors()) - self.own_processes
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"left behind: {left}") from None

    def _has_no_children(self) -> bool:
        return set(self.site.survivors()) <= self.own_processes


def probe_site(folder: Path, *more_services: str, **settings: Any) -> Site:
    """An application with the service of children/svc_probe.py, not yet started."""
    services, programs = ("probe", *more_services), {"probe": child("svc_probe", "probe")}
    return Site(folder, services=services, programs=programs, settings=settings)


def keep_alive(port: int) -> HTTPConnection:
    """A client that uses one connection for all its requests."""
    return HTTPConnection("127.0.0.1", port, timeout=PATIENCE)


def failure(reply: Reply) -> str:
    """The words of an answer that must be one failure packet."""
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json == {"success": False, "error": reply.json["error"]}
    assert len(reply.json["error"].splitlines()) == 1
    return reply.json["error"]


def refusals(*argvs: list[str], settings_file: Path | None = None) -> list[str]:
    """Run programs that must refuse to start: status 2 and one line on stderr. Those lines."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "SHMOOZE_SETTINGS": str(settings_file or "")}
    programs = [
        subprocess.Popen(
            argv,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for argv in argvs
    ]
    lines = []
    try:
        for program in programs:
            out, err = program.communicate(timeout=PATIENCE / 3)
            assert (out, program.returncode) == ("", 2), err
            assert err.count("\n") == len(err.splitlines()) == 1, err
            lines.append(err.removesuffix("\n"))
    finally:
        for program in programs:
            program.kill()  # one that did start, against expectation
            program.communicate()
    return lines


def in_fresh_interpreter(code: str) -> str:
    """What some Python prints, run by itself, with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def raw_http(port: int, sent: bytes) -> tuple[Reply, bool]:
    """Send bytes as they are; the answer, and whether the connection ends with it."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(sent)
        except OSError:
            pass  # the server may answer, and hang up, before it has heard everything
        answer = HTTPResponse(connection)
        answer.begin()
        reply = Reply(answer.status, answer.headers, answer.read())
        return reply, answer.will_close and has_ended(connection)


def has_ended(connection: socket.socket) -> bool:
    """Whether the peer hangs up, be it politely or by a reset; waits for that."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def log_rows(file: Path, table: str = "queue_log") -> list[tuple[Any, ...]]:
    """uid, namespace, input and output of all rows of a log, as another program reads them."""
    with closing(sqlite3.connect(file)) as reader:
        rows = reader.execute(
            f"SELECT uid, namespace, input_json, output_json FROM {table} ORDER BY pk"
        ).fetchall()
    return [(uid, space, json.loads(sent), json.loads(got)) for uid, space, sent, got in rows]


def wait_for_log(file: Path, table: str = "queue_log") -> list[tuple[Any, ...]]:
    """The rows of a log, as soon as there are any."""

    def rows() -> list[tuple[Any, ...]]:
        try:
            return log_rows(file, table)
        except sqlite3.OperationalError:
            return []  # the table is not there yet

    return wait_until(rows, "the log is written")
