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
        'The name of each service, and its TCP port, or "host:port" for a service of another'
        " machine; see docs/how-to/several-machines.md. `wsgi` is the gateway, through which"
        " all others can be reached.",
    ] = {}
    public: Annotated[
        Keys,
        "The keys that `settings.json` on the web shows. List `ports` here, or pages cannot"
        " find the services.",
    ] = []
    name: Annotated[Any, "The title of the page, if it is public."] = None
    bg_color: Annotated[
        Any, "The background colour of the page, set by `shmooze.js`, if it is public."
    ] = None
    fg_color: Annotated[Any, "The colour of the page's text, if it is public."] = None
    wsgi_prefix: Annotated[
        Prefix, "The path below which the gateway offers services and `settings.json`."
    ] = "/"
    static_prefix: Annotated[Prefix, "The path below which the gateway serves files."] = "/static/"
    static_path: Annotated[
        Path | None,
        "The folder of the files that the gateway serves. Its `index.html` is the first page. If"
        " it is not set, the package's own files are served, and the console is the first page.",
    ] = None
    log_database_path: Annotated[
        Path | None,
        "The SQLite file of the command log; see docs/reference/log.md. If it is not set,"
        " there is no log.",
    ] = None
    tokens_path: Annotated[
        Path | None,
        "The file of access tokens, readable only for its owner; see docs/how-to/network.md."
        " If it is not set, no tokens are needed.",
    ] = None
    sighup: Annotated[
        Literal["stop", "reload"],
        "What gateway, queues and pools do at SIGHUP: stop, or read the settings again; see"
        " docs/how-to/reload.md.",
    ] = "stop"
    metrics: Annotated[
        bool,
        "Whether queues, pools and gateway count what happens, for a Prometheus that reads"
        " `{wsgi_prefix}metrics`. Needs `pip install 'shmooze[metrics]'`; see"
        " docs/how-to/operations.md.",
    ] = False


class Service(Struct, frozen=True):
    """What services use, and the gateway to find them."""

    service_host: Annotated[
        Address, "The address on which services listen if their entry in `ports` names no host."
    ] = "127.0.0.1"
    service_tls: Annotated[
        bool | None,
        "Whether services whose entry in `ports` names a host use TLS. If it is not set, all"
        " but those on loopback do.",
    ] = None
    service_certificate_path: Annotated[
        Path | None,
        "The certificate of this machine's services, with its chain (PEM).",
    ] = None
    service_key_path: Annotated[Path | None, "The private key of that certificate (PEM)."] = None
    service_ca_path: Annotated[
        Path | None,
        "The certificate of the authority that has issued the services' certificates (PEM)."
        " If it is not set, the authorities that the system trusts are used.",
    ] = None
    service_secret_path: Annotated[
        Path | None, "The file of a secret that the gateway shows to those services."
    ] = None


class Gateway(Service, frozen=True):
    """What only the gateway uses."""

    wsgi_host: Annotated[Address, "The address on which the gateway listens."] = "127.0.0.1"
    wsgi_timeout: Annotated[
        Seconds,
        "Seconds that the gateway waits for a service's answer. A queue or pool logs a"
        " warning at startup about module types that may take longer.",
    ] = 60.0
    wsgi_workers: Annotated[Workers, "Number of gateway processes."] = 1


class Limits(Struct, frozen=True):
    """How much a server takes in, and for how long it waits. Sizes are bytes, times seconds."""

    max_url: Annotated[Count, "Bytes of the first line of a request, which contains the URL."] = (
        8 << 10
    )
    max_header: Annotated[Count, "Bytes of the header of a request, its first line included."] = (
        32 << 10
    )
    max_body: Annotated[Count, "Bytes of the body of a request."] = 1 << 20
    header_timeout: Annotated[
        Seconds, "Seconds within which a client must send the header, from its first byte."
    ] = 10.0
    body_timeout: Annotated[
        Seconds, "Seconds within which it must send the body, after the header."
    ] = 30.0
    idle_timeout: Annotated[
        Seconds,
        "Seconds that a connection may be idle. The gateway closes an idle connection to a"
        " service after half of that, but after at most 30 seconds.",
    ] = 75.0
    send_timeout: Annotated[
        Seconds, "Seconds within which a client must accept each 64 KiB of an answer."
    ] = 30.0
    max_connections: Annotated[
        Count,
        "Connections at the same time. When there are more, the one that has waited longest"
        " for its client is closed. The workers of a gateway share this number.",
    ] = 4000


class Access(Struct, frozen=True):
    """Who may come in."""

    allowed_hosts: Annotated[
        HostNames,
        "Names that the `Host` header of a request may have, besides those of loopback."
        " Without ports.",
    ] = []
    allowed_origins: Annotated[
        Origins, "Other sites whose pages may send commands and show ours in a frame."
    ] = []
    trusted_proxies: Annotated[
        Networks,
        "Addresses or networks of proxies. Only their `X-Forwarded-For` and"
        " `X-Forwarded-Proto` headers are used.",
    ] = []


class Quota(Struct, frozen=True):
    """How many modules there may be: at the top for all, or in the section of one queue or pool."""

    max_modules: Annotated[
        Count | None,
        "Modules of one queue or pool at the same time. More are refused with status 429.",
    ] = 1000
    max_adds_per_minute: Annotated[
        Count | None,
        "Modules that one client may start in a minute, per queue or pool. More are refused"
        " with status 429.",
    ] = None


class Runnable(Struct, frozen=True):
    """Which program runs a service, in its section; see run/programs.py."""

    kind: Annotated[
        Literal["queue", "pool"] | None,
        "What the service is. If it is not set, its name must be `queue` or `pool`. Needs"
        " `modules`.",
    ] = None
    program: Annotated[
        Argv | None,
        "The program that runs the service, with its arguments, if it is a program of its own.",
    ] = None
    stop_timeout: Annotated[
        Seconds, "Seconds within which this program must end before it is killed."
    ] = 30.0


class State(Struct, frozen=True):
    """What survives a restart, and for how long."""

    state_path: Annotated[
        Path | None,
        "The SQLite file in which queues and pools keep what must survive a restart, and"
        " their history; see docs/reference/state.md. If it is not set, nothing is kept.",
    ] = None
    state_sync: Annotated[
        Literal["full", "normal"],
        "`full`: an answered command survives a loss of power. `normal`: it survives the end"
        " of the service, but a loss of power may undo the last moments.",
    ] = "full"
    history_days: Annotated[Number, "Days for which the history keeps an ended item."] = 30.0
    history_rows: Annotated[Rows, "Ended items that the history of each queue or pool keeps."] = (
        10_000
    )
    key_days: Annotated[
        Number,
        "Days for which the `key` of an ended item is remembered, so that `add` with the same"
        " key starts nothing.",
    ] = 7.0


class Logs(Struct, frozen=True):
    """Who is told of what happens: the log of each program, log files of modules, hooks."""

    log_format: Annotated[
        Literal["text", "json"], "`json`: each line of a log is a JSON object."
    ] = "text"
    access_log: Annotated[
        bool, "Whether gateway and services log a line for each request; see docs/how-to/logs.md."
    ] = False
    log_path: Annotated[
        Path | None,
        "The folder of log files, which keep what each module has printed; see"
        " docs/how-to/logs.md. If it is not set, none are written.",
    ] = None
    log_max_bytes: Annotated[Count, "Bytes after which a new log file is started."] = 1 << 20
    log_max_files: Annotated[
        Count, "Log files that an item may have. The oldest is removed to make room for a new one."
    ] = 3
    tracing: Annotated[
        bool,
        "Whether gateway and services send traces to an OpenTelemetry collector; see"
        " docs/how-to/logs.md.",
    ] = False
    hooks: Annotated[
        Objects,
        "HTTP calls and programs that are notified of events, such as an item that has"
        " failed; see docs/how-to/hooks.md.",
    ] = []


class Clusters(Struct, frozen=True):
    """What services use whose modules run on other machines."""

    cluster: Annotated[
        Object | None,
        "How services and the nodes of a cluster find each other, if modules run on other"
        " machines; see docs/how-to/cluster.md.",
    ] = None


class Processes(Struct, frozen=True):
    """How processes of modules are kept within their limits."""

    cgroup: Annotated[
        Cgroup | None,
        "The cgroup in which services may limit modules; see docs/how-to/limits.md. If it is"
        " not set, they use one that was delegated to them.",
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
