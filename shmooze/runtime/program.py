"""Programs: they start, wait for the signal to end, and stop. Errors at the start are one line."""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import sys
import typing
from collections.abc import Callable
from typing import NoReturn

import gevent
from gevent.event import Event

from shmooze import settings
from shmooze.errors import ShmoozeError
from shmooze.runtime import inherited
from shmooze.runtime.logs import StderrHandler
from shmooze.runtime.patch import require_patched

log = logging.getLogger(__name__)

#: Signals that ask a program to end.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)

# The first thing that happens when a program imports us, before any file is opened for good.
inherited.open_missing_streams()

_LOG_FORMAT = "%(asctime)s %(levelname)s {}%(name)s: %(message)s"


class _Servable(typing.Protocol):
    def serve_forever(self) -> None: ...


class _Runnable(typing.Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


def run(program: _Runnable) -> None:
    """Start `program`, wait for a signal of ENDING, stop it.

    A ShmoozeError at the start becomes one line on standard error and exit status 2.
    """
    if not logging.getLogger().handlers:
        log_to(StderrHandler())
    told = Event()
    try:
        require_patched()
        inherited.reset_dispositions()
        for number in ending_signals():
            gevent.signal_handler(number, told.set)
        inherited.unblock_all()  # those of ENDING may have been blocked until here, see lib.workers
        program.start()
    except ShmoozeError as bad:
        complain(bad)
    # What is there by now stays, and need not be looked through at each collection; and few of the
    # objects that come and go with each request need the collector at all.
    gc.freeze()
    gc.set_threshold(10_000)
    told.wait()
    log.info("%s: stopping", name_of(program))
    program.stop()
    flush_log()


def ending_signals() -> list[signal.Signals]:
    """The signals of ENDING that do end this program: all that it was not told to ignore."""
    return [number for number in ENDING if not inherited.stays_ignored(number)]


def log_to(handler: logging.Handler, who: str = "") -> None:
    """Have the log written by `handler` alone; `who` stands in each line."""
    logging.basicConfig(
        level=logging.INFO, format=_LOG_FORMAT.format(who), handlers=[handler], force=True
    )


def flush_log() -> None:
    """Get out what waits to be logged, as far as somebody reads it."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def complain(problem: ShmoozeError) -> NoReturn:
    """End the program with status 2 and one line on what is wrong."""
    sys.stderr.write(f"shmooze: {problem}\n")
    raise SystemExit(2)


def run_named(make: Callable[[str], _Servable], kind: str) -> None:
    """The program `python -m shmooze.KIND [NAME]`: a service whose settings bear that name."""
    parser = argparse.ArgumentParser(prog=f"python -m shmooze.{kind}")
    parser.add_argument(
        "name", nargs="?", default=kind, help="name in `ports`, and section of the settings"
    )
    name = parser.parse_args().name
    try:
        service = make(name)
    except ShmoozeError as bad:
        complain(bad)
    service.serve_forever()


def name_of(program: object) -> str:
    """What people call a program: its name in `ports`, or else its class."""
    name: str | None = getattr(program, "name", None)
    port: int | None = getattr(program, "port", None)
    if name is None and port is not None:
        services = settings.current().services
        name = next((each for each in services if services[each] == port), None)
    return name or type(program).__name__
