"""Rows: requests to the web server of a module, by the gateway, by nginx, and directly."""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support import PATIENCE, Site, free_ports, is_listening, wait_until

from bench.lab import Lab, child
from bench.load import median_ms
from bench.row import HIGHER, LOWER, Skip, row

#: A module that is a web server.
WEB = {"adapter": "command", "process": child("web", "{port}"), "http": {}}
#: Requests, tokens and messages of one measurement.
COUNT, QUICK_COUNT = 1000, 300


@dataclass
class Way:
    """How the module is reached."""

    port: int
    path: str = ""


def add_web(site: Site) -> tuple[Way, Way]:
    """Add the module. Returns how it is reached through the gateway, and directly."""
    uid = site.ask("pool", "add", type="web")["uid"]
    through = Way(site.ports["wsgi"], f"/pool/at/{uid}")
    assert ask(connect(through), through) == b"ok"  # and so it is ready
    return through, Way(port_of(site))


def port_of(site: Site) -> int:
    """The port of the one module that is a web server."""
    argvs = [Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in site.survivors()]
    (port,) = (int(argv[-2]) for argv in argvs if argv[1:2] == [os.fsencode(WEB["process"][1])])
    return port


@contextmanager
def nginx(lab: Lab, module: Way) -> Iterator[Way]:
    """nginx in front of the module, configured to pass everything on at once."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise Skip("no nginx")
    folder = lab.folder / f"nginx-{module.port}"
    folder.mkdir()
    (port,) = free_ports(1)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"""daemon off; {user} pid {folder}/pid; error_log {folder}/log; worker_processes 1;
        events {{ worker_connections 4096; }}
        http {{
            access_log off; {temporary}
            upstream module {{ server 127.0.0.1:{module.port}; keepalive 64; }}
            map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://module; proxy_http_version 1.1; proxy_buffering off;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                }}
            }}
        }}"""
    )
    argv = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "log")]
    process = subprocess.Popen(argv)
    try:
        wait_until(lambda: is_listening(port), "nginx listens")
        yield Way(port)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def connect(way: Way) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", way.port), PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def get(way: Way, path: str, *lines: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in ("Host: localhost", *lines))
    return f"GET {way.path}{path} HTTP/1.1\r\n{head}\r\n".encode()


def ask(connection: socket.socket, way: Way) -> bytes:
    """One small request on a connection that is kept; the body of its answer."""
    connection.sendall(get(way, "/"))
    received = b""
    while not received.endswith(b"ok"):
        received += connection.recv(4096)
    return received[-2:]


def request_ms(way: Way, count: int) -> float:
    with closing(connect(way)) as connection:
        return median_ms(count, partial(ask, connection, way))


def rate(way: Way, seconds: float) -> float:
    """Requests a second of 32 clients."""
    if shutil.which("wrk") is None:
        raise Skip("no wrk")
    script = str(Path(__file__).with_name("post.lua"))
    argv = ["wrk", "-t1", "-c32", f"-d{seconds:.0f}s", "--latency", "-s", script]
    out = subprocess.run(
        [*argv, f"http://127.0.0.1:{way.port}{way.path}/"], check=True, capture_output=True
    ).stdout
    figures = json.loads(out.splitlines()[-1])
    assert not figures["failed"], out.decode()
    return figures["rate"]


def token_ms(way: Way, count: int) -> float:
    """Median milliseconds from when the module sends a token until the client has it."""
    late = []
    with closing(connect(way)) as connection, connection.makefile("rb") as stream:
        connection.sendall(get(way, f"/tokens/{count}"))
        while len(late) < count and (line := stream.readline()):
            if line.startswith(b"data: "):
                late.append((time.monotonic_ns() - int(line[6:])) / 1e6)
    return statistics.median(late)


def open_socket(way: Way) -> socket.socket:
    """A WebSocket to the module, which echoes."""
    connection = connect(way)
    connection.sendall(get(way, "/socket", "Connection: Upgrade", "Upgrade: websocket"))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert b" 101 " in head
    return connection


def echo(connection: socket.socket) -> None:
    connection.sendall(b"x" * 100)
    left = 100
    while left:
        left -= len(connection.recv(left))


def socket_ms(way: Way, count: int) -> float:
    with closing(open_socket(way)) as connection:
        return median_ms(count, partial(echo, connection))


Measure = Callable[[Way], float]


def measured(
    lab: Lab, of: Callable[[int], Measure], by_nginx: bool
) -> Iterator[tuple[float, float]]:
    measure = of(QUICK_COUNT if lab.quick else COUNT)
    with lab.ours("wsgi", "pool", web=WEB) as site:
        through, directly = add_web(site)
        if not by_nginx:
            while True:
                yield measure(through), measure(directly)
        with nginx(lab, directly) as other:
            while True:
                yield measure(through), measure(other)


def requests(count: int) -> Measure:
    return lambda way: request_ms(way, count)


def tokens(count: int) -> Measure:
    return lambda way: token_ms(way, count)


def messages(count: int) -> Measure:
    return lambda way: socket_ms(way, count)


@row(
    "proxied",
    "request to a module's web server, 1 client, p50",
    versus="directly",
    goal=1,
    better=LOWER,
    unit="ms",
    difference=True,
)
def proxied_request(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from measured(lab, requests, by_nginx=False)


@row(
    "proxied-nginx",
    "request to a module's web server, 1 client, p50",
    versus="through nginx",
    goal=1,
    better=LOWER,
    unit="ms",
    difference=True,
)
def proxied_request_and_nginx(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from measured(lab, requests, by_nginx=True)


@row(
    "proxied-32",
    "requests to a module's web server, 32 clients",
    versus="through nginx",
    goal=0.08,
    better=HIGHER,
    unit="/s",
)
def proxied_requests_of_32_clients(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from measured(lab, lambda _: lambda way: rate(way, lab.seconds), by_nginx=True)


@row(
    "token",
    "a streamed token, from the module to the client, p50",
    versus="directly",
    goal=0.5,
    better=LOWER,
    unit="ms",
    difference=True,
)
def streamed_tokens(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from measured(lab, tokens, by_nginx=False)


@row(
    "token-nginx",
    "a streamed token, from the module to the client, p50",
    versus="through nginx",
    goal=0.5,
    better=LOWER,
    unit="ms",
    difference=True,
)
def streamed_tokens_and_nginx(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from measured(lab, tokens, by_nginx=True)


@row(
    "websocket",
    "round trip over a module's WebSocket, p50",
    versus="directly",
    goal=5,
    better=LOWER,
    unit="ms",
    quick=True,
)
def websocket_round_trip(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from measured(lab, messages, by_nginx=False)


@row(
    "websocket-nginx",
    "round trip over a module's WebSocket, p50",
    versus="through nginx",
    goal=4,
    better=LOWER,
    unit="ms",
)
def websocket_round_trip_and_nginx(lab: Lab) -> Iterator[tuple[float, float]]:
    yield from measured(lab, messages, by_nginx=True)
