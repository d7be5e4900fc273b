"""Problems of a state file in words that a person can act on."""

from __future__ import annotations

import os
import sqlite3
from errno import EACCES, EROFS

DISK_FULL = "the disk is full"
LOCKED = "another program has locked the file"
NO_ANSWER = "the disk does not respond"
REPLACED = "the file was removed, replaced or cut short: put it back, or restart the service"

#: Parts of SQLite's error messages, and what they mean. Messages rather than codes, since Python
#: 3.10 does not offer the codes.
_MEANINGS = (
    ("disk is full", DISK_FULL),
    ("readonly", "the file or its folder is read-only"),
    ("read-only", "the file or its folder is read-only"),
    ("disk I/O error", "the disk reports an error"),
    ("locking protocol", LOCKED),
    ("is locked", LOCKED),
    ("unable to open", "the file cannot be opened"),
    ("malformed", "the file is damaged"),
    ("not a database", "the file is damaged, or is not a state file"),
)


class FileProblem(Exception):
    """The state file cannot be used now; the message says why, without the file's name."""


def problem_of(error: BaseException) -> str | None:
    """What is wrong with file or disk; None for an error that has another cause, such as a bug."""
    if isinstance(error, FileProblem):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, sqlite3.DatabaseError):
        text = str(error)
        return next((meaning for part, meaning in _MEANINGS if part in text), None)
    return None


def advice(path: str, problem: str) -> str:
    """A problem with the start of a service, and what to do about it."""
    if "damaged" in problem:
        return f"{problem}: run `python -m shmooze.state check {path}`"
    if "cannot be opened" in problem or problem in (os.strerror(EACCES), os.strerror(EROFS)):
        return _why_not_opened(path) or problem
    if "locked" in problem:
        return f"{problem}: end that program, and start again"
    return problem


def _why_not_opened(path: str) -> str | None:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        return f"its folder {folder} does not exist: create it"
    if os.path.isdir(path):
        return "is a folder: name a file in it"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"this user may not write to its folder {folder}"
    if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
        return "this user may not read and write it"
    return None
