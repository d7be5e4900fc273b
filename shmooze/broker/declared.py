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
        Argv,
        "The program and its arguments. Host and ports are appended, unless there is an"
        " `adapter`. Relative paths start at the service's working folder.",
    ]
    connect_timeout: Annotated[Seconds, "Seconds within which the process must connect."] = 5.0
    command_timeout: Annotated[
        Seconds, "Seconds within which it must answer a command, including `init`."
    ] = 5.0
    natural_death_timeout: Annotated[Seconds, "Seconds from `rm` to SIGTERM."] = 2.0
    sigterm_timeout: Annotated[Seconds, "Seconds from SIGTERM to SIGKILL."] = 2.0
    restart: Annotated[
        Literal["never", "on-failure", "always"],
        "Whether to restart a module that ends without being removed.",
    ] = "never"
    restart_delay: Annotated[
        Seconds,
        "Seconds before the first restart. The delay doubles with each restart, varies by 25"
        " % at random, and is reset after a run of a minute or more.",
    ] = 0.5
    restart_delay_max: Annotated[Seconds, "The longest delay, in seconds."] = 60.0
    restart_limit: Annotated[
        Number, "Restarts within `restart_period` after which the module is not restarted again."
    ] = 10
    restart_period: Annotated[Seconds, "Seconds within which restarts are counted."] = 600.0
    standby: Annotated[
        CountOrZero,
        "Processes that are started in advance and wait for `init`, so that `add` takes a few"
        " milliseconds.",
    ] = 0
    standby_timeout: Annotated[
        Seconds,
        "Seconds that a standby process may leave its `init` unread before another process is"
        " started instead.",
    ] = 1.0
    spawn: Annotated[
        Literal["eager", "lazy"],
        "`eager`: `add` starts the process. `lazy`: a queue, or a pool with `slots`, starts"
        " it only when its turn is near.",
    ] = "eager"
    lookahead: Annotated[
        CountOrZero, "How many places before its turn a lazy module is started."
    ] = 1
    show_args: Annotated[bool, "Whether clients see the `args` that a module was added with."] = (
        True
    )
    schema: Annotated[
        Description,
        "The description of the type: its arguments, commands and parameters, as JSON"
        " Schemas. An object, or the path of a JSON file, relative to the settings file; see"
        " docs/reference/descriptions.md.",
    ] = None
    describe: Annotated[
        bool,
        "Whether the service runs the program with `--describe` to get the description; with"
        " the adapter `mcp`, whether it asks the server for its tools.",
    ] = False
    after_crash: Annotated[
        Literal["again", "hold", "drop"],
        "What happens to a module with a process after the service, or the module's machine,"
        " has crashed: it is started again, held until `release`, or dropped as `lost`; see"
        " docs/reference/state.md.",
    ] = "again"
    max_parameters_bytes: Annotated[Number, "Maximum size of a module's parameters, as JSON."] = (
        4 << 20
    )
    max_state_bytes: Annotated[
        Number, "Maximum size of the state that a module saves, as JSON."
    ] = 64 << 10
    max_result_bytes: Annotated[Number, "Maximum size of a module's result, as JSON."] = 64 << 10
    launcher: Annotated[
        TypeName,
        "What starts its processes: `local` on this machine, `dask` or `slurm` on the nodes"
        " of a cluster, or an entry point of the group `shmooze.launchers`; see"
        " docs/how-to/cluster.md.",
    ] = "local"
    hosts: Annotated[
        Hosts,
        "With a cluster: names or labels of the nodes on which it may run. If it is empty,"
        " all of them.",
    ] = []
    adapter: Annotated[
        str | None,
        "How the service communicates with a program that does not connect by itself:"
        " `command`, `stdio` or `mcp`; see docs/how-to/adapters.md.",
    ] = None
    environment: Annotated[
        Environment, "Environment variables for its process, in addition to those of the service."
    ] = {}
    cwd: Annotated[
        Folder | None,
        "The directory in which its process starts. `~` and `$VARIABLES` are expanded. If it"
        " is not set, the service's own.",
    ] = None
    http: Annotated[
        WebServer | None,
        "Makes the program's own web server available at the gateway; see"
        " docs/how-to/web-servers.md.",
    ] = None
    progress: Annotated[
        Pattern | None,
        "With the adapter `command`: finds the progress in a line of output, by its first"
        " group; see docs/how-to/adapters.md.",
    ] = None
    parameters: Annotated[
        Patterns,
        "With the adapter `command`: finds parameters in a line of output, in the same way.",
    ] = {}
    json_lines: Annotated[
        bool,
        "With the adapter `command`: whether lines of output that are JSON objects set parameters.",
    ] = False
    result: Annotated[
        Pattern | None,
        "With the adapter `command`: finds the result in a line of output, in the same way. The"
        " last one counts.",
    ] = None
    suspend: Annotated[
        Literal["stop", "end", "none"] | None,
        "With the adapters `command` and `mcp`: whether the process is stopped, ended, or"
        " left alone when another module is to play. If it is not set: `stop`, or `none` with"
        " `mcp`.",
    ] = None
    needs: Annotated[
        Amounts,
        "How much a process of this type takes of the resources that the service `has`, such as"
        ' `{"gpu": 1}`; with a cluster, what the node must have free; see docs/reference/turns.md.',
    ] = {}
    max_playing: Annotated[
        declared.Count | None,
        "Modules of this type that may play at the same time.",
    ] = None
    preempt: Annotated[
        bool,
        "With the order `priority`: whether a module that plays may be suspended for one of"
        " higher priority.",
    ] = False
    keep: Annotated[
        bool, "With `http`: whether a module that is idle is never ended for others."
    ] = False
    retries: Annotated[
        CountOrZero,
        "How often a job that has failed is tried again, if `restart` is `never`; see"
        " docs/reference/jobs.md.",
    ] = 0
    retry_delay: Annotated[
        Seconds, "Seconds before the first retry. The delay doubles with each further one."
    ] = 1.0
    time_limit: Annotated[
        Seconds | None, "Seconds that a job may play before it is ended as failed."
    ] = None
    limits: Annotated[
        Limits | None, "What a module and all that it starts may use; see docs/how-to/limits.md."
    ] = None
    max_age: Annotated[
        Seconds | None,
        "Seconds after which its process is replaced by a fresh one, once that is ready; see"
        " docs/how-to/limits.md.",
    ] = None
    max_memory_mb: Annotated[
        Number | None, "MiB of memory above which its process is replaced in the same way."
    ] = None
    reuse: Annotated[
        declared.Count,
        "Items that one process serves, one after the other, if each ends with a result.",
    ] = 1
    preload: Annotated[
        bool,
        "Whether a Python program is loaded once, and the process of each module is forked"
        " from the loaded one.",
    ] = False
