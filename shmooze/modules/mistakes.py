"""What is said when a function of a module written in Python fails: to the client, and to the
operator.

A client gets words that were meant for people, and none of Python's own. Loaded only when
something has failed, and in child processes: standard library only, fit for Python 3.8.
"""

from __future__ import annotations

import inspect
import opcode
import os
import sys
import traceback

from shmooze.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, Iterable

#: What Python itself raises where a program has a mistake. Its words help nobody else.
_MISTAKES = (
    TypeError,
    AttributeError,
    NameError,
    LookupError,
    AssertionError,
    ImportError,
    RecursionError,
    SyntaxError,
)

#: Said instead of those.
INTERNAL = "internal error; see the output of the module"


def answer_to(cmd: str, function: Callable[..., Any], args: Any, bad: Exception) -> str:
    """The words for whoever has sent a command that failed; the operator gets the rest."""
    name = cmd[3:] if cmd.startswith("do_") else ""  # clients know no other names of commands
    prefix = f"{name}: " if name else ""
    if isinstance(bad, TypeError) and not _was_raised(bad):
        wrong = _wrong_arguments(function, args)
        if wrong:
            sys.stderr.write(f"refused `{cmd}`: {wrong}\n")
            return prefix + wrong
    words = explain(bad)
    if words == INTERNAL:
        traceback.print_exception(type(bad), bad, bad.__traceback__)
        return prefix + words
    _tell_operator(cmd, function, bad, words)
    return words


def unknown_command(cmd: Any, known: Iterable[str]) -> str:
    """The words for whoever has sent a command that the module does not have."""
    if isinstance(cmd, str) and cmd.startswith("do_"):
        cmd, known = cmd[3:], [each[3:] for each in known if each.startswith("do_")]
    return f"unknown command `{cmd}`; known: {_names(known)}"


def explain(bad: BaseException) -> str:
    """Why something failed, in words for people: the exception's own, if they are such."""
    if isinstance(bad, _MISTAKES) and not _was_raised(bad):
        return INTERNAL
    return str(bad) or INTERNAL


def _wrong_arguments(function: Callable[..., Any], args: Any) -> str:
    """What is wrong with the arguments of a command; empty where they fit."""
    if not isinstance(args, dict):
        return "the arguments must be an object"
    try:
        parameters = list(inspect.signature(function).parameters.values())[1:]  # without self
    except (TypeError, ValueError):
        return ""  # not written in Python
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    taken = {each.name: each for each in parameters if each.kind in by_name}
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    missing = [
        name for name, each in taken.items() if each.default is each.empty and name not in args
    ]
    unknown = [] if takes_any else [name for name in args if name not in taken]
    wrong = []
    if missing:
        wrong.append(f"{_arguments(missing)} missing")
    if unknown:
        wrong.append(f"{_arguments(unknown)} unknown")
    return f"{', '.join(wrong)}; known: {_names(taken)}" if wrong else ""


def _arguments(names: list[str]) -> str:
    return f"argument {_names(names)} is" if len(names) == 1 else f"arguments {_names(names)} are"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in names) or "none"


def _last(bad: BaseException) -> TracebackType | None:
    """Where it was raised."""
    place = bad.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place


def _was_raised(bad: BaseException) -> bool:
    """Whether a `raise` or `assert` has raised it, and not Python itself."""
    place = _last(bad)
    if place is None:
        return True
    code = place.tb_frame.f_code.co_code
    return code[place.tb_lasti : place.tb_lasti + 1] in (b"", _RAISE)  # empty: compiled by others


_RAISE = bytes([opcode.opmap["RAISE_VARARGS"]])


def _tell_operator(cmd: str, function: Any, bad: Exception, words: str) -> None:
    """Say on standard error why a command failed: in one line, if it was refused on purpose.

    What was raised elsewhere than in the module's own file was not, most likely.
    """
    place = _last(bad)
    assert place is not None
    file = place.tb_frame.f_code.co_filename
    own = getattr(getattr(function, "__code__", None), "co_filename", None)
    if isinstance(bad, CommandError) or (isinstance(bad, (ValueError, TypeError)) and file == own):
        name = os.path.basename(file)
        words = " ".join(words.split())
        sys.stderr.write(f"refused `{cmd}` ({name}, line {place.tb_lineno}): {words}\n")
    else:
        traceback.print_exception(type(bad), bad, bad.__traceback__)
