"""Services: programs that answer command packets over HTTP/JSON.

A service of your own is a class with functions and a table of them:

    class Volume(JSONCommandProcessor, Service):
        name = "vol"                       # its port is settings.ports["vol"]

        def get_vol(self) -> int: ...
        def set_vol(self, vol: int) -> None: ...

        commands = {"get_vol": get_vol, "set_vol": set_vol}

    Volume().serve_forever()

Arguments are bound by name before a function is called, and checked against its type hints. So a
function receives only arguments that it accepts.
"""

from __future__ import annotations

import logging
import os
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import bottle
import msgspec

from shmooze.access.caller import Caller, caller
from shmooze.access.gate import AccessGate, warn_if_open
from shmooze.access.services import Listening, listening, route_of
from shmooze.errors import PacketError, ServiceTimeout, ServiceUnreachable, SettingsError
from shmooze.lib.commands import JSONCommandProcessor, refuse_coroutines
from shmooze.lib.health import HEALTH, VERSION, HealthCheck, answer_version
from shmooze.lib.posting import answer_post
from shmooze.runtime import declared, jsonsafe, schema
from shmooze.runtime.patch import require_patched
from shmooze.runtime.program import name_of, run
from shmooze.settings import Settings
from shmooze.web.answers import answer_error
from shmooze.web.exchangeable import Exchangeable
from shmooze.web.limits import Limits
from shmooze.web.route import Route
from shmooze.web.server import Server, Traffic

if not typing.TYPE_CHECKING:  # mypy would accept any name as one of these

    def __getattr__(name: str) -> Any:
        from shmooze.lib import moved  # only programs written for 1.2.4 need it

        return moved.look_up(name)


__all__ = ["Caller", "JSONCommandProcessor", "Service", "caller", "json_query"]

log = logging.getLogger(__name__)

#: The proxies that a service trusts: the gateway, which runs on this machine.
LOOPBACK = ("127.0.0.0/8", "::1")


class Service:
    """A program that answers HTTP/JSON on its port until it is told to stop.

    Combine it with JSONCommandProcessor, or define `command(query)` yourself. The constructor
    starts nothing; `serve_forever` does.
    """

    #: The service's name in `ports` of the settings.
    name: str | None = None
    #: The port, or an entry of `ports` in the settings; None: that of `name`.
    port: int | str | None = None
    #: The address to listen on; None: `service_host` of the settings.
    host: str | None = None

    def __init__(self, port: int | str | None = None) -> None:
        if port is not None:
            self.port = port
        self._server: Server | None = None
        #: Where it listens, and what the server asks, once that is known.
        self._listening: Listening | None = None
        self._gate: Exchangeable | None = None

    def command(self, query: Any) -> Any:
        """Answer what a client sent. Raises PacketError if that is not a packet.

        An implementation of your own has to check `caller.get().role` itself. It is `control`
        only for tokens that allow everything.
        """
        raise NotImplementedError

    def start(self) -> None:
        """Start serving. Raises ShmoozeError if that is impossible."""
        require_patched()
        self._server = self._make_server()
        self._server.start()
        log.info("%s: listening on %s:%s", name_of(self), self.host, self.port)
        self._warn_at_start()

    def check(self) -> None:
        """Check what `start` would refuse, and log what it would warn about. Starts nothing.

        Raises ShmoozeError.
        """
        self._make_server()
        self._warn_at_start()

    def _make_server(self) -> Server:
        refuse_coroutines(getattr(self, "commands", {}))
        source = declared.current()
        place = self._place(source)
        self.host, self.port = place.host, place.port
        self._limits = Limits.of(source)
        self._listening = place
        self._gate = Exchangeable(self._make_gate(source, place))
        return Server(self.host, self.port, self._gate, self._limits, tls=place.tls)

    def _warn_at_start(self) -> None:
        source = declared.current()
        assert self.host is not None and self._listening is not None
        for warning in declared.unknown_keys(source):
            log.warning("%s: %s", name_of(self), warning)
        if self._listening.secret is None:
            warn_if_open(self.host, source, name_of(self))

    def _place(self, source: Settings) -> Listening:
        """Where it listens. Raises SettingsError."""
        name = self.name
        if isinstance(self.port, str):  # an entry of `ports` that names a host
            name = next(
                (each for each in source.services if source.get("ports")[each] == self.port), name
            )
        elif self.port is not None:
            own = schema.read(declared.Service, source.values, source.error)
            host = self.host or own.service_host
            return Listening(host, self.port, host)
        if name is None:
            raise SettingsError(f"{type(self).__name__} has neither a `port` nor a `name`")
        return listening(source, name, self.host)

    def prepare_gate(self, source: Settings) -> Callable[[], None]:
        """Check who may come in by other settings. What is returned lets them count. Raises
        SettingsError.
        """
        if self._listening is None or self._gate is None:  # it does not serve yet
            return lambda: None
        current, gate = self._gate, self._make_gate(source, self._listening)
        return lambda: current.exchange(gate)

    def _make_gate(self, source: Settings, place: Listening) -> AccessGate:
        gate = AccessGate(
            *(self._application(), place.host, source, LOOPBACK, name_of(self)),
            named=place.name,
            secret=place.secret,
        )
        gate.open_paths = frozenset({HEALTH})
        return gate

    def stop(self) -> None:
        """Stop serving, after the answers in progress. May be called twice."""
        if self._server is not None:
            self._server.stop()

    @property
    def traffic(self) -> Traffic:
        """What its server has to do with its clients."""
        return self._server.traffic if self._server is not None else Traffic()

    def health_problems(self) -> Mapping[str, str]:
        """What is not well at present, by part. It may take some seconds to find out."""
        return {}

    def serve_forever(self) -> None:
        """Serve until SIGTERM, SIGINT, SIGQUIT or SIGHUP, then stop.

        If it cannot start, it prints the reason in one line and exits with status 2.
        """
        run(self)

    def _application(self) -> Any:
        app = bottle.Bottle()
        app.route("/", "POST", self._answer_post)
        app.route(HEALTH, "GET", HealthCheck(self.health_problems).answer)
        app.route(VERSION, "GET", answer_version)
        app.default_error_handler = partial(answer_error, f"`{name_of(self)}`")
        return app

    def _answer_post(self) -> bytes:
        return answer_post(self, self._limits.max_body)


def json_query(
    host: str, port: int | str, query: Any, timeout: float = 2.0, token: str | None = None
) -> Any:
    """Send a command, or a list of them, to a service. Returns the decoded answer.

    `port` may be an entry of `ports` in the settings that names a host: that counts then, and the
    settings say how it is reached. `timeout` is in seconds. `token` is for services that need one;
    the default is the environment variable SHMOOZE_TOKEN. Raises ServiceUnreachable or
    ServiceTimeout, PacketError for an answer that is not JSON, ValueError for a malformed token,
    TypeError for bytes in `query`. A failure packet is returned like any other answer: see
    `packet.assert_success`.
    """
    # Imported here, since most services never ask another one and start faster without.
    from shmooze.web.client import Client, bearer

    names_host = isinstance(port, str) and ":" in port
    way = route_of(declared.current(), str(port)) if names_host else Route(host, int(port))
    at = way.authority
    headers = {**bearer(token or os.environ.get("SHMOOZE_TOKEN")), **way.headers}
    jsonsafe.refuse_bytes(query)
    try:
        client = Client(way.host, way.port, timeout, tls=way.tls)
        body = client.post(msgspec.json.encode(query), headers).body
    except TimeoutError as late:
        raise ServiceTimeout(f"{at} did not answer within {timeout:g} s") from late
    except (OSError, UnicodeError) as bad:  # UnicodeError for a malformed host name
        raise ServiceUnreachable(f"{at} cannot be reached: {bad}") from bad
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as bad:
        raise PacketError(f"{at} sent an answer that is not JSON: {bad}") from bad
