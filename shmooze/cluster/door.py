"""The door: where the guards of a service connect.

A guard shows its ticket's number and secret. Whoever has none, or one that is not valid any more,
is refused, and a guard that is refused ends everything. Off loopback all connections are TLS, and
both sides must show a certificate of the service's own authority (see certificates.py).
"""

from __future__ import annotations

import hmac
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import gevent
from gevent import ssl
from gevent.server import StreamServer

from shmooze.cluster.lease import Timing
from shmooze.cluster.link import Connection
from shmooze.cluster.protocol import (
    MAX_FRAME,
    MAX_HELLO,
    Content,
    Frame,
    FrameReader,
    Hello,
    ProtocolError,
    Refused,
    encode,
)
from shmooze.cluster.session import Session

log = logging.getLogger(__name__)

#: What a guard is told whose ticket nobody knows.
UNKNOWN = "the service does not know this ticket"


class Door:
    """Listens for guards. With `tls` all connections are encrypted."""

    #: Seconds for TLS and the first frame.
    hello_timeout = 10.0
    #: Connections at the same time that have not shown a ticket yet.
    max_strangers = 100

    def __init__(self, host: str, port: int, timing: Timing, tls: ssl.SSLContext | None) -> None:
        self._timing, self._tls = timing, tls
        self._sessions: dict[str, Session] = {}
        self._server = StreamServer((host, port), self._serve, backlog=1024)
        self._strangers = 0
        self._watcher: gevent.Greenlet | None = None

    def open(self) -> None:
        """Listen. Raises OSError."""
        self._server.start()
        self._watcher = gevent.spawn(self._watch)

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._server.server_port)

    def expect(
        self, label: str, receive: Callable[[Content], None], on_lost: Callable[[], None]
    ) -> Session:
        """A new session, whose guard may come. See Session."""
        session = Session(label, self._timing, receive, on_lost)
        self._sessions[session.number] = session
        return session

    def forget(self, session: Session) -> None:
        """The guard of a session is told to go, if it comes again."""
        self._sessions.pop(session.number, None)
        session.end()

    def close(self) -> None:
        """Listen no more."""
        self._server.close()
        if self._watcher is not None:
            self._watcher.kill()
        for session in [*self._sessions.values()]:
            self.forget(session)

    def _watch(self) -> None:
        while True:
            gevent.sleep(self._timing.beat)
            for session in [*self._sessions.values()]:
                try:
                    session.check()
                except Exception:  # a bug, which must not keep the others from being noticed
                    log.exception("%r cannot be checked", session)

    def _serve(self, accepted: socket.socket, address: tuple[object, ...]) -> None:
        if self._strangers >= self.max_strangers:
            return
        self._strangers += 1
        connection = None
        try:
            with gevent.Timeout(self.hello_timeout):
                connection, frames, hello = self._receive_hello(accepted)
        except (OSError, ProtocolError, gevent.Timeout) as bad:
            log.warning("refused a connection of %s to the door for guards: %s", address[0], bad)
            return
        finally:
            self._strangers -= 1
        with closing(connection):
            try:
                self._admit(connection, hello, frames)
            except StopIteration:
                pass  # the connection has ended
            except ProtocolError as bad:
                log.warning("closed the connection of a guard on %s: %s", hello.host, bad)

    def _receive_hello(
        self, accepted: socket.socket
    ) -> tuple[Connection, Callable[[], Frame], Hello]:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            accepted = self._tls.wrap_socket(accepted, server_side=True)
        connection, reader = Connection(accepted), FrameReader(MAX_HELLO)
        frames: Iterator[Frame] = connection.frames(reader)
        hello = next(frames, None)
        if not isinstance(hello, Hello):
            connection.close()
            raise ProtocolError("it does not say who it is")
        reader.max_frame = MAX_FRAME
        return connection, frames.__next__, hello

    def _admit(self, connection: Connection, hello: Hello, frames: Callable[[], Frame]) -> None:
        session = self._sessions.get(hello.session)
        if session is None or not hmac.compare_digest(
            session.secret.encode(), hello.secret.encode()
        ):
            refusal: str | None = UNKNOWN
        else:
            refusal = session.refusal(hello)
        if session is None or refusal is not None:
            log.info("refused a guard on %s: %s", hello.host, refusal)
            connection.write(encode(Refused(refusal or UNKNOWN)))
            connection.flush(self.hello_timeout)
            return
        session.serve(connection, hello, frames)
