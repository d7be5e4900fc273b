"""Requests to the web servers of modules, passed on to the services that have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shmooze.access.gate import CLIENT, HOLDER, TOKEN, wrong_service
from shmooze.runtime import declared
from shmooze.settings import Settings
from shmooze.web.proxy import Passing, headers_of, pass_on, refuse, target_of
from shmooze.web.upstream import Headers, Upstream

#: Headers in which the gateway hands on what a service would take for its own.
ORIGIN, AUTHORIZATION = "Shmooze-Origin", "Shmooze-Authorization"

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class ModuleRoutes:
    """A WSGI application: passes on `{service}/at/…` and `{service}/on/…`, and of a service with
    `route_by` all other paths; everything else is for `otherwise`.

    `cookie` is the name of the cookie that is for us.
    """

    def __init__(
        self, source: Settings, host: str, otherwise: Application, cookie: Callable[[], str | None]
    ) -> None:
        self._prefix = source.get("wsgi_prefix")
        self._otherwise, self._cookie = otherwise, cookie
        self._host = host
        self._ports: Mapping[str, int] = source.services
        self._routed = {
            name for name in self._ports if "route_by" in declared.section_of(source, name)
        }
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
        segments = self._prefix.count("/")
        passing = Passing(
            self._upstream(name),
            target_of(environ, segments),
            self._headers(environ, name),
            f"service {name!r}",
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
        if name not in self._ports or not rest:
            return None
        is_for_modules = rest.startswith(("at/", "on/"))
        return name if is_for_modules or (name in self._routed and rest != "events") else None

    def _upstream(self, name: str) -> Upstream:
        if name not in self._upstreams:
            # The service itself limits how long its modules may take.
            self._upstreams[name] = Upstream(self._host, self._ports[name], None)
        return self._upstreams[name]

    def _headers(self, environ: dict[str, Any], name: str) -> Headers:
        headers = headers_of(environ)
        headers.pop(ORIGIN.lower(), None)
        headers.pop(AUTHORIZATION.lower(), None)
        sent = [
            ("Host", f"{self._host}:{self._ports[name]}"),
            ("X-Forwarded-For", environ[CLIENT]),
            ("X-Forwarded-Host", environ.get("HTTP_HOST", "")),
            ("X-Forwarded-Proto", environ.get("wsgi.url_scheme", "http")),
        ]
        if (origin := headers.pop("origin", None)) is not None:
            sent.append((ORIGIN, origin))  # which was checked here, for our own name
        if (token := environ.get(TOKEN)) is not None:
            authorization = headers.pop("authorization", None)
            if authorization is not None and not authorization.lower().startswith("bearer "):
                sent.append((AUTHORIZATION, authorization))  # ours came in the cookie
            sent.append(("Authorization", f"Bearer {token}"))
        if cookie := without_cookie(headers.pop("cookie", ""), self._cookie()):
            sent.append(("Cookie", cookie))
        return [*sent, *headers.items()]


def without_cookie(header: str, name: str | None) -> str:
    """A Cookie header without the cookie of this name."""
    cookies = [each.strip() for each in header.split(";")]
    return "; ".join(each for each in cookies if each and each.partition("=")[0].strip() != name)
