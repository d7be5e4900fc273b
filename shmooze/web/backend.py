"""A service as seen by the gateway: its answer, or a refusal if there is none."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import gevent
from gevent import monkey
from gevent.lock import BoundedSemaphore

from shmooze.runtime.connection_errors import words_of
from shmooze.web.answers import Refused
from shmooze.web.client import Client, Waiting
from shmooze.web.connect import NotReached
from shmooze.web.idle import IdleConnections
from shmooze.web.limits import Limits
from shmooze.web.reply import Reply
from shmooze.web.route import Route

log = logging.getLogger(__name__)


@dataclass
class Answer:
    """What a service has answered."""

    status: int
    content_type: str
    #: Whole; or in pieces, as they come.
    body: bytes | Iterator[bytes]
    #: Seconds after which to ask again, as the service has put it.
    retry_after: str | None = None


class Backend:
    """Asks the service `name`, which is reached by `route`.

    `timeout` is the seconds that an answer may take. `connections` is how many may be used at the
    same time: further requests wait. `idle_timeout` is the seconds after which the service closes
    an idle connection. Ours are closed in half of that, so no request meets a connection that is
    just being closed.
    """

    #: Bytes that the answer to `look` may have.
    max_look = 4 << 20
    #: Seconds for which a connection is kept idle at most.
    longest_idle = 30.0

    def __init__(
        self,
        name: str,
        route: Route,
        timeout: float,
        connections: int,
        idle_timeout: float = Limits().idle_timeout,
    ) -> None:
        self.name = name
        self._route, self._timeout = route, timeout
        self._places = BoundedSemaphore(connections)
        self._idle = IdleConnections(min(self.longest_idle, idle_timeout / 2))
        self._client = Client(route.host, route.port, None, self._idle, route.tls)

    def ask(
        self, body: bytes, headers: Mapping[str, str], waiting: Waiting = nullcontext
    ) -> Answer:
        """Send commands, and wait for the whole answer; neither is decoded.

        Raises Refused: 502 if there is no answer, 504 if it does not come in time.
        """
        try:
            reply = self._post(body, headers, waiting)
        except TimeoutError as late:
            log.warning("service %r did not answer within %g s", self.name, self._timeout)
            raise Refused(504, f"service {self.name!r} did not answer in time") from late
        except NotReached as away:
            raise self._not_reached(away) from away
        except OSError as broken:
            # The request may have been carried out: only the client can know whether to ask again.
            log.warning("service %r closed the connection without answering: %s", self.name, broken)
            words = f"service {self.name!r} closed the connection without answering"
            raise Refused(502, words) from broken
        return _answer(reply, bytes(reply.body))

    def follow(self, headers: Mapping[str, str], path: str = "/events") -> Answer:
        """What the service's stream of events answers. Raises Refused: 502 for no answer."""
        try:
            reply, pieces = self._client.follow(path, {**headers, **self._route.headers})
            if reply.status_code == 200:
                return _answer(reply, _until_gone(pieces))
            return _answer(reply, b"".join(pieces))
        except NotReached as away:
            raise self._not_reached(away) from away
        except OSError as broken:
            raise Refused(502, f"service {self.name!r} is not running") from broken

    def look(
        self, path: str, headers: Mapping[str, str], timeout: float, body: bytes | None = None
    ) -> Reply:
        """The answer to a GET, or with a body to a POST, for the gateway itself.

        It has a connection of its own, and never waits for other requests. Raises OSError, also
        for an answer that is too long; TimeoutError.
        """
        way, headers = self._route, {**headers, **self._route.headers}
        client = Client(way.host, way.port, timeout, tls=way.tls, max_answer=self.max_look)
        return client.get(path, headers) if body is None else client.post(body, headers, path=path)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._idle.close()

    def _post(self, body: bytes, headers: Mapping[str, str], waiting: Waiting) -> Reply:
        headers = {**headers, **self._route.headers}
        if not monkey.is_module_patched("socket"):
            # Another WSGI server, with threads perhaps, which cannot share connections.
            route = self._route
            client = Client(route.host, route.port, self._timeout, tls=route.tls)
            return client.post(body, headers, waiting)
        limit = gevent.Timeout(self._timeout)
        try:
            with limit, self._places:
                return self._client.post(body, headers, waiting)
        except gevent.Timeout as late:
            if late is not limit:
                raise
            raise TimeoutError(str(late)) from late

    def _not_reached(self, problem: NotReached) -> Refused:
        if problem.is_refused:
            return Refused(502, f"service {self.name!r} is not running")
        words = words_of(problem.reason, "`service_ca_path`")
        log.warning("service %r cannot be reached: %s", self.name, words)
        return Refused(502, f"service {self.name!r} cannot be reached")


def _answer(reply: Reply, body: bytes | Iterator[bytes]) -> Answer:
    content_type = reply.header("content-type") or "application/json"
    return Answer(reply.status_code, content_type, body, reply.header("retry-after"))


def _until_gone(pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except OSError:
        pass  # the service has gone: the client sees an end, and asks again
