"""The HTTP server as services and gateway run it, and what both answer before any command runs.

A WSGIServer with TCP_NODELAY (without it a keep-alive POST takes 40 ms: header and body leave in
two segments, and the second waits for the client's delayed acknowledgement), quiet about
requests, and quick to stop: idle keep-alive connections are closed at once, answers under way
get a moment.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import gevent
from bottle import HTTPResponse, request
from gevent import monkey, socket
from gevent.pywsgi import WSGIHandler, WSGIServer

from shmooze.errors import ShmoozeError
from shmooze.lib import packet

log = logging.getLogger(__name__)

#: Longest request body, in bytes.
MAX_BODY = 1 << 20

JSON_TYPES = ("application/json", "text/json")

Application = Any


class Refused(HTTPResponse):
    """An HTTP status with a failure packet as its body. Raise it from a route."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        body = packet.encode(packet.error(message))
        super().__init__(body, status, {"Content-Type": "application/json", **headers})


def json_body() -> bytes:
    """The body of the current POST, which must be declared as JSON; it is not decoded.

    Raises Refused: 415 for another content type, 413 for a body that is too large.
    """
    declared = request.content_type.partition(";")[0].strip().lower()
    if declared not in JSON_TYPES:
        raise Refused(415, f"Content-Type must be application/json, not {declared or 'missing'}")
    length = request.content_length
    if length <= MAX_BODY:
        if length < 0:
            # Not told: none, or chunked, which our server has undone; it marks the end of input.
            # Other servers' input must not be read past the length, some would wait forever.
            length = MAX_BODY + 1 if request.environ.get("wsgi.input_terminated") else 0
        try:
            body: bytes = request.environ["wsgi.input"].read(length)
        except OSError as bad:
            raise Refused(400, f"the body cannot be read: {bad}", Connection="close") from bad
        if len(body) <= MAX_BODY:
            return body
    raise Refused(413, f"the body is larger than {MAX_BODY} bytes", Connection="close")


class _Handler(WSGIHandler):
    """Knows whether it waits for a request or works on one, and drops what it will not read."""

    idle = True

    def read_requestline(self) -> str:
        self.idle = True
        line: str = super().read_requestline()
        self.idle = False
        return line

    def handle(self) -> None:
        self.server.connections[self] = gevent.getcurrent()
        try:
            super().handle()
        finally:
            del self.server.connections[self]

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        write = super().start_response(status, headers, exc_info)
        if self.server.stopping:
            self.close_connection = True
        if self.code == 413:
            # Nobody will read the rest of this body; the connection ends with the answer.
            self.close_connection = True
            self.wsgi_input.content_length = self.wsgi_input.position
            self.wsgi_input.chunked_input = False
        return write


class Server:
    """Serves a WSGI application at `host` and `port`."""

    #: Seconds that answers under way may take when the server stops.
    stop_timeout = 1.0
    #: Connections that may wait to be accepted.
    backlog = 1024

    def __init__(self, host: str, port: int, application: Application) -> None:
        self.host, self.port = host, port
        self._application = application
        self._server: WSGIServer | None = None

    def start(self) -> None:
        """Listen. Raises ShmoozeError where the address cannot be had."""
        server = WSGIServer(
            self._listen(),
            self._application,
            handler_class=_Handler,
            log=None,
            error_log=log,
            environ={"SERVER_NAME": self.host},  # or it would be looked up, and DNS waited for
        )
        server.connections = {}
        server.stopping = False
        server.start()
        self._server = server

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Ahead of listen: connections inherit it, those of the first moment too.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.bind((self.host, self.port))
            listener.listen(self.backlog)
        except OSError as bad:
            listener.close()
            problem = os.strerror(bad.errno) if bad.errno and bad.errno > 0 else bad.args[-1]
            raise ShmoozeError(f"cannot listen on {self.host}:{self.port}: {problem}") from bad
        return listener

    def stop_listening(self) -> None:
        """Take no new connection; those that are idle are closed, those at work go on."""
        if self._server is not None:
            self._server.close()
            self._server.stopping = True
            idle = [loop for handler, loop in self._server.connections.items() if handler.idle]
            gevent.killall(idle, block=False)

    def stop(self) -> None:
        """Stop listening, let answers under way go out for a moment, then close everything."""
        self.stop_listening()
        server, self._server = self._server, None
        if server is not None:
            gevent.joinall(list(server.connections.values()), self.stop_timeout)
            gevent.killall(list(server.connections.values()))
            server.stop(0)


def require_patched() -> None:
    """Raise ShmoozeError unless gevent has patched the standard library of this process."""
    if not monkey.is_module_patched("socket"):
        raise ShmoozeError(
            "gevent has not patched this program: its first two lines must be "
            "`from gevent import monkey` and `monkey.patch_all()`"
        )
