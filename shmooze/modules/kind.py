"""A module type: its name, program, timeouts and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shmooze.modules.channel.adapters import make_channel
from shmooze.modules.channel.contract import MakeChannel
from shmooze.modules.restarts import NEVER
from shmooze.modules.web_server import WebServer
from shmooze.processes.limits import Limits

EAGER, LAZY = SPAWNS = ("eager", "lazy")
AGAIN, HOLD, DROP = ("again", "hold", "drop")
#: The launcher of this machine.
LOCAL = "local"


class Kind:
    """The attributes that an application's subclass of Module sets, or a type in the settings."""

    #: The name under which clients ask for this type.
    TYPE_STRING: str
    #: Program and arguments; host and ports of the streams are added at the end.
    process: Sequence[str]

    #: What its items are, see docs/reference/descriptions.md: a description, or the path of a file
    #: that holds one. None: it has none.
    schema: ClassVar[dict[str, Any] | str | None] = None
    #: The same as the type has it, where its adapter has completed it.
    given_schema: ClassVar[dict[str, Any] | str | None] = None
    #: Whether its program prints its description for `--describe`.
    describe: ClassVar[bool] = False
    #: Where the settings have this type, such as "queue.modules.countdown"; empty: it is a class.
    place_in_settings: ClassVar[str] = ""
    #: What the settings say of it, to compare with what they say later; None: it is a class.
    definition: ClassVar[Any] = None
    #: Environment variables of its process, in addition to those of the service.
    environment: ClassVar[dict[str, str]] = {}
    #: The directory in which its process starts; None: that of the service.
    cwd: ClassVar[str | None] = None
    #: The web server that its program has; see docs/how-to/web-servers.md. None: it has none.
    http: ClassVar[WebServer | None] = None
    #: The path below which clients find its modules by their uids, if they are web servers.
    web_path: ClassVar[str] = ""
    #: Which launcher starts it.
    launcher: ClassVar[str] = LOCAL
    #: Of launchers of clusters: names or labels of machines on which it may run; none: any.
    hosts: ClassVar[list[str]] = []
    #: How it is spoken to, if not over two streams to which it connects; see
    #: docs/how-to/adapters.md.
    adapter: ClassVar[str | None] = None
    #: Makes the channel to one of its modules.
    make_channel: ClassVar[MakeChannel] = make_channel
    #: Of `command`: a pattern whose first group is the progress, in percent or from 0 to 1.
    progress: ClassVar[str | None] = None
    #: Of `command`: the key `parameters` of the settings, a pattern for each parameter.
    parameter_patterns: ClassVar[Mapping[str, str]] = {}
    #: Of `command`: whether lines of output that are JSON objects set parameters.
    json_lines: ClassVar[bool] = False
    #: Of `command`: the key `result` of the settings, a pattern whose first group is the result.
    result_pattern: ClassVar[str | None] = None
    #: Of `command` and `mcp`: how it is suspended, "stop", "end" or "none".
    suspend_by: ClassVar[str | None] = None
    #: Where the streams listen, and what the child is told to connect to.
    listen_host = "127.0.0.1"
    #: Seconds that a child may take to connect both its streams.
    connect_timeout = 5.0
    #: Seconds that a child may take to answer a command.
    command_timeout = 5.0
    #: Seconds from `rm` to SIGTERM.
    natural_death_timeout = 2.0
    #: The same for one that has not accepted `init`, and so gets no `rm`.
    start_patience = 0.25
    #: Seconds from SIGTERM to SIGKILL.
    sigterm_timeout = 2.0
    #: Whether it is started again when it ends: "never", "on-failure" or "always".
    restart = NEVER
    #: Seconds before the first restart; each further one takes twice as long, up to the longest.
    restart_delay = 0.5
    #: The longest of those delays, in seconds.
    restart_delay_max = 60.0
    #: Restarts within `restart_period` after which it is given up.
    restart_limit = 10
    #: Seconds; see restart_limit.
    restart_period = 600.0
    #: When its process is started: "eager" by `add`, "lazy" when its turn comes near (in a queue).
    spawn = EAGER
    #: How many places before its turn a lazy one is started.
    lookahead = 1
    #: Children that are started ahead, so that `add` need not wait for the program to load.
    standby = 0
    #: Seconds that such a child may leave `init` unread before a fresh one is started for an `add`.
    standby_timeout = 1.0
    #: Whether clients see the args that it was added with.
    show_args = True
    #: What becomes of one that had a process when the service crashed: "again", "hold" or "drop".
    after_crash = AGAIN
    #: What a process of it takes of what the service has, such as {"gpu": 1}.
    needs: ClassVar[Mapping[str, float]] = {}
    #: Modules of this type that play at the same time; None: any number.
    max_playing: ClassVar[int | None] = None
    #: Whether one that plays may be suspended for one of higher priority.
    preempt: ClassVar[bool] = False
    #: Whether one that is idle is never ended for others.
    keep: ClassVar[bool] = False
    #: How often one that has failed is tried again, if it is not restarted anyway.
    retries = 0
    #: Seconds before the first retry; the delay doubles with each further one.
    retry_delay = 1.0
    #: Seconds after which it is ended as failed; None: no limit.
    time_limit: ClassVar[float | None] = None
    #: What a process and all that it starts may use together; None: anything. See `limits_of`.
    limits: ClassVar[Limits | None] = None
    #: Seconds, and MiB, after which a process is replaced by a fresh one; None: never.
    max_age: ClassVar[float | None] = None
    max_memory_mb: ClassVar[float | None] = None
    #: Items that one process serves, one after the other, if each ends as done. See `items_of`.
    reuse = 1
    #: Of a Python program: whether one process loads it, and each item is forked from that.
    preload: ClassVar[bool] = False
    #: Whether the settings have no such type any more. One that came back is held.
    is_missing: ClassVar[bool] = False
    #: Bytes that its parameters may take as JSON.
    max_parameters_bytes = 4 << 20
    #: Bytes that its saved state may take as JSON.
    max_state_bytes = 64 << 10
    #: Bytes that its result may take as JSON.
    max_result_bytes = 64 << 10
    #: Seconds that reading the rest of the output may take when all its processes have ended.
    output_timeout = 0.5


def items_of(kind: Kind | type[Kind]) -> int:
    """How many items one process of a type serves; the type may call something else `reuse`."""
    return kind.reuse if isinstance(kind.reuse, int) else 1


def limits_of(kind: Kind | type[Kind]) -> Limits | None:
    """The limits of a type; None: it has none, whatever else it calls `limits`."""
    return kind.limits if isinstance(kind.limits, Limits) else None


def bounds_of(kind: Kind | type[Kind]) -> tuple[float | None, float | None]:
    """`max_age` and `max_memory_mb` of a type, which may call something else so."""
    age, memory = kind.max_age, kind.max_memory_mb
    return (
        age if isinstance(age, (int, float)) else None,
        memory if isinstance(memory, (int, float)) else None,
    )


def has_limits_in_time(kind: type[Kind]) -> bool:
    """Whether processes of a type are ended or replaced after a time, or as they grow."""
    return bool(kind.time_limit) or bounds_of(kind) != (None, None)
