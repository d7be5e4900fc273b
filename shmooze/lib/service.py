"""Services: programs that answer command packets over HTTP/JSON.

A service of one's own is a class with functions and a table of them:

    class Volume(JSONCommandProcessor, Service):
        name = "vol"                       # its port is settings.ports["vol"]

        def get_vol(self) -> int: ...
        def set_vol(self, vol: int) -> None: ...

        commands = {"get_vol": get_vol, "set_vol": set_vol}

    Volume().serve_forever()

Arguments are bound by name before a function is called, and checked against its type hints, so
that a function only ever sees what it asked for.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
import typing
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import bottle
import gevent
import msgspec

from shmooze import settings
from shmooze.access.gate import CLIENT, ROLE, AccessGate, warn_if_open
from shmooze.access.token_file import CONTROL
from shmooze.errors import (
    CommandError,
    PacketError,
    ServiceTimeout,
    ServiceUnreachable,
    SettingsError,
    ShmoozeError,
    TooMany,
)
from shmooze.lib import packet
from shmooze.runtime import jsonsafe
from shmooze.runtime.patch import require_patched
from shmooze.runtime.program import name_of, run
from shmooze.runtime.time_slices import TimeSlices
from shmooze.web import results
from shmooze.web.answers import Refused, answer_error, json_body
from shmooze.web.limits import Limits
from shmooze.web.results import TooLong, encode, encode_result, internal_error, refuse_result
from shmooze.web.server import HAS_LEFT, Server

if not typing.TYPE_CHECKING:  # mypy would take any name for one of these

    def __getattr__(name: str) -> Any:
        from shmooze.lib import moved  # only programs that were written for 1.2.4 ask

        return moved.look_up(name)


log = logging.getLogger(__name__)

#: The proxies that a service trusts: the gateway, which runs on this machine.
LOOPBACK = ("127.0.0.0/8", "::1")


@dataclass
class Caller:
    """Who has sent the request that is being answered."""

    role: str
    #: The client's address.
    address: str
    #: Seconds after which it may try again what was too much now.
    retry_after: float | None = None
    #: Whether it has closed its connection, so that nobody waits for the answer.
    has_left: Callable[[], bool] = lambda: False


#: The caller of the command that is being carried out; None: a program, not a client.
caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def caller_has_left() -> bool:
    """Whether nobody waits any more for the answer to the command that is being carried out."""
    who = caller.get()
    return who is not None and who.has_left()


class JSONCommandProcessor:
    """Answers command packets with the functions of a table."""

    #: Name of a command to the function that carries it out; each takes self.
    commands: Mapping[str, Callable[..., Any]] = {}
    #: Names of the commands that are logged, with their answers.
    log_cmds: tuple[str, ...] | list[str] = ()
    #: What entries of ours bear in the log's column `namespace`.
    log_namespace: str = "client"
    #: What they bear in its column `uid`.
    log_uid: str | None = None
    #: Where to log, an object with `log(uid, namespace, command, answer)`; None: nowhere.
    logger: Any = None
    #: Commands that one list may hold.
    max_commands = 1000
    #: Bytes of answers to one list after which its other commands are refused.
    max_answer = 32 << 20
    #: Names of the commands that change nothing; a token with the role `read` allows no others.
    read_cmds: tuple[str, ...] | list[str] = ()

    def command(self, query: Any) -> Any:
        """The answer to one packet, or the list of answers, as JSON, to a list of packets.

        Raises PacketError for a value that is neither, or a list that is too long.
        """
        if isinstance(query, list):
            return self._answers(query)
        check_command(query)
        return self.single_command(query)

    def single_command(self, query: dict[str, Any]) -> dict[str, Any]:
        """Carry out one well-formed command packet; success or failure packet."""
        cmd, args = query["cmd"], query.get("args", {})
        try:
            function = self.commands.get(cmd)
            if function is None:
                raise CommandError(f"unknown command {cmd!r}; known: {', '.join(self.commands)}")
            who = caller.get()
            if who is not None and who.role != CONTROL and cmd not in self.read_cmds:
                raise CommandError(f"{cmd}: this token may only read")
            result = function(self, **bind(cmd, function, args))
            if not _is_ours(function):
                jsonsafe.refuse_bytes(result)
            answer = packet.good(result)
        except ShmoozeError as refusal:
            answer = packet.error(str(refusal))
            if isinstance(refusal, TooMany) and (who := caller.get()) is not None:
                who.retry_after = refusal.retry_after
        except (Exception, gevent.Timeout):  # a Timeout of the function's own
            log.exception("command %r failed", cmd)
            answer = internal_error(cmd, self)
        if self.logger is not None and cmd in self.log_cmds:
            self.logger.log(self.log_uid, self.log_namespace, query, answer)
        return answer

    def _answers(self, queries: list[Any]) -> list[msgspec.Raw]:
        """The answers to a list of packets; others have their turn in between.

        They are encoded one by one, since all together have a limit.
        """
        if len(queries) > self.max_commands:
            raise PacketError(f"a list may hold {self.max_commands} commands at the most")
        answers: list[msgspec.Raw] = []
        size, slices = 0, TimeSlices()
        for query in queries:
            slices.yield_if_over()
            if answers and caller_has_left():
                answer = packet.error("was not executed: the client disconnected before its turn")
            elif size > self.max_answer:
                answer = packet.error("the answers before this one are too long already")
            else:
                answer = self._answer_in_list(query)
            try:
                answers.append(msgspec.Raw(encode_result(query, answer, self)))
                size += len(answers[-1])
            except TooLong:
                answers.append(msgspec.Raw(refuse_result(query)))
                size += results.MAX_RESULT  # as much work as if it had been sent
        return answers

    def _answer_in_list(self, query: Any) -> dict[str, Any]:
        try:
            check_command(query)
        except PacketError as bad:
            return packet.error(str(bad))
        return self.single_command(query)


def check_command(query: Any) -> None:
    """Raise PacketError unless `query` is `{"cmd": NAME, "args"?: {…}}`."""
    if not isinstance(query, dict):
        raise PacketError("a command must be an object with `cmd`, or a list of those")
    if not isinstance(query.get("cmd"), str):
        raise PacketError("a command must have a `cmd`, which is a string")
    if not isinstance(query.get("args", {}), dict):
        raise PacketError("the `args` of a command must be an object")


def refuse_coroutines(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Raise ShmoozeError for a command that would give no result, but a promise of one."""
    for cmd, function in commands.items():
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise ShmoozeError(
                f"the function of command {cmd!r} has `yield` or `async` in it: a command is a"
                " plain function that waits where it stands and returns (see docs/moving.md)"
            )


def bind(cmd: str, function: Callable[..., Any], args: dict[str, Any]) -> dict[str, Any]:
    """The args of a command as `function` takes them.

    Raises CommandError that names the argument which is missing, surplus, or not of the kind
    that the function's type hint asks for.
    """
    accepted, kinds, takes_any = _parameters(function)
    for name, required in accepted.items():
        if required and name not in args:
            raise CommandError(f"{cmd}: argument `{name}` is missing")
    bound = {}
    for name, value in args.items():
        if name not in accepted and not takes_any:
            known = ", ".join(f"`{each}`" for each in accepted) or "none"
            raise CommandError(f"{cmd}: unknown argument `{name}`; known: {known}")
        try:
            bound[name] = msgspec.convert(value, kinds[name]) if name in kinds else value
        except msgspec.ValidationError as bad:
            raise CommandError(f"{cmd}: argument `{name}`: {bad}") from bad
    return bound


@cache
def _is_ours(function: Callable[..., Any]) -> bool:
    """Whether a command's result is JSON for sure, so that nothing need be looked for in it."""
    return str(getattr(function, "__module__", "")).startswith("shmooze.")


@cache
def _parameters(function: Callable[..., Any]) -> tuple[dict[str, bool], dict[str, Any], bool]:
    """Of a command's function: arguments and whether each is required; their kinds; any others?"""
    parameters = list(inspect.signature(function).parameters.values())[1:]  # without self
    named = [
        each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    kinds = {}
    for name, hint in typing.get_type_hints(function).items():
        try:
            msgspec.json.Decoder(hint)  # is it a kind that JSON values can be checked against?
            kinds[name] = hint
        except TypeError:
            log.warning("%s: type hint of `%s` cannot be checked", function.__qualname__, name)
    accepted = {each.name: each.default is each.empty for each in named}
    return accepted, kinds, any(each.kind is each.VAR_KEYWORD for each in parameters)


class Service:
    """A program that answers HTTP/JSON on its port until it is told to stop.

    Combine it with JSONCommandProcessor, or define `command(query)` otherwise. Constructing one
    starts nothing; `serve_forever` does.
    """

    #: The service's name in `ports` of the settings.
    name: str | None = None
    #: The port; None: the one that the settings give to `name`.
    port: int | None = None
    #: The address to listen on; None: the one that `service_host` of the settings gives.
    host: str | None = None

    def __init__(self, port: int | None = None) -> None:
        if port is not None:
            self.port = port
        self._server: Server | None = None

    def command(self, query: Any) -> Any:
        """The answer to what a client sent. Raises PacketError where that is no packet.

        Where it is not JSONCommandProcessor's, it asks `caller.get()` what the client may do.
        """
        raise NotImplementedError

    def start(self) -> None:
        """Begin to serve. Raises ShmoozeError where that is impossible."""
        require_patched()
        refuse_coroutines(getattr(self, "commands", {}))
        source = settings.current()
        if self.port is None:
            if self.name is None:
                raise SettingsError(f"{type(self).__name__} has neither a `port` nor a `name`")
            self.port = source.port(self.name)
        self.host = self.host or source.host("service_host")
        self._limits = Limits.of(source)
        gate = AccessGate(self._application(), self.host, source, proxies=LOOPBACK)
        self._server = Server(self.host, self.port, gate, self._limits)
        self._server.start()
        who = name_of(self)
        log.info("%s: listening on %s:%s", who, self.host, self.port)
        warn_if_open(self.host, source, who)

    def stop(self) -> None:
        """Stop serving; answers under way are finished. May be called twice."""
        if self._server is not None:
            self._server.stop()

    def serve_forever(self) -> None:
        """Serve until SIGTERM, SIGINT, SIGQUIT or SIGHUP, then stop.

        Where it cannot start it says why in one line and ends the program with status 2.
        """
        run(self)

    def _application(self) -> bottle.Bottle:
        app = bottle.Bottle()
        app.route("/", "POST", self._answer_post)
        app.default_error_handler = partial(answer_error, f"`{name_of(self)}`")
        return app

    def _answer_post(self) -> bytes:
        try:
            query = jsonsafe.decode(json_body(self._limits.max_body))
        except PacketError as bad:
            raise Refused(400, f"the body is no JSON that can be used: {bad}") from bad
        environ = bottle.request.environ
        who = Caller(environ[ROLE], environ[CLIENT])
        who.has_left = environ.get(HAS_LEFT, who.has_left)
        before = caller.set(who)
        try:
            answer = self.command(query)
        except PacketError as bad:
            raise Refused(400, str(bad)) from bad
        finally:
            caller.reset(before)
        bottle.response.content_type = "application/json"
        if who.retry_after is not None:
            bottle.response.set_header("Retry-After", str(math.ceil(who.retry_after)))
            if not isinstance(query, list):
                bottle.response.status = 429
        return encode(query, answer, self)


def json_query(
    host: str, port: int, query: Any, timeout: float = 2.0, token: str | None = None
) -> Any:
    """Ask a service; its answer, a packet or a list of packets, decoded.

    `token` is needed where the service asks for one; the variable SHMOOZE_TOKEN stands in for it.
    Raises ServiceUnreachable or ServiceTimeout (seconds), PacketError for an answer that is no
    JSON, ValueError for a token that cannot be one, TypeError for bytes in `query`. A failure
    packet is an answer like others: see `packet.assert_success`.
    """
    # Not with the others: most services ask no other one, and start sooner without.
    from shmooze.web.client import BROKEN, Backend

    at = f"{host}:{port}"
    headers = {}
    if token := token or os.environ.get("SHMOOZE_TOKEN"):
        if not (token.isascii() and token.isprintable()):
            raise ValueError("a token is one line of printable ASCII characters")
        headers["Authorization"] = f"Bearer {token}"
    jsonsafe.refuse_bytes(query)
    service = Backend(at, host, port, timeout, connections=1)
    service.connect_timeout = timeout
    try:
        body = service.exchange(msgspec.json.encode(query), headers).body
    except TimeoutError as late:
        raise ServiceTimeout(f"{at} did not answer within {timeout:g} s") from late
    except (*BROKEN, UnicodeError) as bad:  # the latter for what is no name of a host
        raise ServiceUnreachable(f"{at} cannot be reached: {bad}") from bad
    finally:
        service.close()
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as bad:
        raise PacketError(f"{at} answered something that is no JSON: {bad}") from bad
