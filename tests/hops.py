"""Servers of ours that pass requests on, one behind the other, all in the process of the test.

The client, both servers and whoever answers are greenlets, so tests need neither threads nor
programs, and decide what happens when.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from certificates import certificate
from gevent import monkey, socket
from gevent.event import Event
from support import PATIENCE, free_ports

from shmooze.web import connect, hang_up
from shmooze.web.forwarding import Passing
from shmooze.web.limits import Limits
from shmooze.web.proxy import headers_of, pass_on, target_of
from shmooze.web.server import Server
from shmooze.web.upstream import Upstream


class Peer:
    """One end of a connection, with the bytes that have come so far."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.received = b""

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def read_until(self, end: bytes) -> bytes:
        """All up to these bytes, which must come. The rest stays."""
        while end not in self.received:
            data = self.connection.recv(1 << 16)
            assert data, f"it ended after {self.received[-200:]!r}"
            self.received += data
        found, _, self.received = self.received.partition(end)
        return found + end

    def read(self, count: int) -> bytes:
        while len(self.received) < count:
            data = self.connection.recv(1 << 16)
            assert data, f"it ended after {self.received[-200:]!r}"
            self.received += data
        found, self.received = self.received[:count], self.received[count:]
        return found

    def read_to_end(self) -> bytes:
        """All that still comes; a reset counts as b"RESET" at the end."""
        try:
            while data := self.connection.recv(1 << 16):
                self.received += data
        except ConnectionResetError:
            return self.received + b"RESET"
        return self.received

    def wait_for_end(self) -> None:
        """Wait until the other side has gone, whatever it sends until then."""
        self.read_to_end()

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()

    def close(self) -> None:
        self.connection.close()


class Answerer:
    """Accepts connections, for the test to answer on."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._accepted: list[Peer] = []
        self.port: int = self._listener.getsockname()[1]

    def accept(self) -> Peer:
        self._accepted.append(Peer(self._listener.accept()[0]))
        return self._accepted[-1]

    def close(self) -> None:
        for each in self._accepted:
            each.close()
        self._listener.close()


class Hops:
    """`count` servers that pass requests on to an Answerer; with `tls`, by TLS to each other."""

    def __init__(self, count: int, silence: float | None, limits: Limits, tls: bool) -> None:
        self.answerer = Answerer()
        self._clients: list[Peer] = []
        self.ends = 0
        self.all_over = Event()
        self.servers: list[Server] = []
        self.upstreams: list[Upstream] = []
        port = self.answerer.port
        own, trust = _contexts() if tls else (None, None)
        for number in range(1, count + 1):
            (free,) = free_ports(1)
            trusted = None if number == 1 else trust  # the answerer speaks no TLS
            self.upstreams.append(Upstream("127.0.0.1", port, silence, tls=trusted))
            application = _Application(self, self.upstreams[-1])
            server = Server(
                "127.0.0.1", free, application, limits, tls=None if number == count else own
            )
            server.start()
            self.servers.append(server)
            port = free
        self.port = port

    def connect(self) -> Peer:
        self._clients.append(Peer(socket.create_connection(("127.0.0.1", self.port))))
        return self._clients[-1]

    def ask(self, request: bytes) -> tuple[Peer, Peer]:
        """Send a request. Returns the client, and the connection on which it arrives."""
        client = self.connect()
        client.send(request)
        return client, self.answerer.accept()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for server in self.servers:
            server.stop()
        for each in self.upstreams:
            each.close()
        self.answerer.close()


class _Application:
    def __init__(self, hops: Hops, upstream: Upstream) -> None:
        self._hops, self._upstream = hops, upstream

    def is_streamed(self, path: str) -> bool:
        return True

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        headers = [("Host", "module"), *headers_of(environ).items()]
        passing = Passing(self._upstream, target_of(environ, 0), headers, "the module")
        passing.on_end = self._on_end
        return pass_on(environ, start_response, passing)

    def _on_end(self) -> None:
        self._hops.ends += 1
        if self._hops.ends == len(self._hops.servers):
            self._hops.all_over.set()


def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Those of servers, and of their clients."""
    made = certificate()
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(made.certificate, made.key)
    return own, ssl.create_default_context(cafile=made.certificate)


MakeHops = Callable[..., Hops]


@contextmanager
def hops_in_this_process(tls: bool = False) -> Iterator[MakeHops]:
    """A function that makes Hops: `count`, `silence`, and limits by name."""
    made: list[Hops] = []

    def make(count: int = 2, silence: float | None = PATIENCE, **limits: Any) -> Hops:
        made.append(Hops(count, silence, Limits(**limits), tls))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch, gevent.Timeout(PATIENCE):
        patch.setattr(connect, "socket", socket)
        patch.setattr(monkey, "is_module_patched", lambda name: True)
        patch.setattr(hang_up, "LOOK_INTERVAL", 0.05)
        patch.setattr(Server, "stop_timeout", 0.05)
        try:
            yield make
        finally:
            for each in made:
                each.close()
