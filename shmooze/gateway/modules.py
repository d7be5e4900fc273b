"""Requests to the web servers of modules, passed on to the services that have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shmooze.access.gate import CLIENT, HOLDER, TOKEN, wrong_service
from shmooze.access.proxies import forwarded_scheme
from shmooze.runtime import declared
from shmooze.settings import Settings
from shmooze.web.exchange import Headers
from shmooze.web.forwarding import AUTHORIZATION, MODULE_PATHS, ORIGIN, Passing, is_of_service
from shmooze.web.proxy import headers_of, pass_on, refuse, target_of
from shmooze.web.route import Route
from shmooze.web.upstream import Upstream

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class ModuleRoutes:
    """A WSGI application: passes on `{service}/at/…` and `{service}/on/…`, and of a service with
    `route_by` all other paths; everything else is for `otherwise`.
    """

    def __init__(
        self, source: Settings, routes: Mapping[str, Route], otherwise: Application
    ) -> None:
        self._prefix = source.get("wsgi_prefix")
        self._otherwise, self._routes = otherwise, routes
        self._routed = {name for name in routes if "route_by" in declared.section_of(source, name)}
        self._upstreams: dict[str, Upstream] = {}

    def is_streamed(self, path: str) -> bool:
        """Whether the body of a request to this path is read as it comes."""
        return self._service_of(path) is not None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        name = self._service_of(environ["PATH_INFO"])
        if name is None:
            return self._otherwise(environ, start_response)
        if not environ[HOLDER].scopes.allow_service(name):
            return refuse(start_response, 403, wrong_service(name))
        target = target_of(environ, self._prefix.count("/"))
        if name not in self._routed and not target.startswith(MODULE_PATHS):
            # The service would see another path than we do.
            words = "the path must not be percent-encoded before the module's own part"
            return refuse(start_response, 404, f"{environ['PATH_INFO']} not found: {words}")
        passing = Passing(
            self._upstream(name),
            target,
            self._headers(environ, name),
            f"service {name!r}",
            absent="is not running",
        )
        return pass_on(environ, start_response, passing)

    def close(self) -> None:
        """Close the connections that are not in use."""
        for upstream in self._upstreams.values():
            upstream.close()

    def _service_of(self, path: str) -> str | None:
        """The service whose modules a path is for, if any."""
        if not path.startswith(self._prefix):
            return None
        name, _, rest = path[len(self._prefix) :].partition("/")
        if name not in self._routes or not rest:
            return None
        is_for_modules = f"/{rest}".startswith(MODULE_PATHS)
        return (
            name
            if is_for_modules or (name in self._routed and not is_of_service(f"/{rest}"))
            else None
        )

    def _upstream(self, name: str) -> Upstream:
        if name not in self._upstreams:
            # The service itself limits how long its modules may take.
            route = self._routes[name]
            self._upstreams[name] = Upstream(route.host, route.port, None, True, route.tls)
        return self._upstreams[name]

    def _headers(self, environ: dict[str, Any], name: str) -> Headers:
        headers = headers_of(environ)
        headers.pop(ORIGIN.lower(), None)
        headers.pop(AUTHORIZATION.lower(), None)
        sent = [
            ("Host", self._routes[name].authority),
            *self._routes[name].headers.items(),
            ("X-Forwarded-For", environ[CLIENT]),
            ("X-Forwarded-Host", environ.get("HTTP_HOST", "")),
            ("X-Forwarded-Proto", forwarded_scheme(environ)),
        ]
        if (origin := headers.pop("origin", None)) is not None:
            sent.append((ORIGIN, origin))  # which was checked here, for our own name
        if (token := environ.get(TOKEN)) is not None:
            authorization = headers.pop("authorization", None)
            if authorization is not None and not authorization.lower().startswith("bearer "):
                sent.append((AUTHORIZATION, authorization))  # ours came in the cookie
            sent.append(("Authorization", f"Bearer {token}"))
        return [*sent, *headers.items()]
