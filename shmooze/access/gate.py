"""The front door of gateway and services: who may come in, told by Host, Origin and token.

WSGI middleware around an application. What it refuses never reaches the application.

- *Host*: only names that are ours. A page whose name was made to point here (DNS rebinding) says
  its own name.
- *Origin*: a browser says which page a request comes from. Only our own, and those that the
  settings allow.
- *Token*, where the settings name a file of them: as `Authorization: Bearer`, or, at the gateway,
  in a cookie that its login form has set.
"""

from __future__ import annotations

import ipaddress
import logging
import posixpath
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from shmooze.access.hosts import (
    address_of,
    is_loopback,
    normal_host,
    normal_origin,
    origin_at,
    split_authority,
)
from shmooze.access.token_file import CONTROL, Holder, TokenFile
from shmooze.errors import SettingsError
from shmooze.lib import packet
from shmooze.settings import Settings
from shmooze.web.answers import REFUSAL_HEADERS
from shmooze.web.server import PENANCE

log = logging.getLogger(__name__)

#: Where the application finds who has come in: the role, and the token to show to others.
ROLE, TOKEN = "shmooze.role", "shmooze.token"
#: Where it finds the client's address, also behind a proxy that we trust.
CLIENT = "shmooze.client"

_HOST_NAME = re.compile(r"[0-9a-z_-]+(\.[0-9a-z_-]+)*\.?|\[[0-9a-f:.]+\]")

#: Addresses of which we know whether they are a proxy's, since most requests come from a few.
_REMEMBERED = 1000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Unwelcome(Exception):
    """A request that is not let in."""

    def __init__(self, status: str, words: str, *headers: tuple[str, str]) -> None:
        super().__init__(words)
        self.status, self.headers = status, headers


class Door:
    """Lets requests in to `application`, or answers them itself.

    `host` is the address that the server listens on. `proxies` are addresses whose word on the
    client's address is taken, beside those of the settings. Raises SettingsError.
    """

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        host: str,
        source: Settings,
        proxies: Iterable[str] = (),
    ) -> None:
        self._application = application
        self._hosts = {normal_host(host), *_hosts(source)}
        self._origins = _origins(source)
        self._headers = self._headers_for_all()
        self._proxies = [*_networks(source), *map(ipaddress.ip_network, proxies)]
        self._is_proxy = lru_cache(_REMEMBERED)(self._is_in_proxies)
        self.tokens = token_file(source)
        self._failures = Failures()
        #: Name of the cookie that may hold the token; None: none may.
        self.cookie: str | None = None
        #: Path at which somebody without a token may knock; None: nowhere.
        self.login: str | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN")
        extra = self.headers_for(origin)
        try:
            self._check_host(environ)
            self._check_origin(environ, origin)
            _check_path(environ)
            environ[CLIENT] = self._client(environ)
            if environ["REQUEST_METHOD"] == "OPTIONS" and origin is not None:
                start_response("204 No Content", [*extra, *_PREFLIGHT])
                return []
            self._check_token(environ)
        except Unwelcome as bad:
            body = packet.encode(packet.error(str(bad)))
            length = ("Content-Length", str(len(body)))
            start_response(bad.status, [*REFUSAL_HEADERS.items(), length, *bad.headers, *extra])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

        endless = False

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal endless
            endless = ("Content-Type", "text/event-stream") in headers
            return start_response(status, [*headers, *extra], exc_info)

        answer = self._application(environ, start)
        return self._while_valid(answer, environ[TOKEN]) if endless and self.tokens else answer

    def _while_valid(self, answer: Iterable[bytes], token: str) -> Iterator[bytes]:
        """An answer without end, which ends when its token is revoked."""
        assert self.tokens is not None
        try:
            for piece in answer:
                if self.tokens.holder_of(token) is None:
                    return
                yield piece
        except SettingsError:
            return  # nobody is let in any more
        finally:
            if (close := getattr(answer, "close", None)) is not None:
                close()

    def find(self, token: str, environ: dict[str, Any]) -> Holder:
        """Who has a token. Raises Unwelcome, and later with each wrong one of the same client."""
        assert self.tokens is not None
        try:
            holder = self.tokens.holder_of(token)
        except SettingsError as bad:
            words = "nobody is let in: the file of tokens cannot be read; see the server's log"
            raise Unwelcome("503 Service Unavailable", words) from bad
        if holder is None:
            client = environ[CLIENT]
            log.warning("%s: a wrong token", client)
            environ.get(PENANCE, time.sleep)(self._failures.count(client))
            raise _no_token("the token is not valid")
        return holder

    def _check_host(self, environ: dict[str, Any]) -> None:
        said = environ.get("HTTP_HOST", "")
        host, _ = split_authority(said) or (None, None)
        if host is None or not (is_loopback(host) or host in self._hosts):
            words = (
                f"this server is not called {host or said!r}; if it is, add that to `allowed_hosts`"
            )
            raise Unwelcome("403 Forbidden", words)

    def _check_origin(self, environ: dict[str, Any], origin: str | None) -> None:
        if origin is None:
            return
        page = normal_origin(origin)
        if page is not None and (
            page in self._origins or page == origin_at(self._scheme(environ), environ["HTTP_HOST"])
        ):
            return
        words = f"pages of {origin!r} may not talk to this server; see `allowed_origins`"
        raise Unwelcome("403 Forbidden", words)

    def _check_token(self, environ: dict[str, Any]) -> None:
        environ[ROLE] = CONTROL
        environ.pop(TOKEN, None)
        if self.tokens is None or environ.get("PATH_INFO") == self.login:
            return
        try:
            token = self._shown(environ)
            environ[ROLE] = self.find(token, environ).role
        except Unwelcome as bad:
            if self.login and "text/html" in environ.get("HTTP_ACCEPT", ""):
                folder = posixpath.dirname(environ["PATH_INFO"])
                there = posixpath.relpath(self.login, folder)  # relative: a proxy may map paths
                raise Unwelcome("303 See Other", "log in first", ("Location", there)) from bad
            raise
        environ[TOKEN] = token

    def _shown(self, environ: dict[str, Any]) -> str:
        """The token that a request shows. Raises Unwelcome for none."""
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "bearer":
            return str(token).strip()
        # Not by http.cookies, which reads no further than to a cookie that it does not like.
        for cookie in environ.get("HTTP_COOKIE", "").split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == self.cookie:
                return str(value)
        raise _no_token("a token is needed: `Authorization: Bearer TOKEN`")

    def _client(self, environ: dict[str, Any]) -> str:
        """The client's address: the last one that no trusted proxy has."""
        address = str(environ.get("REMOTE_ADDR", ""))
        for each in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            if not self._is_proxy(address) or address_of(each) is None:
                break
            address = each.strip()
        return address

    def _scheme(self, environ: dict[str, Any]) -> str:
        if self._is_proxy(environ.get("REMOTE_ADDR", "")):
            # The first of several is what the client speaks, the others are between proxies.
            said = environ.get("HTTP_X_FORWARDED_PROTO", "").partition(",")[0].strip().lower()
            if said in ("http", "https"):
                return said
        return str(environ.get("wsgi.url_scheme", "http"))

    def is_secure(self, environ: dict[str, Any]) -> bool:
        """Whether the client speaks TLS, as far as we can know."""
        return self._scheme(environ) == "https"

    def _is_in_proxies(self, address: str) -> bool:
        parsed = address_of(address)
        return parsed is not None and any(parsed in network for network in self._proxies)

    def _headers_for_all(self) -> list[tuple[str, str]]:
        """What browsers have to know, with every answer."""
        framed_by = " ".join(["'self'", *sorted(self._origins)])
        headers = [
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", f"frame-ancestors {framed_by}"),
        ]
        if self._origins:
            headers.append(("Vary", "Origin"))
        return headers

    def headers_for(self, origin: str | None) -> list[tuple[str, str]]:
        """What is added to each answer, to one by the server itself too."""
        if origin is not None and normal_origin(origin) in self._origins:
            return [*self._headers, ("Access-Control-Allow-Origin", origin)]
        return self._headers


_PREFLIGHT = [
    ("Access-Control-Allow-Methods", "GET, POST"),
    ("Access-Control-Allow-Headers", "Content-Type, Authorization, Last-Event-ID"),
    ("Access-Control-Max-Age", "600"),
]


class Failures:
    """Slows those down who show wrong tokens: each further time they wait longer for the no."""

    #: Seconds that the first failure waits; each further one takes twice as long.
    first_delay = 0.25
    #: The longest wait, in seconds.
    longest_delay = 8.0
    #: Seconds after which a client's failures are forgotten.
    memory = 600.0
    #: Clients that are remembered at the most.
    most = 1000

    def __init__(self) -> None:
        self._of: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def count(self, client: str) -> float:
        """Count one more failure; the seconds that the client should wait for the no."""
        now = time.monotonic()
        count, last = self._of.pop(client, (0, now))
        count = 1 if now - last > self.memory else count + 1
        self._of[client] = count, now
        if len(self._of) > self.most:
            self._of.popitem(last=False)
        return min(self.longest_delay, self.first_delay * 2.0 ** min(count - 1, 16))


def token_file(source: Settings) -> TokenFile | None:
    """The tokens that the settings name, once they could be read. Raises SettingsError."""
    path = source.get("tokens_path")
    if path is None:
        return None
    tokens = TokenFile(path)
    tokens.load()
    return tokens


def warn_if_open(host: str, source: Settings, who: str) -> None:
    """Say it loudly where anybody on the network may command us."""
    if not is_loopback(normal_host(host)) and source.get("tokens_path") is None:
        log.warning(
            "%s listens on %s with no tokens: EVERYBODY who can reach it may send any command; "
            "see `tokens_path`",
            who,
            host,
        )


def _no_token(words: str) -> Unwelcome:
    return Unwelcome("401 Unauthorized", words, ("WWW-Authenticate", 'Bearer realm="shmooze"'))


def _check_path(environ: dict[str, Any]) -> None:
    """Refuse bytes that are not UTF-8, which Bottle drops: the path would name something else."""
    path = environ.get("PATH_INFO", "")
    try:
        path.isascii() or path.encode("latin-1").decode()
    except UnicodeError:
        raise Unwelcome("400 Bad Request", "the path is not UTF-8") from None


def _list(source: Settings, key: str, kind: str) -> list[str]:
    value = source.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise source.error(key, f"must be a list of {kind}")
    return value


def _hosts(source: Settings) -> list[str]:
    names = _list(source, "allowed_hosts", "host names")
    for name in names:
        if not _HOST_NAME.fullmatch(name.lower()):
            raise source.error("allowed_hosts", f"needs bare host names, not {name!r}")
    return [normal_host(name) for name in names]


def _origins(source: Settings) -> set[str]:
    origins = set()
    for text in _list(source, "allowed_origins", 'origins such as "https://example.org"'):
        origin = normal_origin(text)
        if origin is None:
            raise source.error(
                "allowed_origins", f"needs scheme, host and port alone, not {text!r}"
            )
        origins.add(origin)
    return origins


def _networks(source: Settings) -> list[Network]:
    networks = []
    for text in _list(source, "trusted_proxies", "addresses or networks"):
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as bad:
            raise source.error(
                "trusted_proxies", f"has {text!r}, which {_no_network(text)}"
            ) from bad
    return networks


def _no_network(text: str) -> str:
    """Why a text is no network: an address inside one, with its prefix length, reads like one."""
    try:
        network = ipaddress.ip_interface(text).network
    except ValueError:
        return "is no address"
    return f"has host bits set: the network is {str(network)!r}"
