"""`shmz completion query`: what a shell asks for candidates. It is silent if anything fails."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from contextlib import suppress

from shmooze.runtime.printable import printable
from shmooze.shmz.completion.candidates import Line, candidates_for
from shmooze.shmz.ending import Status, Stop
from shmooze.shmz.output import show

#: Seconds after which there are no candidates.
TIME_LIMIT = 1.0


def answer_query(words: list[str]) -> Status:
    """Print the candidates for a command line; `words` are the shell and the words so far."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    shell, *rest = words or [""]
    with suppress(Stop, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        given = split_line(" ".join(rest)) if shell == "bash" else rest or [""]
        found = candidates_for(Line(given), TIME_LIMIT)
        lines = [format_candidate(value, about, shell) for value, about in found]
        signal.setitimer(signal.ITIMER_REAL, 0)
        if lines and sys.stdout:
            show("\n".join(lines))
    return Status.DONE


def split_line(line: str) -> list[str]:
    """Split a command line into its words without the first; the last one is incomplete.

    Raises ValueError if a quotation is not closed.
    """
    words = shlex.split(line)
    return [*words[1:], ""] if line[-1:].isspace() else words[1:]


def format_candidate(value: str, about: str, shell: str) -> str:
    if shell == "bash":  # the others quote by themselves
        parts = [shlex.quote(part) if part else "" for part in value.split("=", 1)]
        value = "=".join(parts)
    about = printable(about)
    return f"{value}\t{about}" if about else value
