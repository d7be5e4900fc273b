"""The lines that an application prints: those of all its programs, and the supervisor's own.

They go to standard error without blocking anything, see runtime/logs.py.

With `"log_format": "json"`, the lines of our programs are JSON objects that name them already.
Other lines become such objects.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from shmooze.runtime.logs import StderrHandler
from shmooze.runtime.program import log_to

#: The name in front of the supervisor's own lines.
OWN_NAME = "run"

#: Writes a line of a program, given its name.
Write = Callable[[str, str], None]

log = logging.getLogger("shmooze.run.output")


def open_lines(names: Iterable[str], as_json: bool) -> Write:
    """Let the log of this process go to standard error. Returns what writes lines of programs."""
    handler = StderrHandler()
    if as_json:
        log_to(handler)

        def write_json(name: str, line: str) -> None:
            if line.startswith("{"):
                handler.enqueue(f"{line}\n")
            else:
                log.info("%s", line, extra={"fields": {"program": name}})

        return write_json
    width = max(map(len, (OWN_NAME, *names)))
    form = f"{OWN_NAME:<{width}} | %(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, handlers=[handler], force=True)

    def write(name: str, line: str) -> None:
        handler.enqueue(f"{name:<{width}} | {line}\n")

    return write
