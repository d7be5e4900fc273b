"""`python -m shmooze.tokens`: add, list and revoke the tokens that let clients in.

    add NAME [--role control|read] [--scope SCOPE]...   makes a token and shows it once
    list                                                shows names and scopes
    revoke NAME                                         takes a name's token away

The token file is the one that `tokens_path` of the settings names, or `--file`. The settings file
is that of `shmooze run`: what SHMOOZE_SETTINGS names, or else settings.json in this folder.
"""

from __future__ import annotations

import argparse
import os
import sys

from shmooze import settings
from shmooze.access.scopes import CONTROL, RESTRICTIONS, ROLES, SCOPES
from shmooze.access.token_file import TokenFile, scope_names
from shmooze.cli.environment import FILE
from shmooze.errors import SettingsError
from shmooze.runtime.inherited import open_missing_streams
from shmooze.runtime.printable import printable


def main(argv: list[str] | None = None) -> int:
    open_missing_streams()
    parser = argparse.ArgumentParser(
        prog="python -m shmooze.tokens",
        description="Add, list and revoke the tokens that let clients in.",
    )
    parser.add_argument("--file", help="the token file (default: `tokens_path` of the settings)")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="make a token for a new name and show it once")
    add.add_argument("name")
    add.add_argument("--role", choices=ROLES, help="default, without scopes: control")
    scopes = ", ".join([*SCOPES, *(f"{each}:NAME" for each in RESTRICTIONS)])
    add.add_argument(
        "--scope", action="append", default=[], help=f"one of {scopes}; may be repeated"
    )
    commands.add_parser("list", help="show names and scopes")
    commands.add_parser("revoke", help="revoke a name's token").add_argument("name")
    arguments = parser.parse_args(argv)
    try:
        tokens = TokenFile(arguments.file or _path_in_settings())
        if arguments.command == "add":
            role = arguments.role or (None if arguments.scope else CONTROL)
            sys.stdout.write(f"{tokens.add(arguments.name, role, arguments.scope)}\n")
            sys.stderr.write("This token is not shown again.\n")
        elif arguments.command == "revoke":
            tokens.revoke(arguments.name)
        else:
            entries = tokens.load()
            for name, entry in entries.items():
                scopes = ",".join(scope_names(entry))
                sys.stdout.write(printable(f"{scopes:8} {name}") + "\n")
            if not entries:
                sys.stderr.write(f"There are no tokens in {tokens.path}.\n")
    except SettingsError as bad:
        sys.stderr.write(f"shmooze: {bad}\n")
        return 2
    return 0


def _path_in_settings() -> str:
    if not os.environ.get(settings.VARIABLE) and os.path.isfile(FILE):
        here = {**os.environ, settings.VARIABLE: os.path.abspath(FILE)}
        settings.use(settings.Settings.load(here))
    source = settings.current()
    path = source.get("tokens_path")
    if path is None:
        raise source.error("tokens_path", "is not set, and no --file is given")
    return str(path)


if __name__ == "__main__":
    sys.exit(main())
