"""Rows: a call of a tool of an MCP server, through the gateway and through others."""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from support import PATIENCE, free_ports, is_listening, keep_alive, wait_until

from bench.lab import CACHE, Lab, child
from bench.lives import ms
from bench.row import LOWER, Skip, row

#: Calls on each side for one measurement.
COUNT = 300
_INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}
_CALL = {"name": "echo", "arguments": {"x": "hello"}}

#: Calls a tool once.
Call = Callable[[], None]


def request(number: int, method: str, params: Any) -> bytes:
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return json.dumps(message).encode()


class OverHttp:
    """A client that uses one connection for everything."""

    def __init__(self, connection: HTTPConnection, path: str) -> None:
        self._connection, self._path = connection, path
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        self._number = 0
        self._ask("initialize", _INITIALIZE)
        done = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        self._send(json.dumps(done).encode())

    def __call__(self) -> None:
        assert b"hello" in self._ask("tools/call", _CALL)

    def _ask(self, method: str, params: Any) -> bytes:
        self._number += 1
        return self._send(request(self._number, method, params))

    def _send(self, body: bytes) -> bytes:
        self._connection.request("POST", self._path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status in (200, 202), content
        if session := answer.headers["Mcp-Session-Id"]:
            self._headers |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-06-18"}
        return content


@contextmanager
def through_gateway(lab: Lab) -> Iterator[Call]:
    kind = {"process": child("mcp_echo"), "adapter": "mcp"}
    with lab.ours("wsgi", "pool", echo=kind) as site:
        connection = keep_alive(site.ports["wsgi"])
        uid = site.ask("pool", "add", type="echo")["uid"]
        yield OverHttp(connection, f"/pool/at/{uid}/mcp")
        connection.close()


@contextmanager
def over_stdio() -> Iterator[Call]:
    process = subprocess.Popen(child("mcp_echo"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    sent, received = process.stdin, process.stdout

    def ask(method: str, params: Any) -> bytes:
        sent.write(request(1, method, params) + b"\n")
        sent.flush()
        return received.readline()

    try:
        ask("initialize", _INITIALIZE)

        def call() -> None:
            assert b"hello" in ask("tools/call", _CALL)

        yield call
    finally:
        process.kill()
        process.communicate()


@contextmanager
def through(argv: Callable[[int], list[str]]) -> Iterator[Call]:
    """Through another program, which `argv` has listen on a port."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        argv(port), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: is_listening(port) or process.poll() is not None, "it listens")
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        yield OverHttp(connection, "/mcp")
        connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def mcp_proxy(port: int) -> list[str]:
    folder = CACHE / "mcp-proxy"
    program = folder / "bin" / "mcp-proxy"
    if not program.exists():
        _install([sys.executable, "-m", "venv", str(folder)])
        _install([str(folder / "bin" / "pip"), "install", "--quiet", "mcp-proxy"])
    return [str(program), "--host", "127.0.0.1", "--port", str(port), "--", *child("mcp_echo")]


def supergateway(port: int) -> list[str]:
    folder = CACHE / "supergateway"
    program = folder / "node_modules" / ".bin" / "supergateway"
    if shutil.which("npm") is None:
        raise Skip("no npm")
    if not program.exists():
        _install(["npm", "install", "--silent", "--prefix", str(folder), "supergateway"])
    options = ["--outputTransport", "streamableHttp", "--stateful", "--logLevel", "none"]
    server = " ".join(child("mcp_echo"))
    return [str(program), "--stdio", server, *options, "--port", str(port)]


def _install(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True)
    if done.returncode:
        sys.stderr.write(done.stderr.decode(errors="replace"))
        raise Skip(f"{Path(argv[-1]).name} cannot be installed")


def in_turn(*calls: Call) -> tuple[float, ...]:
    """The median milliseconds of each, called in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(COUNT):
        for call, each in zip(calls, times):
            begin = time.perf_counter()
            call()
            each.append(ms(begin))
    return tuple(map(statistics.median, times))


def beside(lab: Lab, other: Any) -> Iterator[tuple[float, float]]:
    with ExitStack() as stack:
        # Ours first: theirs close a connection that is not used while an application starts.
        ours = stack.enter_context(through_gateway(lab))
        theirs = stack.enter_context(other)
        in_turn(ours, theirs)  # the first calls take longer
        while True:
            mine, its = in_turn(ours, theirs)
            yield mine, its


@row(
    "mcp-stdio",
    "a call of an MCP tool through the gateway, p50",
    versus="the same server asked over standard input and output",
    goal=30,
    better=LOWER,
    unit="ms",
)
def beside_stdio(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from beside(lab, over_stdio())


@row(
    "mcp-proxy",
    "a call of an MCP tool through the gateway, p50",
    versus="the same through mcp-proxy",
    goal=1,
    better=LOWER,
    unit="ms",
)
def beside_mcp_proxy(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from beside(lab, through(mcp_proxy))


@row(
    "mcp-supergateway",
    "a call of an MCP tool through the gateway, p50",
    versus="the same through supergateway",
    goal=1,
    better=LOWER,
    unit="ms",
)
def beside_supergateway(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from beside(lab, through(supergateway))
