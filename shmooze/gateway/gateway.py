"""The gateway's application: it passes commands and streams on to services, and serves files.

It is a Bottle app behind the access gate. After a reload, another one takes its place.
"""

from __future__ import annotations

import logging
import os
import posixpath
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import bottle
from bottle import request, response

from shmooze.access.gate import HOLDER, AccessGate, warn_if_open, wrong_service
from shmooze.access.services import routes_of
from shmooze.errors import ShmoozeError
from shmooze.gateway.files import Files, redirect
from shmooze.gateway.modules import ModuleRoutes
from shmooze.gateway.passing import forwarded_headers, pass_back
from shmooze.gateway.settings_page import serve_settings
from shmooze.lib import packet
from shmooze.runtime import declared, extras, schema
from shmooze.settings import Settings
from shmooze.web.answers import Refused, answer_error, json_body
from shmooze.web.backend import Backend
from shmooze.web.environ import WHILE_IT_WAITS
from shmooze.web.exchangeable import Exchangeable
from shmooze.web.limits import Limits
from shmooze.web.server import Server

if TYPE_CHECKING:
    from shmooze.gateway.counting import Counting
    from shmooze.gateway.own_pages import OwnPages

log = logging.getLogger(__name__)


class Gateway:
    """A Bottle app for the given settings. `start` and `stop` serve it.

    `workers` is the number of processes that share its limits of connections.
    """

    name = "wsgi"

    #: Connections to one service that may be in use at a time; further requests wait.
    connections = 1000

    def __init__(
        self, source: Settings, workers: int = 1, instead_of: Gateway | None = None
    ) -> None:
        self.settings = source
        self._workers = workers
        #: The one that was started. After a reload, another one has the application.
        self._started = instead_of or self
        own = schema.read(declared.Gateway, source.values, source.error)
        self.host = own.wsgi_host
        limits = Limits.of(source)
        # All workers together keep the limits of the settings and of a service.
        self.limits = limits.with_connections(_share(limits.max_connections, workers))
        self.connections = _share(self.connections, workers)
        #: The listening socket of a worker; None: `start` opens one.
        self.listener: Any = None
        #: The ways to the services.
        self._ways = routes_of(source)
        self._backends = {
            name: Backend(name, way, own.wsgi_timeout, self.connections, limits.idle_timeout)
            for name, way in self._ways.items()
        }
        #: What is counted where our own server and the settings want that.
        self._counting: Counting | None = None
        #: The index of this process among the workers.
        self.worker = 0
        if source.get("metrics") and instead_of is None:
            extras.require(source, "metrics", "prometheus_client", "metrics")
            from shmooze.gateway.counting import Counting  # loaded only where it is wanted

            self._counting = Counting(source.services, source.get("wsgi_prefix"), workers)
        self._files = Files(source)
        self._server: Server | None = None
        self._routes = bottle.Bottle()
        self._routes.default_error_handler = partial(answer_error, "the gateway")
        self._modules = ModuleRoutes(source, self._ways, self._routes)
        #: The whole gateway, as a WSGI application.
        app: Any = self._modules
        if source.get("tracing"):
            from shmooze.tracing.tracer import traced  # loaded only where it is wanted

            app = traced(source, "wsgi", app)
        self.app = AccessGate(app, self.host, source)
        self.app.open_paths = frozenset({f"{source.get('wsgi_prefix')}health"})
        #: What the server asks: the application of the settings that were read last.
        self._served = Exchangeable(self.app)
        self._latest = self
        #: Called after a reload that a client has asked for.
        self.when_reloaded: Callable[[], object] = lambda: None
        self._route()

    def start(self) -> None:
        """Listen on the port that the settings give to `wsgi`."""
        port = self.settings.port("wsgi")
        app = self._served if self._counting is None else self._counting.around(self._served)
        self._server = server = Server(self.host, port, app, self.limits, self.listener)
        server.start()
        if self._counting is not None:
            self._counting.start(self.worker, lambda: server.traffic)
        if self.listener is None:
            self.announce()

    def announce(self) -> None:
        """Log the gateway's address, and warnings about its settings."""
        log.info("gateway: http://%s:%s/", self.host, self.settings.port("wsgi"))
        self.check()

    def check(self) -> None:
        """Log warnings about its settings. All mistakes were refused by the constructor."""
        if not os.path.isdir(static := self.settings.get("static_path")):
            log.warning(
                "gateway: `static_path` %s is not a folder: no page but the console will be found",
                static,
            )
        if "ports" not in self.settings.public_settings:
            log.warning("gateway: `ports` is not in `public`: pages will not find the services")
        for warning in declared.unknown_keys(self.settings):
            log.warning("gateway: %s", warning)
        warn_if_open(self.host, self.settings, "gateway")

    def stop(self) -> None:
        """Stop serving, after the answers in progress."""
        if self._counting is not None:
            self._counting.stop()
        if self._server is not None:
            self._server.stop()
        self._latest.close_idle()
        if self.settings.get("tracing"):
            from shmooze.tracing import tracer

            tracer.close()

    def close_idle(self) -> None:
        """Close the connections to services that are not in use."""
        for backend in self._backends.values():
            backend.close()
        self._modules.close()

    def reload(self) -> dict[str, Any]:
        """Read the settings again, and answer all further requests by them. Raises SettingsError
        if there is a mistake in them; then nothing is changed.

        Returns {"settings": keys that count now, "needs_restart": keys that do not}.
        """
        from shmooze.gateway.reloading import changes, loaded  # loaded only where it is wanted

        before = self._latest
        fresh = loaded(lambda source: Gateway(source, self._workers, instead_of=self))
        self._latest = fresh
        self._served.exchange(fresh.app)
        before.close_idle()
        report = changes(self.settings, before.settings, fresh.settings)
        log.info("gateway: settings reloaded; %s", report)
        return report

    def on_hangup(self) -> None:
        """Reload because of a signal."""
        try:
            self.reload()
        except ShmoozeError as bad:
            log.error("gateway: %s. Nothing was changed", bad)

    def ask_services(self, query: Any) -> dict[str, Any]:
        """Send a command to all services. Returns the answer packet of each, by name."""
        from shmooze.gateway.own_commands import answer_of

        answers, body = {}, packet.encode(query)
        for name, backend in self._latest._backends.items():
            try:
                answers[name] = answer_of(backend.ask(body, forwarded_headers()).body)
            except Refused as bad:
                answers[name] = packet.error(str(bad))
        return answers

    def answer_own(self) -> bytes:
        """The answer to commands to the gateway itself."""
        from shmooze.gateway.own_commands import GatewayCommands  # loaded only where it is asked
        from shmooze.lib.posting import answer_post

        if not request.environ[HOLDER].scopes.allow_service(self.name):
            raise Refused(403, wrong_service(self.name))
        commands = GatewayCommands(self, self.when_reloaded)
        return answer_post(commands, self.limits.max_body)

    def _route(self) -> None:
        prefix, static = self.settings.get("wsgi_prefix"), self.settings.get("static_prefix")
        route = self._routes.route
        if self.app.tokens is not None:
            from shmooze.access.login import Login  # saves the import where no tokens are used

            for name in ("login", "logout"):
                if name in self._backends:
                    raise self.settings.error(
                        "ports", f"has a service {name!r}, where the form for tokens is"
                    )
            name = str(self.settings.get("name", "shmooze"))
            # Another WSGI server may run the gateway: then there is no port.
            Login(
                self._routes, self.app, prefix, name, self.settings.values["ports"].get("wsgi", 0)
            )
        settings_page = partial(serve_settings, self.settings, self.app.tokens is not None)
        route(f"{prefix}settings.json", "GET", settings_page)
        route(f"{prefix}wsgi", "POST", self._started.answer_own)
        route(f"{prefix}<service:path>/events", "GET", self._pass_stream_on)
        route(f"{prefix}<service:path>/output/<uid:re:[0-9A-Za-z-]+>", "GET", self._pass_stream_on)
        route(f"{prefix}<service:path>", "POST", self._pass_on)
        route(f"{prefix}console/", "GET", self._files.serve_console)
        route(f"{prefix}console/<path:path>", "GET", self._files.serve_console)
        for folder in sorted({static, prefix, "/"}, key=len, reverse=True):  # nested ones first
            if folder != prefix:
                target = posixpath.relpath(f"{prefix}settings.json", folder)
                route(f"{folder}settings.json", "GET", partial(redirect, target))
            if folder in (prefix, "/"):
                route(folder, "GET", self._files.serve_index)
            serve = self._serve_beside_services if folder == prefix else self._files.serve
            route(f"{folder}<path:path>", "GET", serve)

    def _pass_on(self, service: str) -> bytes | Iterator[bytes]:
        backend = self._backend(service)
        body = json_body(self.limits.max_body)
        # If the client disconnects, so do we: the service drops commands that have not begun.
        waiting = request.environ.get(WHILE_IT_WAITS, nullcontext)
        return pass_back(backend.ask(body, forwarded_headers(), waiting))

    def _pass_stream_on(self, service: str, uid: str | None = None) -> Any:
        path = "/events" if uid is None else f"/output/{uid}"
        if service not in self._backends:  # there may be a file of that name
            return self._files.serve(f"{service}{path}")
        headers = forwarded_headers()
        if (last_id := request.get_header("Last-Event-ID")) is not None:
            headers["Last-Event-ID"] = last_id
        backend = self._backend(service)
        response.set_header("Cache-Control", "no-store")
        return pass_back(backend.follow(headers, path))

    def _backend(self, service: str) -> Backend:
        if service not in self._backends:
            known = ", ".join(self._backends) or "none"
            raise Refused(404, f"no service {service!r}; known: {known}")
        # A service of ours refuses that itself. Another one may not know the tokens.
        if not request.environ[HOLDER].scopes.allow_service(service):
            raise Refused(403, wrong_service(service))
        return self._backends[service]

    def _serve_beside_services(self, path: str) -> bottle.HTTPResponse:
        if path in self._backends:
            raise Refused(405, f"commands are sent to {request.path} by POST", Allow="POST")
        try:
            return self._files.serve(path)
        except Refused as absent:
            if path == "console":
                return redirect("console/")
            page = None
            if absent.status_code == 404:
                page = self._own_pages.answer(path, forwarded_headers)
            if page is None:
                raise
            return page

    @cached_property
    def _own_pages(self) -> OwnPages:
        from shmooze.gateway.own_pages import OwnPages  # loaded only where they are asked for

        # Another server may run us.
        counting = self._started._counting if self._started._server else None
        uses_tokens = self.app.tokens is not None
        return OwnPages(self._ways, self._backends, self.settings, uses_tokens, counting)


def _share(whole: int, workers: int) -> int:
    return -(-whole // workers)
