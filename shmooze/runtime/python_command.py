"""Command lines of Python programs: interpreter and options, program, arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

_INTERPRETER = re.compile(r"(python|pypy)[0-9.]*[td]*")
#: Options without a value, and those that have one, which may be the next word.
_FLAGS, _WITH_VALUE = "bBdEiIOPqRsSuvx", "WX"


class PythonCommand(NamedTuple):
    """The parts of a command line."""

    #: The interpreter and its options.
    interpreter: Sequence[str]
    #: A file; or "-m" and the name of a module.
    program: Sequence[str]
    arguments: Sequence[str]


def parse(argv: Sequence[str]) -> PythonCommand | None:
    """Take a command line apart. Returns None if it does not run a file or a module with Python."""
    if not argv or not _INTERPRETER.fullmatch(os.path.basename(argv[0])):
        return None
    options, words = [argv[0]], list(argv[1:])
    while words:
        word = words.pop(0)
        if word == "--check-hash-based-pycs" and words:
            options += [word, words.pop(0)]
            continue
        if word == "-" or word.startswith("--"):
            return None
        if not word.startswith("-"):
            return PythonCommand(options, [word], words)
        flags = re.match(rf"-[{_FLAGS}]*", word)
        assert flags is not None
        option, value = word[flags.end() : flags.end() + 1], word[flags.end() + 1 :]
        if option == "m":
            if flags.end() > 1:
                options.append(flags[0])
            name = value or (words.pop(0) if words else "")
            return PythonCommand(options, ["-m", name], words) if name else None
        if option and option not in _WITH_VALUE:
            return None
        options.append(word)
        if option and not value:
            if not words:
                return None
            options.append(words.pop(0))
    return None
