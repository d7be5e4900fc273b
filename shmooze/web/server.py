"""The HTTP server of services and gateway.

A WSGIServer of gevent with a handler of our own: requests are read and checked whole, within the
`Limits`, before the application sees them. TCP_NODELAY is set. It writes no line for each request,
and it stops quickly: idle connections are closed at once, answers under way get a moment.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent
from gevent import socket
from gevent.pywsgi import WSGIServer

from shmooze.runtime.listeners import listen
from shmooze.runtime.open_files import allow_files
from shmooze.web.connection import Connection, ServerState
from shmooze.web.limits import Limits

if TYPE_CHECKING:
    from ssl import SSLContext

log = logging.getLogger(__name__)


#: Reasons why requests are throttled: all connections are busy; their token was wrong.
CONNECTIONS, TOKEN = THROTTLING = ("connections", "token")


class Traffic(NamedTuple):
    """What a server has to do with its clients."""

    #: Connections that are open now.
    connections: int = 0
    #: Requests so far that were delayed or refused, by reason.
    throttled: Mapping[str, int] = dict.fromkeys(THROTTLING, 0)


class Server:
    """Serves a WSGI application at `host` and `port`.

    `listener` is a result of `listen`, which is the server's own from `start` on; None: it listens
    itself. `tls` has its certificate; None: it does not speak TLS.
    """

    #: Seconds that answers under way may take when the server stops.
    stop_timeout = 1.0
    #: Open files that a program needs beside two for each connection, its client's and one on.
    other_files = 100

    def __init__(
        self,
        host: str,
        port: int,
        application: Any,
        limits: Limits,
        listener: Any = None,
        tls: SSLContext | None = None,
    ) -> None:
        self.host, self.port = host, port
        self._tls = tls
        self._application = application
        self._limits = limits
        self._listener = listener
        self._server: Any = None
        self._state: ServerState

    def start(self) -> None:
        """Listen. Raises ShmoozeError if the address is not available."""
        listener = self._listener or listen(self.host, self.port)
        ours = socket.socket(fileno=listener.detach())
        app = self._application
        self._state = ServerState(
            self._limits_of_system(),
            getattr(app, "headers_for", lambda _: []),
            getattr(app, "is_streamed", lambda _: False),
            self._tls,
        )
        environ = {"SERVER_NAME": self.host}  # or it would be looked up, and DNS waited for
        if self._tls is not None:
            environ["wsgi.url_scheme"] = "https"
        server = WSGIServer(
            ours,
            self._application,
            handler_class=partial(Connection, self._state),
            log=None,
            error_log=log,
            environ=environ,
        )
        server.start()
        self._server = server

    def _limits_of_system(self) -> Limits:
        """The limits, with no more connections than there can be open files for."""
        wanted = self._limits.max_connections
        files = allow_files(2 * wanted + self.other_files)
        possible = max(1, (files - self.other_files) // 2)
        if possible >= wanted:
            return self._limits
        log.warning("only %d connections at a time: the system allows %d files", possible, files)
        return self._limits.with_connections(possible)

    @property
    def traffic(self) -> Traffic:
        """What it has to do now, and had to do since it was started."""
        if self._server is None:
            return Traffic()
        throttled = {CONNECTIONS: self._state.rejections, TOKEN: self._state.delays}
        return Traffic(len(self._state.connections), throttled)

    def stop_listening(self) -> None:
        """Take no new connection. Idle ones and streams are closed, other answers go on."""
        if self._server is not None:
            self._server.close()
            self._state.is_stopping = True
            self._state.connections.evict_idle()

    def stop(self) -> None:
        """Stop listening, let answers under way go out for a moment, then close everything."""
        self.stop_listening()
        server, self._server = self._server, None
        if server is not None:
            connections = self._state.connections
            gevent.joinall(connections.greenlets, self.stop_timeout)
            gevent.killall(connections.greenlets)
            server.stop(0)
