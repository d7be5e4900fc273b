"""The command line of `shmooze`.

    shmooze run [SETTINGS]      runs an application: its gateway and all services
    shmooze check [SETTINGS]    says what is wrong with settings, without starting anything
    shmooze new NAME            makes a small application

`python -m shmooze` is the same.
"""

from __future__ import annotations

import argparse
import sys

from shmooze import __version__

_SETTINGS = (
    "the settings file, or the folder of a settings.json (default: what SHMOOZE_SETTINGS names,"
    " or else settings.json in this folder)"
)


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.command == "run":
        # Before all other imports: what is imported unpatched stays unpatched.
        from shmooze.runtime.patch import patch_all

        patch_all()
    from shmooze.errors import ShmoozeError

    try:
        return _run(arguments)
    except ShmoozeError as bad:
        sys.stderr.write(f"shmooze: {bad}\n")
        return 2


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "new":
        from shmooze.cli.new import make_application

        sys.stdout.write(make_application(arguments.name))
        return 0
    from shmooze.cli.environment import enter

    enter(arguments.settings, arguments.directory)
    if arguments.command == "check":
        from shmooze.run.checking import check_application

        return check_application()
    from shmooze.run.main import run_application

    return run_application(arguments.open)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shmooze", description="Process-backed web applications. See also: shmz."
    )
    parser.add_argument("--version", action="version", version=f"shmooze {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run an application: its gateway and all services")
    run.add_argument("--open", action="store_true", help="show its page in a browser")
    check = commands.add_parser(
        "check", help="say what is wrong with settings, without starting anything"
    )
    for each in (run, check):
        each.add_argument("settings", nargs="?", metavar="SETTINGS", help=_SETTINGS)
        each.add_argument(
            "--directory",
            metavar="DIR",
            help="where programs run, and relative paths start (default: the folder of SETTINGS)",
        )
    new = commands.add_parser("new", help="make a small application")
    new.add_argument("name", metavar="NAME", help="its folder, which must not exist yet")
    return parser
