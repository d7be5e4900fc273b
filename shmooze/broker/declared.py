"""Every key of a module type: kind, default and meaning."""

import json
import os
import re
import sys
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from shmooze.modules.web_server import WebServer, problem_of_pattern
from shmooze.processes.limits import Limits
from shmooze.runtime import declared
from shmooze.runtime.declared import Number, Seconds

# Kinds.

CountOrZero = Annotated[int, Meta(description="a whole number, 0 or more", ge=0)]


def _problem_of_name(name: str) -> str | None:
    return None if name.isprintable() else "has characters that cannot be shown"


def _problem_of_argv(argv: list[str]) -> str | None:
    """Why the system cannot take these words for a program and its arguments."""
    if not argv or not argv[0]:
        return "must name a program first"
    return next(filter(None, map(_problem_of_word, argv)), None)


def _problem_of_word(word: str) -> str | None:
    """Why the system cannot give this word to a program."""
    if "\0" in word:
        return f"has a null character in {json.dumps(word)}, which no program can be given"
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        coding = sys.getfilesystemencoding()
        return f"has {json.dumps(word)} in it, which cannot be written in this locale's {coding}"
    return None


def _problem_of_variable(name: str) -> str | None:
    return 'has a "=" in it' if "=" in name else _problem_of_word(name)


def _problem_of_pattern(pattern: str) -> str | None:
    if problem := problem_of_pattern(pattern):
        return problem
    return None if re.compile(pattern).groups else "has no group: put what is wanted in parentheses"


Argv = Annotated[
    list[str],
    Meta(description="a list of strings, program first", extra={"problem": _problem_of_argv}),
]
TypeName = Annotated[
    str,
    Meta(description="a name", min_length=1, extra={"problem": _problem_of_name}),
]

Environment = Annotated[
    dict[
        Annotated[
            str, Meta(description="a name", min_length=1, extra={"problem": _problem_of_variable})
        ],
        Annotated[str, Meta(description="a string", extra={"problem": _problem_of_word})],
    ],
    Meta(description="an object of names and strings"),
]
Folder = Annotated[
    str, Meta(description="a path", min_length=1, extra={"problem": _problem_of_word})
]
Pattern = Annotated[
    str,
    Meta(description="a regular expression with a group", extra={"problem": _problem_of_pattern}),
]
Patterns = Annotated[
    dict[TypeName, Pattern], Meta(description="an object of names and regular expressions")
]
Description = Annotated[
    dict[str, Any] | str | None,
    Meta(description="a description, which is an object, or the path of a file that holds one"),
]

Hosts = Annotated[list[str], Meta(description="a list of names")]
Amount = Annotated[float, Meta(description="a number, 0 or more", ge=0)]
Amounts = Annotated[dict[TypeName, Amount], Meta(description="an object of names and numbers")]

# Keys.


class ModuleType(Struct, frozen=True, forbid_unknown_fields=True):
    """What can be said of a module type: in the settings, or as class attributes in Python."""

    process: Annotated[
        Argv, "The program and its arguments; host and ports of its streams are added at the end."
    ]
    connect_timeout: Annotated[Seconds, "Seconds that a process may take to connect."] = 5.0
    command_timeout: Annotated[
        Seconds, "Seconds that it may take to answer a command, `init` included."
    ] = 5.0
    natural_death_timeout: Annotated[Seconds, "Seconds from `rm` to SIGTERM."] = 2.0
    sigterm_timeout: Annotated[Seconds, "Seconds from SIGTERM to SIGKILL."] = 2.0
    restart: Annotated[
        Literal["never", "on-failure", "always"],
        "When it is started again after it has ended without having been removed.",
    ] = "never"
    restart_delay: Annotated[
        Seconds, "Seconds before the first restart; the delay doubles with each further one."
    ] = 0.5
    restart_delay_max: Annotated[Seconds, "The longest of those delays, in seconds."] = 60.0
    restart_limit: Annotated[
        Number, "Restarts within `restart_period` after which it is given up."
    ] = 10
    restart_period: Annotated[Seconds, "Seconds in which restarts are counted."] = 600.0
    standby: Annotated[
        CountOrZero, "Processes that are started ahead, so that `add` takes milliseconds."
    ] = 0
    standby_timeout: Annotated[
        Seconds, "Seconds that one of those may leave `init` unread before another is started."
    ] = 1.0
    spawn: Annotated[
        Literal["eager", "lazy"],
        "When its process is started: by `add`, or when its turn in a queue comes near.",
    ] = "eager"
    lookahead: Annotated[CountOrZero, "How many places before its turn a lazy one is started."] = 1
    show_args: Annotated[bool, "Whether clients see the `args` that a module was added with."] = (
        True
    )
    schema: Annotated[
        Description, "What its modules are: arguments, commands, parameters; see descriptions."
    ] = None
    describe: Annotated[
        bool, "Whether its program prints such a description when it is run with `--describe`."
    ] = False
    after_crash: Annotated[
        Literal["again", "hold", "drop"],
        "What becomes of a module with a process if the service crashes: it is started again,"
        " held until `release`, or dropped as lost.",
    ] = "again"
    max_parameters_bytes: Annotated[
        Number, "Bytes of JSON that the parameters of a module may take."
    ] = 4 << 20
    max_state_bytes: Annotated[
        Number, "Bytes of JSON that the state may take that a module saves for its next life."
    ] = 64 << 10
    max_result_bytes: Annotated[Number, "Bytes of JSON that the result of a module may take."] = (
        64 << 10
    )
    launcher: Annotated[
        TypeName,
        "What starts its processes: `local` on this machine, `dask` or `slurm` on a cluster, or an"
        " entry point of the group `shmooze.launchers`.",
    ] = "local"
    hosts: Annotated[
        Hosts, "Names or labels of the machines of a cluster on which it may run; any if empty."
    ] = []
    adapter: Annotated[
        str | None, "How it is spoken to, if it does not connect: `command`, `stdio`, `mcp`."
    ] = None
    environment: Annotated[
        Environment, "Environment variables of its process, in addition to the service's."
    ] = {}
    cwd: Annotated[
        Folder | None, "The directory in which its process starts; the service's if null."
    ] = None
    http: Annotated[
        WebServer | None, "The web server that its program has; see docs/how-to/web-servers.md."
    ] = None
    progress: Annotated[
        Pattern | None, "Of a command: finds the progress in a line of output, by its first group."
    ] = None
    parameters: Annotated[
        Patterns, "Of a command: finds a parameter in a line of output, by its first group."
    ] = {}
    json_lines: Annotated[
        bool, "Of a command: whether lines of output that are JSON objects set parameters."
    ] = False
    result: Annotated[
        Pattern | None,
        "Of a command: finds the result in a line of output, by its first group. The last counts.",
    ] = None
    suspend: Annotated[
        Literal["stop", "end", "none"] | None,
        "How a program is suspended that knows no such command: it is stopped by SIGSTOP, ended and"
        " started anew, or goes on.",
    ] = None
    needs: Annotated[
        Amounts, "What a process of it takes of what the service `has`, such as `gpu`."
    ] = {}
    max_playing: Annotated[
        declared.Count | None,
        "Modules of this type that play at the same time; any number if null.",
    ] = None
    preempt: Annotated[
        bool, "Whether one that plays may be suspended for one of higher priority."
    ] = False
    keep: Annotated[bool, "Whether one that is idle is never ended for others."] = False
    retries: Annotated[
        CountOrZero, "How often one that has failed is tried again, if `restart` is `never`."
    ] = 0
    retry_delay: Annotated[
        Seconds, "Seconds before the first retry; the delay doubles with each further one."
    ] = 1.0
    time_limit: Annotated[
        Seconds | None, "Seconds after which it is ended as failed; none if null."
    ] = None
    limits: Annotated[
        Limits | None, "What its process and all that it starts may use; see docs/how-to/limits.md."
    ] = None
    max_age: Annotated[
        Seconds | None, "Seconds after which its process is replaced by a fresh one; never if null."
    ] = None
    max_memory_mb: Annotated[
        Number | None, "MiB of memory above which its process is replaced likewise."
    ] = None
    reuse: Annotated[
        declared.Count,
        "Items that one process serves, one after the other, if each ends as done.",
    ] = 1
    preload: Annotated[
        bool,
        "Of a Python program: whether a process loads it once, and each item is forked from that.",
    ] = False
