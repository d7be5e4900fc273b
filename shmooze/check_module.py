"""`python -m shmooze.check_module`: check that a module's program keeps to the protocol.

    python -m shmooze.check_module [OPTION]... PROGRAM [ARGUMENT]...

It plays the parent of the program, starts it a dozen times, tries everything that the protocol asks
of a module, and prints a table of what was expected and what came. The exit status is 0 if nothing
has failed, 1 if something has, and 2 if it could not be checked.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from typing import Any

import gevent

from shmooze.conformance.catalog import CHECKS
from shmooze.conformance.checker import check, open_launcher
from shmooze.conformance.options import Options
from shmooze.errors import ShmoozeError
from shmooze.runtime import inherited
from shmooze.runtime.program import ending_signals, exit_unguarded

_EPILOG = """The program's environment has SHMOOZE_CHECK=1, so that it can leave out what a check
must not do. Timeouts mean the same as the keys of a module type."""
#: Timeouts that are options, by their names in Options.
_TIMEOUTS = (
    ("connect_timeout", "seconds to connect"),
    ("command_timeout", "seconds to answer a command"),
    ("natural_death_timeout", "seconds from `rm` to its end"),
    ("sigterm_timeout", "seconds from SIGTERM to SIGKILL, if it does not end"),
    ("quiet", "seconds to watch it before `init`"),
    ("watch", "seconds to let it play"),
    ("time_limit", "seconds for all checks together"),
)


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    arguments = vars(parser.parse_args(argv))
    as_json = arguments.pop("json")
    if arguments["argv"][:1] == ["--"]:
        del arguments["argv"][0]
    options = Options(**arguments)
    if not options.argv:
        parser.error("PROGRAM is missing")
    if shutil.which(options.argv[0]) is None:
        is_script = os.path.isfile(options.argv[0])
        hint = "; for a script, name its interpreter first" if is_script else ""
        parser.error(f"there is no program {options.argv[0]!r}{hint}")
    if unknown := options.skip - CHECKS.keys():
        parser.error(f"--skip: no check {sorted(unknown)[0]!r}; known: {', '.join(CHECKS)}")
    os.environ["SHMOOZE_CHECK"] = "1"  # the module inherits it
    try:
        launcher = open_launcher(exit_unguarded)
    except ShmoozeError as bad:
        sys.stderr.write(f"check_module: {bad}\n")
        return 2
    inherited.reset_dispositions()
    checking = gevent.spawn(check, launcher, options)
    for number in ending_signals():
        gevent.signal_handler(number, _interrupt, checking)
    inherited.unblock_all()
    report = checking.get()
    if isinstance(report, gevent.GreenletExit):
        sys.stderr.write("check_module: interrupted; nothing is left of the module\n")
        return 128 + signal.SIGINT
    sys.stdout.write(f"{json.dumps(report.as_dict(), indent=2)}\n" if as_json else report.as_text())
    return 0 if report.is_ok else 1


def _interrupt(checking: gevent.Greenlet) -> None:
    if not checking.dead and not getattr(checking, "is_interrupted", False):
        checking.is_interrupted = True  # a second signal must not interrupt the cleaning up
        checking.kill(block=False)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as bad:
        raise argparse.ArgumentTypeError(f"not JSON: {bad}") from bad
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError('must be an object such as {"seconds": 3}')
    return value


def _object_in_file(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return _object(file.read())
    except (OSError, UnicodeDecodeError) as bad:
        raise argparse.ArgumentTypeError(f"cannot read {path}: {bad}") from bad


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds, not {text!r}")
    return seconds


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.replace(",", " ").split()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shmooze.check_module",
        usage="%(prog)s [OPTION]... PROGRAM [ARGUMENT]...",
        description="Check that a module's program follows the protocol.",
        epilog=_EPILOG,
    )
    _add_what_to_check(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    _add_timeouts(parser)
    parser.add_argument(
        "argv", nargs=argparse.REMAINDER, metavar="PROGRAM [ARGUMENT]...", help="the module"
    )
    return parser


def _add_what_to_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--args",
        type=_object,
        metavar="JSON",
        help="arguments of `init` that it accepts (default: from its description, or none)",
    )
    parser.add_argument(
        "--schema",
        type=_object_in_file,
        metavar="FILE",
        help="its description; without it, the program is asked with `--describe`",
    )
    parser.add_argument(
        "--describe",
        action="store_true",
        dest="must_describe",
        help="fail if the program does not answer `--describe`",
    )
    parser.add_argument(
        "--skip",
        type=_names,
        default=frozenset(),
        metavar="CHECK,…",
        help="checks to leave out, by their names in the table",
    )
    parser.add_argument(
        "--stdio",
        action="store_true",
        help="speak to it over standard input and output, as the adapter `stdio` does",
    )


def _add_timeouts(parser: argparse.ArgumentParser) -> None:
    for name, text in _TIMEOUTS:
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=_seconds,
            default=getattr(Options, name),
            metavar="S",
            help=f"{text} (default {getattr(Options, name):g})",
        )


if __name__ == "__main__":
    inherited.open_missing_streams()
    sys.exit(main())
