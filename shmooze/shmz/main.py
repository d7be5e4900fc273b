"""The command line of shmz: options, the command, the exit status."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
from typing import Any, NoReturn

from shmooze import __version__
from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.endpoint import find_token, find_url
from shmooze.shmz.json_text import read_input
from shmooze.shmz.output import print_error, show, show_json
from shmooze.shmz.report import report
from shmooze.shmz.service import Service
from shmooze.shmz.uids import complete_uids
from shmooze.shmz.usage import HELP
from shmooze.shmz.values import convert_pairs
from shmooze.shmz.words import (
    OPTIONS,
    SHORTHANDS,
    options_of,
    packet_from_words,
    plain_values,
    split_service,
)


class Parser(argparse.ArgumentParser):
    """The options. HELP is written by hand; an error is reported in one line."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        self.add_argument("-h", "--help", action="store_true")
        self.add_argument("--version", action="store_true")
        self.add_argument("-e", dest="endpoint")
        self.add_argument("--json", action="store_true")
        self.add_argument("--token-file")
        self.add_argument("--timeout", type=self.seconds)
        for name in ALL_OPTIONS:
            self.add_argument(f"--{name.replace('_', '-')}")
        self.add_argument("words", nargs="*")

    @staticmethod
    def seconds(text: str) -> float:
        if not 0 < float(text) <= 86400:
            raise ValueError("not a number of seconds up to one day")
        return float(text)

    def error(self, message: str) -> NoReturn:
        raise Stop(Status.MISUSED, f"{message} (see shmz --help)")


#: Options of single commands.
ALL_OPTIONS = list(dict.fromkeys(name for names in OPTIONS.values() for name in names))
#: The gateway's own name among the services.
GATEWAY = "wsgi"
#: Commands that `shmz --help` explains completely.
EXPLAINED = ("-", "bg", "completion", "history", "pool", "queue", "run", "types", "watch")


def run(argv: list[str]) -> int:
    if argv[:2] == ["completion", "query"]:
        from shmooze.shmz.completion.query import answer_query

        return answer_query(argv[2:])
    options = Parser().parse_intermixed_args(argv)
    if options.version and not options.help:
        show(f"shmz {__version__}")
        return Status.DONE
    command, *words = options.words or [""]
    chosen = {name: text for name in ALL_OPTIONS if (text := getattr(options, name)) is not None}
    more = options_of(command, chosen)
    is_explained = command in EXPLAINED or (command in SHORTHANDS and not words)
    if options.help and (not command or is_explained):
        show(HELP.rstrip())
        return Status.DONE
    if not command:
        print(HELP.partition("\n")[0], file=sys.stderr)
        return Status.MISUSED
    if command == "completion":
        from shmooze.shmz.completion.scripts import script_for

        show(script_for(words).rstrip())
        return Status.DONE
    token = find_token(options.token_file)
    if command == "watch":
        from shmooze.shmz.watch.watch import watch

        return watch(words, options, token)
    return send(options, command, words, more, token)


def send(
    options: argparse.Namespace,
    command: str,
    words: list[str],
    more: dict[str, Any],
    token: str | None,
) -> int:
    """Run a command that asks a service, and return the exit status."""
    beside, words = split_service(command, words)
    if command == "reload" and options.endpoint is None and beside is None:
        beside, more = GATEWAY, {"services": True, **more}
    service = Service(find_url(options.endpoint, command, beside), options.timeout or 60, token)
    as_json = options.json or not os.isatty(1)
    if options.help:
        program = f"shmz -e {options.endpoint}" if options.endpoint else "shmz"
        return explain(service, program, command, words, options.json)
    if command == "run":
        from shmooze.shmz.job import run_job

        return run_job(service, prepare(service, "add", words, "run"), options.json)
    if command == "wait" and words:
        from shmooze.shmz.job import wait_for

        return wait_for(service, prepare(service, command, words), as_json)
    if command == "types" and not words:
        return list_types(service, options.endpoint is not None or beside is not None, as_json)
    if command != "-":
        answer = send_words(service, command, words, more)
    elif words:
        raise Stop(Status.MISUSED, "- takes no arguments: it reads the packet from standard input")
    else:
        answer = service.send(*read_input())
    return report(answer, as_json)


def send_words(service: Service, command: str, words: list[str], more: dict[str, Any]) -> Any:
    """Send a command in words, with more arguments, and return the answer packet."""
    return service.send(prepare(service, command, words, more=more))


def prepare(
    service: Service,
    command: str,
    words: list[str],
    called: str | None = None,
    more: dict[str, Any] = {},
) -> dict[str, Any]:
    """The packet of a command in words, with whole uids and converted arguments."""
    if called is not None and (not words or "=" in words[0]):
        raise Stop(Status.MISUSED, f"{called} needs a type (see shmz --help)")
    packet, pairs = packet_from_words(command, words)
    if more:
        packet["args"] = {**packet.get("args", {}), **more}
    packet = complete_uids(service, packet)
    if command == "wait":
        packet["args"].update(plain_values(pairs))
    elif pairs:
        from shmooze.shmz.described import args_schema

        packet["args"]["args"] = convert_pairs(pairs, args_schema(service, packet))
    return packet


def explain(
    service: Service, program: str, command: str, words: list[str], as_json: bool
) -> Status:
    from shmooze.shmz.types import help_for

    columns = shutil.get_terminal_size().columns
    text, described = help_for(service, program, command, words, columns)
    if as_json:
        show_json(described)
    else:
        show(text)
    return Status.DONE


def list_types(service: Service, only_this: bool, as_json: bool) -> Status:
    from shmooze.shmz.types import all_types, format_types

    types = all_types(service, only_this)
    if as_json:
        show_json(types)
    else:
        show(format_types(types, shutil.get_terminal_size().columns))
    return Status.DONE


def main() -> int:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # closed: a connection must not get its number
            null = open(os.devnull, "w" if number else "r")  # noqa: SIM115
            setattr(sys, name, null)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for characters that the locale lacks
    try:
        return run(sys.argv[1:])
    except Stop as stop:
        print_error(str(stop))
        return stop.status
    except RecursionError:
        print_error("the answer is nested too deeply to be shown")
        return Status.NO_ANSWER
    except KeyboardInterrupt:
        return Status.INTERRUPTED
