"""Every setting that shmooze knows, at the top of the file: kind, default and meaning.

A new key is declared here and nowhere else; those of module types are in broker/declared.py. Each
group of keys is read by those who need it, so a mistake in what only the gateway uses does not
keep a queue from starting. What no type can say, such as whether a text is an origin, is checked
where it is used.
"""

import os
from collections.abc import Collection, Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from shmooze import settings
from shmooze.runtime import schema
from shmooze.runtime.schema import did_you_mean
from shmooze.settings import Settings, split_address

# Kinds.

Seconds = Annotated[float, Meta(description="a number of seconds above 0", gt=0)]
Number = Annotated[float, Meta(description="a number above 0", gt=0)]
Count = Annotated[int, Meta(description="a whole number above 0", gt=0)]
Rows = Annotated[int, Meta(description="a whole number from 0 up", ge=0)]
Workers = Annotated[int, Meta(description="a whole number from 1 to 100", ge=1, le=100)]
Port = Annotated[int, Meta(description="a port number (1 to 65535)", ge=1, le=65535)]
Address = Annotated[
    str, Meta(description="an address to listen on", pattern=r"^[^\s\0\ud800-\udfff]+\Z")
]
Path = Annotated[str, Meta(description="a path")]


def _problem_of_address(value: Any) -> str | None:
    try:
        host, _ = split_address(value)
    except ValueError as bad:
        return str(bad)
    if host in ("0.0.0.0", "::"):
        return f"must name a host at which others reach the service, not {host}"
    return None


PortOrAddress = Annotated[
    Port | str,
    Meta(
        description='a port number (1 to 65535) or "host:port"',
        extra={"problem": _problem_of_address},
    ),
]
Prefix = Annotated[
    str, Meta(description="a path that starts and ends with '/'", pattern=r"^/((?s:.*)/)?\Z")
]
Keys = Annotated[list[str], Meta(description="a list of keys")]
Argv = Annotated[
    list[str], Meta(description="a list with a program and its arguments", min_length=1)
]
ServiceName = Annotated[
    str, Meta(description="a part of a URL, with no '/' in it", pattern=r"^[^/]+\Z")
]
Ports = Annotated[
    dict[ServiceName, PortOrAddress],
    Meta(description="an object of service names and port numbers"),
]
Objects = Annotated[list[dict[str, Any]], Meta(description="a list of objects")]
HostNames = Annotated[list[str], Meta(description="a list of host names")]
Origins = Annotated[list[str], Meta(description='a list of origins such as "https://example.org"')]
Object = Annotated[dict[str, Any], Meta(description="an object")]
Networks = Annotated[list[str], Meta(description="a list of addresses or networks")]
Cgroup = Annotated[
    str,
    Meta(
        description='the path of a cgroup, such as "/shmooze"',
        pattern=r"^/([^/\s\0]+(/[^/\s\0]+)*)?\Z",
        extra={"problem": lambda path: "has .. in it" if ".." in path.split("/") else None},
    ),
]


# Keys at the top of the file.


class Application(Struct, frozen=True):
    """What all programs of an application share."""

    ports: Annotated[
        Ports,
        'The name of each service, and its TCP port; or "host:port" for one on any machine.'
        " `wsgi` is the gateway.",
    ] = {}
    public: Annotated[Keys, "The keys that `settings.json` on the web shows."] = []
    name: Annotated[Any, "What the page is called, if public."] = None
    bg_color: Annotated[Any, "The background colour of a page, if public."] = None
    fg_color: Annotated[Any, "The colour of a page's text, if public."] = None
    wsgi_prefix: Annotated[
        Prefix, "The path below which the gateway offers services and `settings.json`."
    ] = "/"
    static_prefix: Annotated[Prefix, "The path below which the gateway serves files."] = "/static/"
    static_path: Annotated[
        Path | None, "The folder of those files; the package's own if it is not set."
    ] = None
    log_database_path: Annotated[
        Path | None, "The SQLite file of the command log; no log if it is not set."
    ] = None
    tokens_path: Annotated[
        Path | None, "The file of tokens; no tokens are needed if it is not set."
    ] = None
    sighup: Annotated[
        Literal["stop", "reload"],
        "What gateway, queues and pools do at SIGHUP: stop, or read the settings again.",
    ] = "stop"
    metrics: Annotated[
        bool, "Whether queues, pools and gateway count what happens, for `metrics` on the web."
    ] = False


class Service(Struct, frozen=True):
    """What services use, and the gateway to find them."""

    service_host: Annotated[
        Address, "The address on which services listen whose `ports` names no host."
    ] = "127.0.0.1"
    service_tls: Annotated[
        bool | None,
        "Whether services whose `ports` names a host speak TLS; null: unless that is loopback.",
    ] = None
    service_certificate_path: Annotated[
        Path | None,
        "The certificate of such services of this machine, with its chain (PEM).",
    ] = None
    service_key_path: Annotated[Path | None, "The private key of that certificate (PEM)."] = None
    service_ca_path: Annotated[
        Path | None,
        "Who issues such certificates: theirs (PEM); those that the system trusts if not set.",
    ] = None
    service_secret_path: Annotated[
        Path | None, "The file of a secret by which those services know their gateway."
    ] = None


class Gateway(Service, frozen=True):
    """What only the gateway uses."""

    wsgi_host: Annotated[Address, "The address on which the gateway listens."] = "127.0.0.1"
    wsgi_timeout: Annotated[
        Seconds, "Seconds for which the gateway waits for a service's answer."
    ] = 60.0
    wsgi_workers: Annotated[Workers, "Processes of the gateway."] = 1


class Limits(Struct, frozen=True):
    """How much a server takes in, and for how long it waits. Sizes are bytes, times seconds."""

    max_url: Annotated[Count, "Bytes of the first line of a request, with the URL in it."] = 8 << 10
    max_header: Annotated[Count, "Bytes of the header of a request, its first line included."] = (
        32 << 10
    )
    max_body: Annotated[Count, "Bytes of the body of a request."] = 1 << 20
    header_timeout: Annotated[
        Seconds, "Seconds from a request's first byte to the end of its header."
    ] = 10.0
    body_timeout: Annotated[
        Seconds, "Seconds from the end of the header to the end of the body."
    ] = 30.0
    idle_timeout: Annotated[
        Seconds, "Seconds for which a connection may be quiet before a request."
    ] = 75.0
    send_timeout: Annotated[Seconds, "Seconds for a client to take each 64 KiB of an answer."] = (
        30.0
    )
    max_connections: Annotated[Count, "Connections at the same time."] = 4000


class Access(Struct, frozen=True):
    """Who may come in."""

    allowed_hosts: Annotated[
        HostNames, "Names, beside those of loopback, that a `Host` header may have; no ports."
    ] = []
    allowed_origins: Annotated[
        Origins, "Pages of other sites that may send commands and show ours in a frame."
    ] = []
    trusted_proxies: Annotated[
        Networks, "Addresses or networks of proxies whose word on the client is taken."
    ] = []


class Quota(Struct, frozen=True):
    """How many modules there may be: at the top for all, or in the section of one queue or pool."""

    max_modules: Annotated[Count | None, "Modules of one queue or pool at the same time."] = 1000
    max_adds_per_minute: Annotated[
        Count | None, "Modules that one client may start in a minute; any number if null."
    ] = None


class Runnable(Struct, frozen=True):
    """Which program runs a service, in its section; see run/programs.py."""

    kind: Annotated[
        Literal["queue", "pool"] | None,
        "What it is; if null, what its name says. With `modules`.",
    ] = None
    program: Annotated[
        Argv | None, "Program and arguments of a service that is a program of its own."
    ] = None
    stop_timeout: Annotated[
        Seconds, "Seconds that this program may take to end before it is killed."
    ] = 30.0


class State(Struct, frozen=True):
    """What survives a restart, and for how long."""

    state_path: Annotated[
        Path | None, "The SQLite file of queues, pools and their history; nothing is kept without."
    ] = None
    state_sync: Annotated[
        Literal["full", "normal"],
        'Whether changes also survive a loss of power at once ("full"), or moments later.',
    ] = "full"
    history_days: Annotated[Number, "Days for which ended items are in the history."] = 30.0
    history_rows: Annotated[Rows, "Ended items that the history of each queue or pool keeps."] = (
        10_000
    )
    key_days: Annotated[Number, "Days for which the `key` of an ended item is remembered."] = 7.0


class Logs(Struct, frozen=True):
    """Who is told of what happens: the log of each program, log files of modules, hooks."""

    log_format: Annotated[
        Literal["text", "json"], "Whether each line of a log is text or a JSON object."
    ] = "text"
    access_log: Annotated[bool, "Whether the log has a line for each request over HTTP."] = False
    log_path: Annotated[
        Path | None, "The folder of log files, one for each item; none are written without."
    ] = None
    log_max_bytes: Annotated[
        Count, "Bytes after which the log file of an item is kept aside and a new one begun."
    ] = 1 << 20
    log_max_files: Annotated[
        Count, "Log files that an item may have; the oldest is removed for a new one."
    ] = 3
    tracing: Annotated[
        bool, "Whether traces are sent to an OpenTelemetry collector, as OTEL_… variables say."
    ] = False
    hooks: Annotated[Objects, "HTTP calls and programs that are told of what happens."] = []


class Clusters(Struct, frozen=True):
    """What services use whose modules run on other machines."""

    cluster: Annotated[
        Object | None,
        "How services find the nodes of a cluster, and they them; see docs/how-to/cluster.md.",
    ] = None


class Processes(Struct, frozen=True):
    """How processes of modules are kept within their limits."""

    cgroup: Annotated[
        Cgroup | None,
        "The cgroup in which processes may be limited; if null, one that was delegated.",
    ] = None


#: The groups of keys at the top of the file.
GROUPS: tuple[type[Struct], ...] = (
    *(Application, Gateway, Limits, Access, Quota, State, Logs, Clusters, Processes),
)

# Reading.

_current: Settings | None = None


def current() -> Settings:
    """The settings of this program, checked on first use. Raises SettingsError."""
    global _current
    source = settings.current()
    if source is not _current:
        _current = check(source)
    return source


def check(source: Settings) -> Settings:
    """Check what all programs share, and return the settings. Raises SettingsError."""
    _check_ports(source)
    state, logged = source.get("state_path"), source.get("log_database_path")
    if (
        state is not None
        and logged is not None
        and os.path.realpath(state) == os.path.realpath(logged)
    ):
        raise source.error("state_path", "is the file of `log_database_path` too: name another")
    return source


def _check_ports(source: Settings) -> None:
    """Raise SettingsError for a port that two services have, or a host of the gateway."""
    owners: dict[tuple[str | None, int], str] = {}
    for service, entry in schema.read(Application, source.values, source.error).ports.items():
        host, port = source.address(service)
        if host is not None and service == "wsgi":
            raise source.error("ports.wsgi", "must be a port: `wsgi_host` is for its address")
        local = ("127.0.0.1", "localhost", source.get("service_host"))
        where = (None if host is None or host.lower() in local else host.lower(), port)
        if where in owners:
            words = f"is {entry}, which `ports.{owners[where]}` has too"
            raise source.error(f"ports.{service}", words)
        owners[where] = service


def quota(source: Settings, name: str) -> dict[str, int | None]:
    """The keys of Quota that are set: in the section `name`, or else at the top."""
    own = section_of(source, name)
    shared = {key: value for key, value in source.values.items() if key not in own}
    return {
        **schema.check(Quota, shared, source.error),
        **schema.check(Quota, own, source.error, name),
    }


def unknown_keys(source: Settings) -> list[str]:
    """A warning for each key at the top of the file that nobody knows."""
    known = [key for group in GROUPS for key in schema.keys_of(group)]
    return unknown(source, source.values, [*known, *source.get("ports"), "queue", "pool"])


def section_of(source: Settings, name: str) -> dict[str, Any]:
    """The section of a service, empty if there is none."""
    section = source.get(name)
    return section if isinstance(section, dict) else {}


def unknown(
    source: Settings, values: Iterable[str], known: Collection[str], prefix: str = ""
) -> list[str]:
    """A warning for each key of `values` that is neither known nor the application's own."""
    return [
        str(
            source.error(
                prefix + key,
                f"is unknown;{did_you_mean(key, known)} if it is the application's own,"
                f" call it `app_{key}`, or put it under `app`",
            )
        )
        for key in values
        if key not in known and key != "app" and not key.startswith("app_")
    ]
