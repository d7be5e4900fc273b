"""The access gate of gateway and services: lets requests in by Host, Origin and token.

WSGI middleware around an application. A request that it denies never reaches the application.

- *Host*: only this server's own names. A page whose name was made to point here (DNS rebinding)
  sends its own name.
- *Origin*: browsers say which page a request comes from. Only our own pages are let in, and the
  origins that the settings allow.
- *Token*, where the settings name a file of tokens: as `Authorization: Bearer`, or, at the
  gateway, in a cookie that the login form has set.
"""

from __future__ import annotations

import ipaddress
import logging
import posixpath
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from shmooze.access import cross_site
from shmooze.access.allowed import allowed_hosts, allowed_origins, trusted_proxies
from shmooze.access.denied import AccessDenied, NoToken, WrongToken
from shmooze.access.gateway_secret import is_gateway
from shmooze.access.hosts import (
    is_loopback,
    normal_host,
    normal_origin,
    origin_at,
    split_authority,
)
from shmooze.access.proxies import TrustedProxies
from shmooze.access.scopes import EVERYTHING, NOTHING
from shmooze.access.throttle import Throttle
from shmooze.access.token_file import Holder, TokenFile
from shmooze.access.while_valid import WhileValid
from shmooze.errors import SettingsError
from shmooze.lib import packet
from shmooze.runtime import declared, schema
from shmooze.settings import Settings
from shmooze.web.answers import REFUSAL_HEADERS
from shmooze.web.environ import CLIENT as CLIENT
from shmooze.web.environ import HOLDER as HOLDER
from shmooze.web.environ import IS_VALID, THROTTLE
from shmooze.web.response import is_event_stream

log = logging.getLogger(__name__)

#: Where the application finds the client's token, to pass it on to other services.
TOKEN = "shmooze.token"


class AccessGate:
    """Lets requests in to `application`, or answers them itself.

    `host` is the address that the server listens on. `proxies` are networks that are trusted as
    proxies, besides those of the settings. `service` is the name of the application, if it is a
    service: tokens for other services are denied. `named` is another name of the host. Who shows
    the `secret` is a trusted proxy; without tokens, nobody else is let in. Raises SettingsError.
    """

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        host: str,
        source: Settings,
        proxies: Iterable[str] = (),
        service: str | None = None,
        named: str | None = None,
        secret: str | None = None,
    ) -> None:
        self._application = application
        self._service, self._secret = service, secret
        own = schema.read(declared.Access, source.values, source.error)
        self._hosts = {normal_host(host), *allowed_hosts(own.allowed_hosts, source)}
        self._hosts |= {normal_host(named)} if named else set()
        self._origins = allowed_origins(own.allowed_origins, source)
        self._headers = cross_site.headers_for_all(self._origins)
        self._proxies = TrustedProxies(
            [
                *trusted_proxies(own.trusted_proxies, source),
                *map(ipaddress.ip_network, proxies),
            ]
        )
        self.tokens = token_file(source)
        self._throttle = Throttle()
        #: Name of the cookie that may hold the token; None: no cookie is read.
        self.cookie: str | None = None
        #: Path that needs no token, that of the login form; None: every path needs one.
        self.exempt_path: str | None = None
        #: Paths that can be asked for without a token. They have HOLDER `NOBODY` then.
        self.open_paths: frozenset[str] = frozenset()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN")
        extra = self.headers_for(origin)
        try:
            asks_for_others = is_gateway(environ, self._secret, self.tokens is not None)
            if not asks_for_others:
                self._proxies.drop_foreign(environ)
            self._check_host(environ)
            self._check_origin(environ, origin)
            _check_path(environ)
            is_streamed = self.is_streamed(environ.get("PATH_INFO", ""))
            if is_streamed and origin is None:
                self._check_site(environ)
            environ[CLIENT] = self._proxies.client_of(environ, asks_for_others)
            if environ["REQUEST_METHOD"] == "OPTIONS" and origin is not None:
                allowed = cross_site.preflight(environ, is_streamed)
                start_response("204 No Content", [*extra, *allowed])
                return []
            self._check_token(environ)
        except AccessDenied as denied:
            body = packet.encode(packet.error(str(denied)))
            length = ("Content-Length", str(len(body)))
            start_response(
                denied.status, [*REFUSAL_HEADERS.items(), length, *denied.headers, *extra]
            )
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

        endless = False

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal endless
            endless = any(
                name.lower() == "content-type" and is_event_stream(value) for name, value in headers
            )
            merged = cross_site.merge(headers, extra) if is_streamed else [*headers, *extra]
            return start_response(status, merged, exc_info)

        token = environ.get(TOKEN)
        if token is None:  # none is needed here
            return self._application(environ, start)
        environ[IS_VALID] = is_valid = partial(self._is_valid, token)
        answer = self._application(environ, start)
        if endless or getattr(answer, "is_streamed", False):
            return WhileValid(answer, is_valid)
        return answer

    def is_streamed(self, path: str) -> bool:
        """Whether the body of a request to this path is read as it comes."""
        is_streamed = getattr(self._application, "is_streamed", None)
        return is_streamed is not None and is_streamed(path)

    def holder_of(self, token: str, environ: dict[str, Any]) -> Holder:
        """The holder of a token.

        Raises AccessDenied for an invalid one, with a delay that grows with each further one of
        the same client.
        """
        assert self.tokens is not None
        try:
            holder = self.tokens.holder_of(token)
        except SettingsError as bad:
            message = "access denied: the token file cannot be read; see the server's log"
            raise AccessDenied("503 Service Unavailable", message) from bad
        if holder is None:
            client = environ[CLIENT]
            log.warning("%s: invalid token", client)
            environ.get(THROTTLE, time.sleep)(self._throttle.fail(client))
            raise WrongToken("the token is not valid")
        return holder

    def is_secure(self, environ: dict[str, Any]) -> bool:
        """Whether the client speaks TLS, as far as we can know."""
        return self._proxies.scheme_of(environ) == "https"

    def headers_for(self, origin: str | None) -> list[tuple[str, str]]:
        """The headers to add to each answer, including those that the server itself gives."""
        if origin is not None and normal_origin(origin) in self._origins:
            return [*self._headers, (cross_site.ALLOW_ORIGIN, origin)]
        return self._headers

    def _check_host(self, environ: dict[str, Any]) -> None:
        header = environ.get("HTTP_HOST", "")
        host, _ = split_authority(header) or (None, None)
        if host is None or not (is_loopback(host) or host in self._hosts):
            raise AccessDenied(
                "403 Forbidden",
                f"unknown host {host or header!r}; if it is this server, add it to `allowed_hosts`",
            )

    def _check_origin(self, environ: dict[str, Any], origin: str | None) -> None:
        if origin is None:
            return
        page = normal_origin(origin)
        if page is not None and (page in self._origins or page == self._own_origin(environ)):
            return
        message = f"origin {origin!r} is not allowed; see `allowed_origins`"
        raise AccessDenied("403 Forbidden", message)

    def _check_site(self, environ: dict[str, Any]) -> None:
        """Deny what a page of another site makes a browser load.

        Such a page cannot send commands, which are JSON. But a request to a module may be any, and
        the module may even be started for it.
        """
        if cross_site.is_loaded_by_page(environ, may_be_framed=bool(self._origins)):
            words = "pages of other sites may only have links to this"
            raise AccessDenied("403 Forbidden", words)

    def _own_origin(self, environ: dict[str, Any]) -> str | None:
        return origin_at(self._proxies.scheme_of(environ), environ["HTTP_HOST"])

    def _check_token(self, environ: dict[str, Any]) -> None:
        environ[HOLDER] = ANYBODY
        environ.pop(TOKEN, None)
        if self.tokens is None or environ.get("PATH_INFO") == self.exempt_path:
            return
        try:
            token = self._token_in(environ)
            environ[HOLDER] = self.holder_of(token, environ)
        except AccessDenied as denied:
            if isinstance(denied, NoToken) and environ.get("PATH_INFO") in self.open_paths:
                environ[HOLDER] = NOBODY
                return
            if self.exempt_path and "text/html" in environ.get("HTTP_ACCEPT", ""):
                folder = posixpath.dirname(environ["PATH_INFO"])
                # Relative, since a proxy may map paths.
                form = posixpath.relpath(self.exempt_path, folder)
                raise AccessDenied("303 See Other", "log in first", ("Location", form)) from denied
            raise
        environ[TOKEN] = token
        if not self._serves(environ[HOLDER]):
            raise AccessDenied("403 Forbidden", wrong_service(self._service))

    def _token_in(self, environ: dict[str, Any]) -> str:
        """The token that a request carries. Raises AccessDenied if it has none."""
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "bearer":
            return str(token).strip()
        # Not by http.cookies, which stops reading at the first cookie that it cannot parse.
        for cookie in environ.get("HTTP_COOKIE", "").split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == self.cookie:
                return str(value)
        raise NoToken

    def _serves(self, holder: Holder | None) -> bool:
        """Whether this service may be used by the holder of a token, if there is one."""
        if holder is None:
            return False
        return self._service is None or holder.scopes.allow_service(self._service)

    def _is_valid(self, token: str) -> bool:
        """Whether a token that was valid still is, and may be used here."""
        assert self.tokens is not None
        try:
            return self._serves(self.tokens.holder_of(token))
        except SettingsError:
            return False  # the token file is broken: access is denied to everyone


#: Sends all requests where no tokens are used.
ANYBODY = Holder(None, EVERYTHING)
#: Sends a request that may come without a token, and does so, where tokens are used.
NOBODY = Holder(None, NOTHING)


def token_file(source: Settings) -> TokenFile | None:
    """The token file that the settings name, if any, once it could be read. SettingsError."""
    path = source.get("tokens_path")
    if path is None:
        return None
    tokens = TokenFile(path)
    tokens.load()
    return tokens


def warn_if_open(host: str, source: Settings, who: str) -> None:
    """Log a warning if anybody on the network may send commands."""
    if not is_loopback(normal_host(host)) and source.get("tokens_path") is None:
        log.warning(
            "%s listens on %s without tokens: EVERYBODY who can reach it may send any command; "
            "see `tokens_path`",
            who,
            host,
        )


def wrong_service(name: str | None) -> str:
    """The error for a token that is for other services."""
    return f"this token may not use the service {name!r}"


def _check_path(environ: dict[str, Any]) -> None:
    """Deny bytes that are not UTF-8. Bottle would drop them: the path would name something else."""
    path = environ.get("PATH_INFO", "")
    try:
        path.isascii() or path.encode("latin-1").decode()
    except UnicodeError:
        raise AccessDenied("400 Bad Request", "the path is not UTF-8") from None
