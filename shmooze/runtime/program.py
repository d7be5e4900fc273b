"""Programs: start, wait for a signal, stop, and report a startup error in one line."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NoReturn

import gevent
from gevent.event import Event

from shmooze import settings
from shmooze.errors import ShmoozeError
from shmooze.runtime import inherited
from shmooze.runtime.logs import StderrHandler
from shmooze.runtime.patch import require_patched

if typing.TYPE_CHECKING:
    from shmooze.runtime.declared import Logs

log = logging.getLogger(__name__)

#: Signals that ask a program to stop.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)

# At import, before the program opens any file that it keeps.
inherited.open_missing_streams()

_LOG_FORMAT = "%(asctime)s %(levelname)s {}%(name)s: %(message)s"


class _Checkable(typing.Protocol):
    def check(self) -> None: ...


class _Servable(_Checkable, typing.Protocol):
    #: Makes another one of the present settings.
    from_settings: Callable[[], typing.Any] | None

    def serve_forever(self) -> None: ...


class _Runnable(typing.Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


def run(program: _Runnable) -> None:
    """Start `program`, wait for one of the signals ENDING, and stop it.

    If the settings say so, its method `on_hangup` is called at SIGHUP, and it goes on.
    A ShmoozeError at the start becomes one line on standard error and exit status 2.
    """
    if not logging.getLogger().handlers:
        log_to(StderrHandler())
    asked_to_stop = Event()
    try:
        require_patched()
        _apply_log_settings(program)
        inherited.reset_dispositions()
        for number in ending_signals():
            if number == signal.SIGHUP and hasattr(program, "on_hangup") and reloads_at_hangup():
                gevent.signal_handler(number, program.on_hangup)
            else:
                gevent.signal_handler(number, asked_to_stop.set)
        inherited.unblock_all()  # blocked until here in workers, see runtime/workers.py
        program.start()
    except ShmoozeError as bad:
        exit_with(bad)
    # The garbage collector need not scan what exists by now, since it stays; and few of the objects
    # that come and go with each request need a collection.
    gc.freeze()
    gc.set_threshold(10_000)
    asked_to_stop.wait()
    log.info("%s: stopping", name_of(program))
    program.stop()
    flush_log()


@contextmanager
def without_gc() -> Iterator[None]:
    """Do something that makes many objects which all stay, without collecting garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def ending_signals() -> list[signal.Signals]:
    """The signals ENDING without those that this program was started to ignore."""
    return [number for number in ENDING if not inherited.stays_ignored(number)]


def reloads_at_hangup() -> bool:
    """Whether programs that can reload do so at SIGHUP, and do not stop."""
    return bool(settings.current().get("sighup") == "reload")


def log_to(handler: logging.Handler, worker: str | None = None) -> None:
    """Let `handler` alone write the log, with the number of the worker in each line."""
    who = "" if worker is None else f"worker {worker}: "
    logging.basicConfig(
        level=logging.INFO, format=_LOG_FORMAT.format(who), handlers=[handler], force=True
    )
    with suppress(ShmoozeError):  # which the program reports when it starts
        if _log_settings().log_format == "json":
            from shmooze.runtime.json_log import JsonFormatter  # where it is wanted

            handler.setFormatter(JsonFormatter(worker=worker))


def _log_settings() -> Logs:
    """What the settings say of the log. Raises SettingsError."""
    from shmooze.runtime import declared, schema  # programs without settings start sooner

    source = declared.current()
    return schema.read(declared.Logs, source.values, source.error)


def _apply_log_settings(program: object) -> None:
    """Raises SettingsError."""
    chosen = _log_settings()
    logging.getLogger("shmooze.access_log").setLevel(
        logging.INFO if chosen.access_log else logging.WARNING
    )
    for handler in logging.getLogger().handlers:
        if handler.formatter is not None and hasattr(handler.formatter, "program"):
            handler.formatter.program = name_of(program)


def flush_log() -> None:
    """Write the lines of the log that wait, unless their reader blocks that."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def exit_unguarded() -> NoReturn:
    """Exit at once: nobody is left to end our modules should we be killed, and they were ended."""
    flush_log()
    os._exit(1)


def exit_with(problem: ShmoozeError) -> NoReturn:
    """Exit with status 2, and print the problem in one line."""
    sys.stderr.write(f"shmooze: {problem}\n")
    raise SystemExit(2)


def run_named(make: Callable[[str], _Servable], kind: str) -> None:
    """The program `python -m shmooze.KIND [NAME]`: a service with the settings of that name."""
    import argparse  # here because the gateway starts sooner without it

    parser = argparse.ArgumentParser(prog=f"python -m shmooze.{kind}")
    parser.add_argument(
        "name", nargs="?", default=kind, help="name in `ports`, and section of the settings"
    )
    parser.add_argument(
        "--check", action="store_true", help="check the settings, and start nothing"
    )
    arguments = parser.parse_args()
    try:
        service = make(arguments.name)
        service.from_settings = partial(make, arguments.name)
    except ShmoozeError as bad:
        exit_with(bad)
    if arguments.check:
        check(service)
    else:
        service.serve_forever()


def check(program: _Checkable) -> None:
    """Print what `program` would warn about at its start, on standard error.

    If it would refuse to start, prints why, and exits with status 2.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Words())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    try:
        program.check()
    except ShmoozeError as bad:
        exit_with(bad)


class _Words(logging.Formatter):
    """The level of each record and its text."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {super().format(record)}"


def name_of(program: object) -> str:
    """The name of a program for people: its name in `ports`, or else its class."""
    name: str | None = getattr(program, "name", None)
    port: int | str | None = getattr(program, "port", None)
    if name is None and port is not None:
        source = settings.current()
        name = next(
            (
                each
                for each in source.services
                if port in (source.port(each), source.get("ports")[each])
            ),
            None,
        )
    return name or type(program).__name__
