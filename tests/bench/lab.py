"""Applications to measure: of this version and of 1.2.4, as context managers."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from support import PATIENCE, ROOT, Reply, Site, keep_alive

from bench.row import Skip

CHILDREN = Path(__file__).resolve().parent / "children"
#: Downloads and compiled files, kept between runs, and the folders of measured applications.
CACHE = ROOT / ".bench"

#: 1.2.4, and the last versions of its dependencies that it runs with.
OLD = ["shmooze==1.2.4"]
OLD_NEEDS = ["tornado==4.5.3", "toro==1.0.1", "werkzeug==0.16.1", "setuptools==44.1.1"]


#: More than any row adds.
MAX_MODULES = 1_000_000

#: A module type: its argv, or its section of the settings.
Type = list[str] | dict[str, Any]


class OldSite(Site):
    """A Site that runs 1.2.4, whose services take one line of JSON over TCP."""

    def direct(self, service: str, packet: Any, **_: Any) -> Reply:
        with socket.create_connection(("127.0.0.1", self.ports[service]), PATIENCE) as connection:
            connection.sendall(json.dumps(packet).encode() + b"\n")
            return Reply(200, {}, connection.makefile("rb").readline())

    def ask(self, service: str, command: str, /, **args: Any) -> Any:
        answer = self.direct(service, {"cmd": command, "args": args}).json
        assert answer["success"], answer
        return answer.get("result")

    def close(self) -> None:
        """Stop everything, and kill the children that 1.2.4 may leave behind."""
        self.stop()
        for pid in self.survivors():
            os.kill(pid, 9)


class Lab:
    """Makes what the rows measure. `quick` takes less time and is less precise."""

    #: Whether our applications have a state file if a row does not say so.
    state = False

    def __init__(self, folder: Path, quick: bool = False) -> None:
        self.folder, self.quick = folder, quick
        #: Seconds of load for each measurement by `wrk`.
        self.seconds = 0.5 if quick else 2.0

    @contextmanager
    def ours(
        self, *services: str, wsgi_workers: int = 1, state: bool = False, **types: Type
    ) -> Iterator[Site]:
        """Run an application with these services and module types, `state`: with a state file."""
        folder = self.new_folder()
        settings = {"wsgi_workers": wsgi_workers, "max_modules": MAX_MODULES}
        settings |= _sections(services, types)
        if state or self.state:
            settings["state_path"] = str(folder / "state.db")
        with self._running(Site(folder, services, settings)) as site:
            yield site

    @contextmanager
    def running(self, *services: str, settings: dict[str, Any]) -> Iterator[Site]:
        """Run an application with these services and settings."""
        with self._running(Site(self.new_folder(), services, settings)) as site:
            yield site

    @contextmanager
    def old(self, *services: str, **types: Type) -> Iterator[OldSite]:
        """Run the same application with 1.2.4. Raises Skip if it cannot be installed."""
        python, packages = old_python(), old_packages()
        programs = {name: [python, str(CHILDREN / "old.py"), name] for name in services}
        folder = self.new_folder()
        settings = {
            "static_prefix": "/static/",
            "static_path": str(folder),
            **_sections(services, types),
        }
        site = OldSite(folder, services, settings, programs)
        site.environ["PYTHONPATH"] = str(packages)
        with self._running(site):
            yield site

    @contextmanager
    def _running(self, site: Site) -> Iterator[Site]:
        try:
            yield site.start()
        finally:
            site.close()

    def new_folder(self) -> Path:
        """A folder for one application or program."""
        return Path(tempfile.mkdtemp(dir=self.folder))


def _sections(services: tuple[str, ...], types: dict[str, Type]) -> dict[str, Any]:
    sections = {
        name: kind if isinstance(kind, dict) else {"process": kind} for name, kind in types.items()
    }
    modules = {"modules": sections}
    return {
        name: {"queue": {**modules, "backgrounds": {}}, "pool": modules}[name]
        for name in services
        if name != "wsgi"
    }


class Asker:
    """Sends commands to one port over a keep-alive connection."""

    def __init__(self, port: int, path: str = "/") -> None:
        self._connection = keep_alive(port)
        self._path = path

    def __call__(self, command: str, /, **args: Any) -> Any:
        answer = json.loads(self.send(json.dumps({"cmd": command, "args": args}).encode()))
        assert answer["success"], answer
        return answer["result"]

    def many(self, commands: list[tuple[str, dict[str, Any]]]) -> list[Any]:
        """The results of several commands, sent in one packet."""
        packets = [{"cmd": command, "args": args} for command, args in commands]
        answers = json.loads(self.send(json.dumps(packets).encode()))
        assert all(answer["success"] for answer in answers), answers
        return [answer["result"] for answer in answers]

    def send(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", self._path, body, headers)
        return self._connection.getresponse().read()

    def close(self) -> None:
        self._connection.close()


def add_many(site: Site, service: str, count: int, **add: Any) -> list[str]:
    """Add modules, 20 at a time, and return their uids."""
    uids: list[str] = []
    while len(uids) < count:
        batch = min(20, count - len(uids))
        answers = site.direct(service, batch * [{"cmd": "add", "args": add}]).json
        assert all(answer["success"] for answer in answers), answers
        uids += [answer["result"]["uid"] for answer in answers]
    return uids


def child(name: str, *arguments: str) -> list[str]:
    """The argv of one of the programs in tests/bench/children."""
    return [sys.executable, str(CHILDREN / f"{name}.py"), *arguments]


def own_processes(site: Site) -> list[psutil.Process]:
    """The processes of the services, guardians included. Call it before modules are added."""
    roots = [psutil.Process(process.pid) for process in site.processes.values()]
    return [each for root in roots for each in (root, *root.children(recursive=True))]


def cpu_ms(processes: list[psutil.Process]) -> float:
    """CPU time that these processes have used so far, in milliseconds."""
    tasks = [task for each in processes for task in Path(f"/proc/{each.pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


@contextmanager
def process_of(argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process with pipes for standard input and output, and kill it at the end."""
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def allow_files() -> None:
    """Raise the limit on open files as far as allowed, for this process and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@cache
def quiet() -> list[str]:
    """The argv of a minimal module, written in C and compiled on first use."""
    source, program = CHILDREN / "quiet.c", CACHE / "quiet"
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return [str(program)]
    if shutil.which("cc") is None:
        raise Skip("no C compiler")
    subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)
    return [str(program)]


@cache
def old_python() -> str:
    """The command of Python 2.7: the variable PYTHON27, or python2.7."""
    python = os.environ.get("PYTHON27", "python2.7")
    try:
        subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise Skip("no Python 2.7 with pip") from None
    return python


@cache
def old_packages() -> Path:
    """The folder with 1.2.4 and its dependencies, for PYTHONPATH."""
    folder = CACHE / "shmooze-1.2.4"
    if not folder.exists():
        print("bench: installing shmooze 1.2.4 into .bench (once)", file=sys.stderr)
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _install(unfinished, OLD_NEEDS)
        _install(unfinished, OLD, "--no-deps")
        unfinished.rename(folder)
    return folder


def _install(folder: Path, packages: list[str], *options: str) -> None:
    pip = [old_python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *options, "--target", str(folder), *packages], capture_output=True)
    if done.returncode:
        sys.stderr.write(done.stderr.decode(errors="replace"))
        raise Skip("1.2.4 cannot be installed")
