"""The doors of a service to its modules: which module a request is for, and how it gets there.

/at/{uid}/…    the web server of this module
/on/{type}/…   that of any module of this type, which is started if need be
/…             where the service has `route_by`: the type is in the body
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any
from urllib.parse import unquote

from shmooze.access.caller import Caller, caller
from shmooze.access.gate import CLIENT, HOLDER, TOKEN
from shmooze.access.permission import Target, require_permission
from shmooze.access.scopes import ADD, OWN
from shmooze.broker.broker import Broker
from shmooze.errors import CommandError, PacketError
from shmooze.modules.module import Module
from shmooze.modules.web_server import web_server_of
from shmooze.runtime import jsonsafe
from shmooze.servers.demand import Demand
from shmooze.servers.line import Claim
from shmooze.servers.refusals import Unavailable, find_reason
from shmooze.servers.server import ModuleServer
from shmooze.web.environ import HAS_LEFT, WHILE_IT_WAITS
from shmooze.web.exchange import Headers
from shmooze.web.forwarding import AUTHORIZATION, MODULE_PATHS, ORIGIN, Passing, is_of_service
from shmooze.web.head import BadRequest
from shmooze.web.proxy import headers_of, pass_on, refuse, target_of

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Doors:
    """A WSGI application; `otherwise` is for all other paths.

    `prefix` is the path of the service behind the gateway. `route_by` is the key of a JSON body
    that names the type; None: there is none. `max_body` is the bytes that such a body may have.
    """

    def __init__(
        self,
        broker: Broker,
        demand: Demand,
        otherwise: Application,
        prefix: str,
        route_by: str | None,
        max_body: int,
    ) -> None:
        self._broker, self._demand, self._otherwise = broker, demand, otherwise
        self._prefix, self._route_by, self._max_body = prefix, route_by, max_body

    def is_streamed(self, path: str) -> bool:
        """Whether the body of a request to this path is read as it comes."""
        is_ours = path.startswith(MODULE_PATHS)
        return is_ours or (self._route_by is not None and not is_of_service(path))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not self.is_streamed(environ["PATH_INFO"]):
            return self._otherwise(environ, start_response)
        holder = environ[HOLDER]
        who = Caller(holder.scopes.role, environ[CLIENT], holder.name, scopes=holder.scopes)
        who.has_left = environ.get(HAS_LEFT, who.has_left)
        before = caller.set(who)
        try:
            return self._answer(environ, start_response, who)
        except Unavailable as bad:
            after = [] if bad.retry_after is None else [str(math.ceil(bad.retry_after))]
            headers = [("Retry-After", each) for each in after]
            return refuse(start_response, bad.status, str(bad), *headers)
        except BadRequest as bad:
            return refuse(start_response, bad.status, str(bad), ("Connection", "close"))
        finally:
            caller.reset(before)

    def _answer(self, environ: dict[str, Any], start_response: Any, who: Caller) -> Iterable[bytes]:
        door, _, rest = environ["PATH_INFO"][1:].partition("/")
        body: bytes | None = None
        if door == "at":
            uid, slash, _ = rest.partition("/")
            self._require(who, "at", (OWN,), lambda: self._targets(uid))
            find, segments = partial(self._demand.at, uid), 2
        elif door == "on":
            kind, slash = self._kind_in(rest)
            name = kind.TYPE_STRING
            self._require(who, "on", (ADD,), lambda: [Target(name)])
            find, segments = partial(self._demand.on, kind), 1 + _segments(environ, name)
        else:
            kind, body = self._kind_of_body(environ)
            name, slash = kind.TYPE_STRING, "/"
            self._require(who, "on", (ADD,), lambda: [Target(name)])
            find, segments = partial(self._demand.on, kind), 0
        if not slash:  # a page refers to its own files by relative URLs
            return _add_slash(environ, start_response)
        target = target_of(environ, segments)
        claim: Claim | None = None
        try:
            with environ[WHILE_IT_WAITS]():
                claim = find(target.partition("?")[0])
            server = claim.server
            if not server.has_own:
                return _until_closed(server.module.door(environ, start_response, target), claim.end)
            passing = self._passing(environ, server, target, body, claim.end)
        except BaseException:
            if claim is not None:
                claim.end()
            raise
        return pass_on(environ, start_response, passing)

    def _passing(
        self,
        environ: dict[str, Any],
        server: ModuleServer,
        target: str,
        body: bytes | None,
        end: Callable[[], None],
    ) -> Passing:
        module, own = server.module, web_server_of(server.module)
        assert own is not None
        headers, prefix = self._headers(environ, module, own.keep_path)
        return Passing(
            server.upstream,
            server.path_of(target),
            headers,
            f"{module.TYPE_STRING} {module.uid}",
            body,
            lambda answer: _relocated(answer, server, prefix),
            end,
            f"within {own.timeout:g} s",
            find_reason=partial(find_reason, module),
        )

    def _headers(
        self, environ: dict[str, Any], module: Module, keeps_path: bool
    ) -> tuple[Headers, str]:
        """The headers for a module, and the path below which its own paths are for the client."""
        headers = headers_of(environ)
        origin = headers.pop(ORIGIN.lower(), None) or headers.pop("origin", None)
        authorization = headers.pop("authorization", None)
        if environ.get(TOKEN) is not None:
            authorization = None  # it is ours
        authorization = headers.pop(AUTHORIZATION.lower(), authorization)
        host = environ.get("HTTP_X_FORWARDED_HOST", environ.get("HTTP_HOST", ""))
        is_behind_gateway = "HTTP_X_FORWARDED_HOST" in environ
        prefix = f"{self._prefix if is_behind_gateway else ''}/at/{module.uid}"
        sent = [
            ("Host", host),
            ("X-Forwarded-For", environ[CLIENT]),
            ("X-Forwarded-Host", host),
            ("X-Forwarded-Proto", environ.get("HTTP_X_FORWARDED_PROTO", "http")),
        ]
        if not keeps_path:  # then nothing is removed from the path
            sent.append(("X-Forwarded-Prefix", prefix))
        if origin is not None:
            sent.append(("Origin", origin))
        if authorization is not None:
            sent.append(("Authorization", authorization))
        return [*sent, *headers.items()], prefix

    def _require(
        self,
        who: Caller,
        door: str,
        enough: tuple[str, ...],
        find_targets: Callable[[], Iterable[Target] | None],
    ) -> None:
        try:
            require_permission(who, door, enough, find_targets)
        except CommandError as denied:
            raise Unavailable(403, str(denied)) from denied

    def _targets(self, uid: str) -> list[Target]:
        found = self._broker.items.named([uid])
        return [Target(each.TYPE_STRING, each.uid, each.origin.by) for each in found]

    def _kind_in(self, rest: str) -> tuple[type[Module], str]:
        """The type whose name a path begins with, the longest one, and what follows."""
        types = self._broker.modules_available_dict
        path = rest.encode("latin-1").decode()
        found = [name for name in types if path == name or path.startswith(f"{name}/")]
        if not found:
            raise self._unknown(path.partition("/")[0])
        name = max(found, key=len)
        return types[name], path[len(name) :]

    def _kind_of_body(self, environ: dict[str, Any]) -> tuple[type[Module], bytes]:
        """The type that the body names, and the body."""
        body: bytes = environ["wsgi.input"].read(self._max_body + 1)
        if len(body) > self._max_body:
            raise BadRequest(413, f"the body is larger than {self._max_body} bytes")
        try:
            value = jsonsafe.decode(body)
        except PacketError as bad:
            raise BadRequest(400, f"the body cannot be decoded: {bad}") from bad
        name = value.get(self._route_by) if isinstance(value, dict) else None
        if not isinstance(name, str):
            words = f"the body must name a module type with the key {self._route_by!r}"
            raise BadRequest(400, words)
        if name not in self._broker.modules_available_dict:
            raise self._unknown(name)
        return self._broker.modules_available_dict[name], body

    def _unknown(self, name: str) -> Unavailable:
        known = ", ".join(self._broker.modules_available_dict) or "none"
        return Unavailable(404, f"unknown module type {name!r}; known: {known}")


class _Answer:
    """The answer of a door. `on_end` is called when it is over."""

    def __init__(self, pieces: Any, on_end: Callable[[], None]) -> None:
        self._pieces, self._on_end = pieces, on_end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pieces, name)  # such as what Response looks for

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        try:
            if (close := getattr(self._pieces, "close", None)) is not None:
                close()
        finally:
            self._on_end()


def _until_closed(answer: Iterable[bytes], on_end: Callable[[], None]) -> Iterable[bytes]:
    if isinstance(answer, (list, tuple)):  # whose length is known
        on_end()
        return answer
    return _Answer(answer, on_end)


def _add_slash(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    last = target_of(environ, 0).partition("?")[0].rpartition("/")[2]
    start_response("307 Temporary Redirect", [("Location", f"{last}/"), ("Content-Length", "0")])
    return []


def _segments(environ: dict[str, Any], name: str) -> int:
    """How many segments of the path, as it was sent, are the name of a type."""
    sent = target_of(environ, 1).partition("?")[0].split("/")
    return 1 if len(sent) > 1 and unquote(sent[1]) == name else name.count("/") + 1


def _relocated(headers: Headers, server: ModuleServer, prefix: str) -> Headers:
    """The headers of an answer, with redirections to where the client finds the module."""
    origin = f"http://{server.host}:{server.upstream.port}/"
    own_prefix = server.path_of("")

    def moved(name: str, value: str) -> str:
        if name.lower() != "location":
            return value
        if value.startswith(origin):
            value = value[len(origin) - 1 :]
        is_own = value.startswith(f"{own_prefix}/") and not value.startswith("//")
        return prefix + value[len(own_prefix) :] if is_own else value

    return [(name, moved(name, value)) for name, value in headers]
