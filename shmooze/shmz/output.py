"""Printing on standard output and standard error, which may be closed."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any

from shmooze.runtime.printable import printable
from shmooze.shmz.ending import Status, Stop


def show(text: str) -> bool:
    """Print on standard output. Returns False if the reader has closed it, as `head` does."""
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # since Python flushes again at exit
        if not isinstance(error, BrokenPipeError):
            raise Stop(Status.REFUSED, f"cannot write: {error.strerror}") from error
        return False
    return True


def show_json(value: Any) -> bool:
    # The only control character that json.dumps does not escape.
    return show(json.dumps(value).replace("\x7f", "\\u007f"))


def show_error(text: str) -> None:
    """Print on standard error, for people, while standard output is for a program."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def print_error(line: str) -> None:
    with suppress(OSError):  # standard error is closed; the exit status remains
        print(f"shmz: {printable(line)}", file=sys.stderr)
