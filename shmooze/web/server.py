"""The HTTP server as services and gateway run it.

A WSGIServer that hands whole requests to the application: `lib.request` has read and checked
them, within the `Limits`. It has TCP_NODELAY (without it a keep-alive POST takes 40 ms: header
and body leave in two segments, and the second waits for the client's delayed acknowledgement), is
quiet about requests, and quick to stop: idle keep-alive connections are closed at once, answers
under way get a moment.

Clients that do nothing cannot use it up. A connection that waits for its client, to speak, to
listen, or for a while because it has shown a wrong token, stands in a line. When there are as
many connections as there may be, the first in the line is closed for a new one. Only when all are
at work is a new client told to come again.
"""

from __future__ import annotations

import dataclasses
import http
import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent import socket
from gevent.pywsgi import WSGIHandler, WSGIServer

from shmooze.lib import packet
from shmooze.runtime.listeners import listen
from shmooze.runtime.open_files import allow_files
from shmooze.web.answers import REFUSAL_HEADERS
from shmooze.web.head import BadRequest, Head
from shmooze.web.limits import Limits
from shmooze.web.request import HungUp, Incoming
from shmooze.web.sockets import send_all

log = logging.getLogger(__name__)

Application = Any

#: In the WSGI environment: a function by which an application has a client wait for a no, some
#: seconds, in a connection that anybody else may have meanwhile.
PENANCE = "shmooze.penance"

#: In the WSGI environment: a function that tells whether the client has closed its side.
HAS_LEFT = "shmooze.has_left"

#: In the WSGI environment: a context in which the request is given up when its client leaves.
WHILE_IT_WAITS = "shmooze.while_it_waits"


#: What a connection in line waits for: that its client speaks, that it listens; that it has
#: waited long enough for a no; nothing, it is told what happens.
_SPEAK, _LISTEN, _PENANCE, _STREAM = "speak", "listen", "penance", "stream"


class _InLine:
    """For as long as a connection stands in the line of those that can be closed for a new one."""

    __slots__ = ("_before", "_handler", "_line", "_why")

    def __init__(self, handler: _Handler, why: str) -> None:
        self._handler, self._why, self._line = handler, why, handler.server.waiting

    def __enter__(self) -> None:
        self._before = self._line.pop(self._handler, None)
        self._line[self._handler] = self._why

    def __exit__(self, kind: object, *_: object) -> None:
        why = self._line.pop(self._handler, None)
        if self._before is not None:
            self._line[self._handler] = self._before  # at its end again
        if why is None and kind is None:
            # It was chosen at the moment when its client moved. It must not be hit later, in the
            # middle of what the application does.
            raise gevent.GreenletExit


class _Handler(WSGIHandler):
    """One connection."""

    #: Bytes of an answer that must be taken within the time for sending.
    piece = 1 << 16
    #: Seconds that a client whose request was refused may go on sending before it is cut off, so
    #: that it can read why.
    linger = 1.0
    #: Clients that may do so at a time after they were told that all are at work.
    most_turned_away = 50

    server: _Server
    #: What goes out together with what comes next; None: nothing waits for that.
    _held: bytearray | None = None
    #: Bytes that the announced length of the answer leaves to be sent; None: none is announced.
    _left: int | None = None

    def handle(self) -> None:
        self.incoming = Incoming(self.socket, self.server.limits)
        connections = self.server.connections
        if len(connections) >= self.server.limits.max_connections and not self._make_room():
            self._turn_away()
            return
        connections[self] = gevent.getcurrent()
        try:
            super().handle()
        finally:
            del connections[self]

    def _turn_away(self) -> None:
        server = self.server
        server.turned_away += 1
        linger = self.linger if server.turned_away <= self.most_turned_away else 0
        try:
            if linger:
                self.incoming.glance(linger)
            self._refuse(BadRequest(503, "too many connections; try again in a moment"), linger)
        finally:
            server.turned_away -= 1
            self.socket.close()

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for its client, if there is one."""
        for handler in self.server.waiting:
            self.server.close_waiting(handler)
            return True
        return False

    def handle_one_request(self) -> bool | None:
        """Read a request, have it answered; True: there may be another one."""
        try:
            head, body = self._read()
        except HungUp:
            return None
        except BadRequest as bad:
            with _InLine(self, _LISTEN):
                self._refuse(bad, self.linger)
            return None
        self.requestline = f"{head.method} {head.target} {head.version}"
        self.command, self.path, self.request_version = head.method, head.target, head.version
        self.close_connection = not head.keeps_alive
        self.environ = self._environ_of(head, body)
        self.application = self.server.application
        self.wsgi_input = _AllRead()
        self.handle_one_response()
        return None if self.close_connection else True

    def _read(self) -> tuple[Head, bytes]:
        with _InLine(self, _SPEAK):
            self.incoming.wait()
            head = self.incoming.head()
            return head, self.incoming.body(head)

    def _environ_of(self, head: Head, body: bytes) -> dict[str, Any]:
        environ: dict[str, Any] = self.server.get_environ()
        for name, value in head.headers.items():
            environ["HTTP_" + name.replace("-", "_").upper()] = value
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if (value := environ.pop(f"HTTP_{name}", None)) is not None:
                environ[name] = value
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ |= {
            "REQUEST_METHOD": head.method,
            "PATH_INFO": head.path,
            "QUERY_STRING": head.query,
            "SERVER_PROTOCOL": head.version,
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_PORT": str(self.client_address[1]),
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            PENANCE: self._penance,
            HAS_LEFT: self.incoming.has_hung_up,
            WHILE_IT_WAITS: self._watch,
        }
        return environ

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        if self.server.stopping:
            self.close_connection = True
        if self.close_connection and not any(name.lower() == "connection" for name, _ in headers):
            headers = [*headers, ("Connection", "close")]
        write = super().start_response(status, headers, exc_info)
        length = self.provided_content_length
        self._left = None if length is None or self.command == "HEAD" else int(length)
        return write

    def process_result(self) -> None:
        """Send the answer. One without end is over when its client has left, or when we stop.

        One that ends before its announced length ends the connection: the client would take the
        next answer for the rest of it.
        """
        if not any(value == b"text/event-stream" for _, value in self.response_headers):
            super().process_result()
            if self._left and self.code not in (204, 304):
                log.error("the answer to %s is shorter than announced", self.requestline)
                self.close_connection = True
            return
        with _InLine(self, _STREAM), self._watch():
            super().process_result()

    @contextmanager
    def _watch(self) -> Iterator[None]:
        """Give the connection up as soon as its client has left."""
        me, has_left = gevent.getcurrent(), False
        watcher = gevent.get_hub().loop.io(self.socket.fileno(), 1)

        def look() -> None:
            nonlocal has_left
            watcher.stop()  # what else may come is for the next request
            if has_left := self.incoming.has_hung_up():
                me.kill(block=False)

        watcher.start(look)
        try:
            yield
            if has_left:  # and the kill is still to come
                raise gevent.GreenletExit
        finally:
            watcher.stop()
            watcher.close()

    def _penance(self, seconds: float) -> None:
        with _InLine(self, _PENANCE), self._watch():
            gevent.sleep(seconds)

    def _write_with_headers(self, data: bytes) -> None:
        # pywsgi sends the head alone, and what is sent costs more than all else in a small answer.
        self._held = bytearray()
        try:
            super()._write_with_headers(data)
        except BaseException:
            if self._held is not None:
                self.headers_sent = False  # nor anything else: it is all here
            raise
        finally:
            held, self._held = self._held, None
        if held:
            self._sendall(held)

    def _write(self, data: bytes) -> None:
        if self.command == "HEAD":
            self.response_use_chunked = False
            return  # the client expects the header only
        if self._left is not None:
            if len(data) > self._left:  # the rest would pass for the next answer
                raise self.ApplicationError("the answer is longer than announced")
            self._left -= len(data)
        # Each chunk is copied once more, and kept until it is taken; events are shared by many.
        for start in range(0, len(data), self.piece):
            super()._write(data[start : start + self.piece])

    def _sendall(self, data: bytes | bytearray) -> None:
        if self._held is not None:
            self._held += data
            if len(self._held) <= self.piece:
                return
            data, self._held = self._held, None
        self.socket.settimeout(self.server.limits.send_timeout)
        with _InLine(self, _LISTEN):
            for start in range(0, len(data), self.piece):
                piece = data[start : start + self.piece]
                send_all(self.socket, piece)
                self.response_length += len(piece)

    def log_request(self) -> None:
        """Say nothing: faults have been told by then, and pywsgi would make a line for nobody."""

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:
        if isinstance(v, TimeoutError):  # the client does not take the answer
            log.info("%s takes no answer and is cut off", self.client_address[0])
        elif not isinstance(v, gevent.GreenletExit):  # which is our own way to close it
            super().handle_error(t, v, tb)
        self.close_connection = True

    def _refuse(self, bad: BadRequest, linger: float) -> None:
        """Say why, and end a connection of which nobody knows any more what it means."""
        log.info("%s: refused with %d: %s", self.client_address[0], bad.status, bad)
        body = packet.encode(packet.error(str(bad)))
        phrase = http.HTTPStatus(bad.status).phrase
        headers = [*REFUSAL_HEADERS.items(), *self.server.refusal_headers(self.incoming.origin)]
        if bad.status == 503:
            headers.append(("Retry-After", "1"))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = (
            f"HTTP/1.1 {bad.status} {phrase}\r\n{lines}"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.socket.settimeout(self.linger)
        deadline = time.monotonic() + linger
        try:
            self.socket.sendall(head.encode() + body)
            self.socket.shutdown(socket.SHUT_WR)
            while time.monotonic() < deadline and self.socket.recv(self.piece):
                pass
        except OSError:
            pass  # it does not listen any more


class _AllRead:
    """In the place of pywsgi's input: nothing of a request is left to be read after its answer."""

    def _discard(self) -> None:
        pass


class _Server(WSGIServer):
    """What its connections share."""

    def __init__(
        self, listener: socket.socket, application: Application, host: str, limits: Limits
    ) -> None:
        super().__init__(
            listener,
            application,
            handler_class=_Handler,
            log=None,
            error_log=log,
            environ={"SERVER_NAME": host},  # or it would be looked up, and DNS waited for
        )
        self.limits = limits
        #: The headers of a refusal that the application never sees, for the request's Origin.
        #: Without those of CORS, a browser would tell a page of another site nothing of it.
        self.refusal_headers: Callable[[str | None], list[tuple[str, str]]] = getattr(
            application, "headers_for", lambda _: []
        )
        self.connections: dict[_Handler, gevent.Greenlet] = {}
        #: The handlers in line, and what each waits for; the one that waits longest first.
        self.waiting: dict[_Handler, str] = {}
        #: Clients that are being told to come again.
        self.turned_away = 0
        self.stopping = False

    def close_waiting(self, handler: _Handler) -> None:
        """Close a connection that stands in line."""
        del self.waiting[handler]
        self.connections[handler].kill(block=False)


class Server:
    """Serves a WSGI application at `host` and `port`.

    `listener` is a result of `listen`, which is the server's own from `start` on; None: it listens
    itself.
    """

    #: Seconds that answers under way may take when the server stops.
    stop_timeout = 1.0
    #: Open files that a program needs beside two for each connection, its client's and one on.
    other_files = 100

    def __init__(
        self,
        host: str,
        port: int,
        application: Application,
        limits: Limits,
        listener: Any = None,
    ) -> None:
        self.host, self.port = host, port
        self._application = application
        self._limits = limits
        self._listener = listener
        self._server: _Server | None = None

    def start(self) -> None:
        """Listen. Raises ShmoozeError where the address cannot be had."""
        listener = self._listener or listen(self.host, self.port)
        ours = socket.socket(fileno=listener.detach())
        server = _Server(ours, self._application, self.host, self._within_the_systems())
        server.start()
        self._server = server

    def _within_the_systems(self) -> Limits:
        """The limits, with no more connections than there can be open files for."""
        wanted = self._limits.max_connections
        files = allow_files(2 * wanted + self.other_files)
        possible = max(1, (files - self.other_files) // 2)
        if possible >= wanted:
            return self._limits
        log.warning("only %d connections at a time: the system allows %d files", possible, files)
        return dataclasses.replace(self._limits, max_connections=possible)

    def stop_listening(self) -> None:
        """Take no new connection; those that are idle or without end are closed, others go on."""
        if self._server is not None:
            self._server.close()
            self._server.stopping = True
            for handler, why in list(self._server.waiting.items()):
                if why != _LISTEN:
                    self._server.close_waiting(handler)

    def stop(self) -> None:
        """Stop listening, let answers under way go out for a moment, then close everything."""
        self.stop_listening()
        server, self._server = self._server, None
        if server is not None:
            gevent.joinall(list(server.connections.values()), self.stop_timeout)
            gevent.killall(list(server.connections.values()))
            server.stop(0)
