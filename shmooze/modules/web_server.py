"""What a module type says of the web server that its program has."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from shmooze.runtime.declared import Count, Port, Seconds

#: What clients are told of a module's web server: it is not ready yet; it answers; or its process
#: was ended since nobody needed it, and the next request starts it again.
LOADING, ANSWERS, RESTS = ("loading", "ready", "resting")


def _problem_of_path(path: str) -> str | None:
    is_path = path.startswith("/") and path.isascii() and path.isprintable() and " " not in path
    return None if is_path else "must be a path that starts with '/'"


def problem_of_pattern(pattern: str) -> str | None:
    """Why a text is not a regular expression; None: it is one."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as bad:
        return f"is not a regular expression: {bad}"
    return None


Path = Annotated[str, Meta(description="a path", extra={"problem": _problem_of_path})]
Pattern = Annotated[
    str, Meta(description="a regular expression", extra={"problem": problem_of_pattern})
]


class FromParameter(Struct, frozen=True, forbid_unknown_fields=True, rename={"name": "from"}):
    """A port that the program reports as a parameter."""

    name: Annotated[str, Meta(description="the name of a parameter", min_length=1)]


class WebServer(Struct, frozen=True, forbid_unknown_fields=True):
    """The key `http` of a type."""

    port: Annotated[
        Literal["auto"] | Port | FromParameter,
        Meta(description='"auto", a port number, or {"from": the name of a parameter}'),
        "Where it listens: on a free port, which replaces `{port}` in `process` and is in the"
        " variable `PORT`; on this port; or on the port that the program reports as a"
        " parameter.",
    ] = "auto"
    ready: Annotated[
        Path | None,
        "It is ready when this path answers with success. If it is not set, when it listens.",
    ] = None
    ready_timeout: Annotated[Seconds, "Seconds within which it must be ready."] = 120.0
    alive: Annotated[
        Path | None,
        "It has failed when this path does not answer with success three times in a row.",
    ] = None
    alive_every: Annotated[Seconds, "Seconds between two of those requests."] = 30.0
    idle: Annotated[
        Seconds | None,
        "Seconds without a request after which its process is ended, until the next request.",
    ] = None
    max_requests: Annotated[
        Count | None, "Requests at the same time. Further ones wait in line."
    ] = None
    max_wait: Annotated[Seconds, "Seconds that a request waits in line."] = 60.0
    timeout: Annotated[Seconds, "Seconds that it may send nothing while it answers a request."] = (
        300.0
    )
    not_activity: Annotated[
        list[Pattern],
        "Patterns of paths. Requests to these do not count as activity.",
    ] = []
    keep_path: Annotated[
        bool,
        "Whether it gets the whole path of a request. The path then begins with the text that"
        " replaces `{path}` in `process`.",
    ] = False

    def is_activity(self, path: str) -> bool:
        """Whether a request to a path keeps it from being idle."""
        return not any(re.search(pattern, path) for pattern in self.not_activity)


def web_server_of(kind: Any) -> WebServer | None:
    """The web server of a module or type; None: it has none, whatever else it calls `http`."""
    return kind.http if isinstance(kind.http, WebServer) else None
