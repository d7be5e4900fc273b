"""The programs that are compared: each starts one `tree` for its clients."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import Client, Site, free_ports, is_listening, wait_until

TREE, CLIENT = (Path(__file__).with_name(name) for name in ("tree.py", "client.py"))
#: Seconds that a program may take to start, or a client to get an answer.
LONG = 120.0
#: Seconds without a request after which shmooze ends a module here.
IDLE = 1


class Tools:
    """Where the other programs are installed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bin = folder / "venv" / "bin"
        self.npm = folder / "node_modules"

    def install(self) -> None:
        """Install what is not there."""
        if not (self.bin / "mcp-proxy").exists():
            venv.create(self._folder / "venv", with_pip=True)
            pip = [str(self.bin / "python"), "-m", "pip", "install", "-q"]
            subprocess.run([*pip, "mcp-proxy", "jupyter-server-proxy"], check=True)
        if not (self.npm / "supergateway").exists():
            options = ["--no-audit", "--no-fund", "--silent"]
            argv = ["npm", "install", *options, "--prefix", str(self._folder), "supergateway"]
            subprocess.run(argv, check=True)

    def pip_version(self, package: str) -> str:
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        argv = [str(self.bin / "python"), "-c", code]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    def npm_version(self, package: str) -> str:
        version: str = json.loads((self.npm / package / "package.json").read_text())["version"]
        return version


class Peer:
    """One program, running. `pids` are those that may be killed to see what is left."""

    name = package = ""
    #: How its clients come: as MCP over this transport, or None: as requests for an endless answer.
    transport: str | None = None

    def __init__(self, tools: Tools, folder: Path) -> None:
        self.tools, self.folder = tools, folder
        (self.port,) = free_ports(1)
        self.argv_of_tree = [sys.executable, "-S", str(TREE), str(folder)]
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def version(cls, tools: Tools) -> str:
        return tools.pip_version(cls.package)

    @property
    def url(self) -> str:
        raise NotImplementedError

    def argv(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Start it; returns when it listens."""
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self.argv(),
                cwd=self.folder,
                env={**os.environ, "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: is_listening(self.port), f"{self.name} listens", LONG)

    def kill(self, number: int, which: int) -> None:
        """Send a signal to one of its processes."""
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def client(self) -> Iterator[None]:
        """A client that has got an answer, and leaves without a word."""
        if self.transport is None:
            with self._request():
                yield
            return
        argv = [str(self.tools.bin / "python"), str(CLIENT), self.transport, self.url]
        with (self.folder / "client.log").open("ab") as log:
            client = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log)
        late = threading.Timer(LONG, client.kill)
        late.start()
        try:
            assert client.stdout is not None
            if client.stdout.readline() != b"ready\n":
                raise RuntimeError(f"{self.name}: {(self.folder / 'client.log').read_text()}")
            late.cancel()
            yield
        finally:
            late.cancel()
            client.kill()
            client.communicate()

    @contextmanager
    def _request(self) -> Iterator[None]:
        host, _, path = self.url.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=LONG)
        try:
            connection.request("GET", f"/{path}", headers={"Accept": "text/event-stream"})
            answer = connection.getresponse()
            if answer.status != 200 or answer.read(6) != b"data: ":
                raise RuntimeError(f"{self.name}: status {answer.status}")
            yield
        finally:
            connection.close()


class Shmooze(Peer):
    """A pool behind its gateway. Signals go to the guardian, or to the service below it."""

    name = package = "shmooze"

    @classmethod
    def version(cls, tools: Tools) -> str:
        from shmooze import __version__

        return __version__

    def start(self) -> None:
        pool = {"pool": {"modules": {"tree": self.kind()}}}
        self._site = Site(self.folder / "site", ("wsgi", "pool"), pool).start()
        self.port = self._site.ports["wsgi"]
        self._service = Client(self._site, "pool").service
        self._killed: subprocess.Popen[bytes] | None = None

    def kind(self) -> dict[str, object]:
        argv = [*self.argv_of_tree, "web", "{port}"]
        return {"adapter": "command", "process": argv, "http": {"idle": IDLE}}

    @property
    def url(self) -> str:
        return f"{self._site.url}pool/on/tree/stream"

    def kill(self, number: int, which: int) -> None:
        self._killed = self._site.processes.pop("pool")
        os.kill([self._killed.pid, self._service][which], number)

    def close(self) -> None:
        self._site.stop()
        if self._killed is not None:
            self._killed.wait(LONG)


class ShmoozeMcp(Shmooze):
    name, transport = "shmooze, `mcp`", "http"

    def kind(self) -> dict[str, object]:
        return {"adapter": "mcp", "process": [*self.argv_of_tree, "mcp"]}

    @property
    def url(self) -> str:
        return f"{self._site.url}pool/on/tree/mcp"


class JupyterServerProxy(Peer):
    name = package = "jupyter-server-proxy"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tree/stream?token=secret"

    def argv(self) -> list[str]:
        config = self.folder / "config.py"
        servers = {"tree": {"command": [*self.argv_of_tree, "web", "{port}"]}}
        config.write_text(f"c.ServerProxy.servers = {servers!r}\n")
        options = ["--no-browser", "--allow-root", f"--port={self.port}", f"--config={config}"]
        token = "--IdentityProvider.token=secret"
        return [str(self.tools.bin / "jupyter-server"), *options, token]


class McpProxy(Peer):
    name = package = "mcp-proxy"
    transport = "http"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def argv(self) -> list[str]:
        port = f"--port={self.port}"
        return [str(self.tools.bin / "mcp-proxy"), port, "--", *self.argv_of_tree, "mcp"]


class Supergateway(Peer):
    name = package = "supergateway"
    transport = "sse"
    options: tuple[str, ...] = ()

    @classmethod
    def version(cls, tools: Tools) -> str:
        return tools.npm_version(cls.package)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{'sse' if self.transport == 'sse' else 'mcp'}"

    def argv(self) -> list[str]:
        tree = shlex.join([*self.argv_of_tree, "mcp"])
        program = str(self.tools.npm / ".bin" / "supergateway")
        return [program, "--stdio", tree, "--port", str(self.port), *self.options]


class SupergatewayOfSessions(Supergateway):
    name, transport = "supergateway `--stateful`", "http"
    options = ("--outputTransport", "streamableHttp", "--stateful")


PEERS: list[type[Peer]] = [
    *([ShmoozeMcp] if importlib.util.find_spec("shmooze.adapters.mcp") else []),
    Supergateway,
    SupergatewayOfSessions,
    McpProxy,
    Shmooze,
    JupyterServerProxy,
]
